//! The outputs of services: pipes that this supervisor owns, and moving their contents into files.
//!
//! No bytes are kept in between: what has not been written to the file yet is in the pipe, which is peeked, written
//! out, and only then drained by what was written. A pipe is watched by a read of zero bytes, which ends when the pipe
//! has bytes. `outlet` describes what is lost or doubled when the supervisor is killed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use windows_sys::Win32::Foundation::ERROR_IO_PENDING;
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_FLAG_BACKUP_SEMANTICS, FILE_READ_ATTRIBUTES, FILE_STANDARD_INFO,
    FileStandardInfo, GetFileInformationByHandle, GetFileInformationByHandleEx, ReadFile,
};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};

use super::Handle;
use super::handle::done;
use super::outlet::{self, Outlet};
use super::wait::Wait;
use crate::os::Ids;
pub use crate::os::absent::{Both, StallTimer, is_opening_stuck, open_both};

/// The most bytes that are moved at once.
const MOST: usize = 64 * 1024;

/// The supervisor's end of an output of a service.
#[derive(Debug)]
pub struct Output(Arc<Outlet>);

impl Output {
    /// Opens the output of a path, creating its pipe if there is none or no process has kept it. Returns both ends.
    pub fn make(path: &Path, _ids: Option<&Ids>) -> io::Result<(Self, ServiceEnd)> {
        Self::open(path)
    }

    /// Opens the output of a path, creating its pipe if there is none or no process has kept it. Returns both ends.
    pub fn open(path: &Path) -> io::Result<(Self, ServiceEnd)> {
        let outlet = Outlet::open(path)?;
        let end = ServiceEnd(Arc::downgrade(&outlet));
        Ok((Self(outlet), end))
    }

    /// Returns what identifies this output within this supervisor.
    pub fn identity(&self) -> (u64, u64) {
        (0, self.0.number())
    }

    /// Always `None`: an open output cannot be deleted here.
    pub fn held_by(_pid: u32, _number: i32, _path: &Path) -> Option<Self> {
        None
    }

    /// Always `true`: an open output cannot be deleted here.
    pub fn is_named(_path: &Path) -> bool {
        true
    }

    /// Always `None`: a job tells which processes belong to a service.
    pub fn identity_of(_path: &Path) -> Option<(u64, u64)> {
        None
    }

    /// Always `false`: Windows fixes the size when the pipe is made.
    pub fn enlarge(&self, _bytes: usize) -> bool {
        false
    }

    /// Does nothing: the pipe was never enlarged.
    pub fn shrink(&self, _bytes: usize) {}

    /// Returns how many bytes wait in it.
    pub fn waiting(&self) -> usize {
        self.0.waiting().unwrap_or(0)
    }

    /// Moves up to `most` bytes to the file's position. Fails with `WouldBlock` if there are none.
    pub fn transfer(&self, mut file: &File, most: usize) -> io::Result<usize> {
        let mut buffer = vec![0; most.min(MOST).min(self.0.waiting()?)];
        let seen = self.0.peek(&mut buffer)?;
        let written = file.write(&buffer[..seen])?;
        let mut taken = 0;
        while taken < written {
            taken += self.0.take(&mut buffer[taken..written])?;
        }
        Ok(written)
    }

    /// Copies waiting bytes without removing them.
    pub fn peek(&self, peeker: &mut Peeker, most: usize) -> io::Result<usize> {
        let most = most.min(peeker.bytes.len());
        self.0.peek(&mut peeker.bytes[..most])
    }

    /// Drops up to a buffer of waiting bytes. Returns how many.
    pub fn discard(&self) -> io::Result<usize> {
        let waiting = self.0.waiting()?.min(MOST);
        if waiting == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.take(&mut vec![0; waiting])
    }
}

/// The end of an output that the runs of a service write to.
#[derive(Debug)]
pub struct ServiceEnd(Weak<Outlet>);

impl ServiceEnd {
    /// Returns a handle for a run. Fails if the output is closed.
    pub fn hand_out(&self) -> io::Result<Handle> {
        let outlet = self.0.upgrade().ok_or(io::ErrorKind::NotFound)?;
        Ok(Handle::of_outlet(outlet.writer()?, outlet))
    }

    /// Returns another copy of this end.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(Weak::clone(&self.0)))
    }
}

/// The buffer for looking ahead.
#[derive(Debug)]
pub struct Peeker {
    /// The bytes that were seen last.
    pub bytes: Vec<u8>,
}

impl Peeker {
    /// Creates the buffer for looking ahead.
    pub fn new() -> io::Result<Self> {
        Ok(Self { bytes: vec![0; MOST] })
    }
}

/// Waits for many outputs at once, and for a wake from another thread.
pub struct Poller {
    news: mpsc::Receiver<u64>,
    tell: mpsc::Sender<u64>,
    watches: RefCell<HashMap<u64, Watch>>,
    /// The outputs that are not waited for: new outputs, and outputs that had bytes.
    idle: RefCell<Vec<u64>>,
}

/// Ends a [`Poller::wait`] from another thread.
#[derive(Debug, Clone)]
pub struct Waker(mpsc::Sender<u64>);

impl Waker {
    /// Ends the current or the next wait.
    pub fn wake(&self) {
        // Fails only when nothing waits any more.
        let _ = self.0.send(WAKE);
    }
}

const WAKE: u64 = u64::MAX;

impl Poller {
    /// Creates a poller, and the waker that ends its waits.
    pub fn new() -> io::Result<(Self, Waker)> {
        let (tell, news) = mpsc::channel();
        let waker = Waker(tell.clone());
        Ok((Self { news, tell, watches: RefCell::default(), idle: RefCell::default() }, waker))
    }

    /// Watches an output under a key.
    pub fn add(&self, output: &Output, key: u64) -> io::Result<()> {
        let watch = Watch::new(Arc::clone(&output.0), key, self.tell.clone())?;
        self.watches.borrow_mut().insert(key, watch);
        self.idle.borrow_mut().push(key);
        Ok(())
    }

    /// Stops watching an output.
    pub fn remove(&self, output: &Output) {
        self.watches.borrow_mut().retain(|_, watch| !Arc::ptr_eq(&watch.outlet, &output.0));
    }

    /// Waits until an output has bytes, a wake comes or the time is over. Fills `ready` with the keys of outputs that
    /// have bytes.
    pub fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        ready.clear();
        self.watch_idle(ready);
        let mut news = match timeout {
            _ if !ready.is_empty() => self.news.try_recv().ok(),
            Some(timeout) => self.news.recv_timeout(timeout).ok(),
            None => self.news.recv().ok(),
        };
        while let Some(key) = news {
            let mut watches = self.watches.borrow_mut();
            if let Some(watch) = watches.get_mut(&key).filter(|watch| watch.is_pending) {
                watch.is_pending = false;
                self.idle.borrow_mut().push(key);
                ready.push(key);
            }
            news = self.news.try_recv().ok();
        }
        Ok(())
    }

    /// Begins to wait for idle outputs without bytes; idle outputs with bytes are ready.
    fn watch_idle(&self, ready: &mut Vec<u64>) {
        let mut watches = self.watches.borrow_mut();
        self.idle.borrow_mut().retain(|key| {
            let Some(watch) = watches.get_mut(key) else { return false };
            if watch.outlet.waiting().is_ok_and(|waiting| waiting > 0) {
                ready.push(*key);
                return true;
            }
            if let Err(error) = watch.begin() {
                tracing::error!(%error, "watching an output failed");
            }
            false
        });
    }
}

/// A read of zero bytes, which ends when the pipe has bytes.
struct Watch {
    outlet: Arc<Outlet>,
    event: OwnedHandle,
    /// The system writes to it while the read is under way: it is allocated separately, and only `begin` and `drop`
    /// access it.
    operation: *mut OVERLAPPED,
    is_pending: bool,
    wait: Option<Wait>,
}

// SAFETY: only this value accesses the operation.
unsafe impl Send for Watch {}

impl Watch {
    fn new(outlet: Arc<Outlet>, key: u64, tell: mpsc::Sender<u64>) -> io::Result<Self> {
        let event = outlet::event(false)?;
        let wait = Wait::new(event.try_clone()?, false, move || {
            // Fails only when the poller is gone, which owns this callback.
            let _ = tell.send(key);
        })?;
        let operation =
            Box::into_raw(Box::new(OVERLAPPED { hEvent: event.as_raw_handle(), ..Default::default() }));
        Ok(Self { outlet, event, operation, is_pending: false, wait: Some(wait) })
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut nothing = [0_u8; 1];
        // SAFETY: no read is under way, and a read of zero bytes accesses no buffer.
        let begun = done(unsafe {
            *self.operation = OVERLAPPED { hEvent: self.event.as_raw_handle(), ..Default::default() };
            let reader = self.outlet.reader().as_raw_handle();
            ReadFile(reader, nothing.as_mut_ptr(), 0, ptr::null_mut(), self.operation)
        });
        match begun {
            Err(error) if error.raw_os_error() != i32::try_from(ERROR_IO_PENDING).ok() => Err(error),
            // A read that has already ended signals its event as well.
            _ => {
                self.is_pending = true;
                Ok(())
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Removed first: its callback would consume the signal that the end of the read is awaited by.
        self.wait = None;
        let mut ignored = 0;
        // SAFETY: after this wait the system no longer uses the operation.
        unsafe {
            if self.is_pending {
                let reader = self.outlet.reader().as_raw_handle();
                CancelIoEx(reader, self.operation);
                GetOverlappedResult(reader, self.operation, &raw mut ignored, 1);
            }
            drop(Box::from_raw(self.operation));
        }
    }
}

/// Returns whether a path still names an open file, so that a follower notices a rotation. Not compared by times: a new
/// file gets the times of the file that had its name before.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let current = OpenOptions::new().access_mode(FILE_READ_ATTRIBUTES).open(path)?;
    Ok(id_of(file)? == id_of(&current)?)
}

/// Returns the number of a file, which stays the same when the file is renamed.
pub fn file_number(file: &File) -> io::Result<u64> {
    Ok(id_of(file)?.1)
}

/// Returns volume and number of a file.
fn id_of(file: &File) -> io::Result<(u32, u64)> {
    let mut info = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the call fills the structure.
    done(unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut info) })?;
    Ok((info.dwVolumeSerialNumber, u64::from(info.nFileIndexHigh) << 32 | u64::from(info.nFileIndexLow)))
}

/// Returns volume and number of a folder.
pub(super) fn id_of_folder(path: &Path) -> io::Result<(u32, u64)> {
    let mut options = OpenOptions::new();
    id_of(&options.access_mode(FILE_READ_ATTRIBUTES).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)?)
}

/// Sleeps for less than the resolution of a runtime's timers.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that sleeps; Linux has its own call for it"
)]
pub fn pause(moment: Duration) {
    std::thread::sleep(moment);
}

/// Returns whether a file has no name any more.
pub fn is_removed(file: &File) -> bool {
    let mut info = FILE_STANDARD_INFO::default();
    let size = u32::try_from(size_of::<FILE_STANDARD_INFO>()).expect("small");
    // SAFETY: the structure has the given class and size.
    let asked = done(unsafe {
        GetFileInformationByHandleEx(file.as_raw_handle(), FileStandardInfo, (&raw mut info).cast(), size)
    });
    asked.is_ok() && (info.DeletePending || info.NumberOfLinks == 0)
}

/// Reads at an offset, independent of the file's position, which Windows moves and this restores.
pub fn read_at(mut file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let position = file.stream_position()?;
    let read = file.seek_read(buffer, at);
    file.seek(SeekFrom::Start(position))?;
    read
}
