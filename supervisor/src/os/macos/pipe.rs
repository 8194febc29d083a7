//! FIFOs, and moving their contents into files. macOS has no `splice`: bytes are read and then written, a few KiB at a
//! time. Only these are lost if the supervisor is killed in between: what a full disk refuses stays in memory, and is
//! counted if it is dropped.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};

use super::queue::Queue;
use crate::os::Ids;
pub use crate::os::absent::{Both, StallTimer, is_opening_stuck, open_both};
pub use crate::os::unix::files::{file_number, is_at, is_removed, pause, read_at};
pub use crate::os::unix::service_end::ServiceEnd;

/// How much is read before it is written: as much as a FIFO holds on macOS; a smaller size would only need more calls.
const WINDOW: usize = 8 * 1024;

/// The supervisor's end of an output of a service.
#[derive(Debug)]
pub struct Output {
    fifo: OwnedFd,
    identity: (u64, u64),
    hand: Mutex<Hand>,
}

/// Bytes that were read and not written yet, and the poller to wake for them although the FIFO may be empty.
#[derive(Debug, Default)]
struct Hand {
    bytes: Vec<u8>,
    poller: Option<(Arc<Queue>, u64)>,
}

impl Output {
    /// Makes a new FIFO in place of what is at a path; it belongs to the user that the service runs as. Returns both
    /// ends.
    pub fn make(path: &Path, ids: Option<&Ids>) -> io::Result<(Self, ServiceEnd)> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        make_fifo(path)?;
        if let Some(ids) = ids {
            std::os::unix::fs::chown(path, Some(ids.uid), Some(ids.gid))?;
        }
        Self::open(path)
    }

    /// Opens both ends of the FIFO at a path.
    ///
    /// Opened for reading and writing, so that the last writer's end is no event: POSIX leaves this undefined, macOS
    /// behaves like Linux. Non-blocking; the flags are separate from the service's, which has its own file description.
    pub fn open(path: &Path) -> io::Result<(Self, ServiceEnd)> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fifo = rustix::fs::open(path, flags | OFlags::NONBLOCK, Mode::empty())?;
        let stat = rustix::fs::fstat(&fifo)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Fifo {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something that is no FIFO is in its place",
            ));
        }
        let device = u64::from(stat.st_dev.cast_unsigned());
        let end = ServiceEnd::new(rustix::fs::open(path, flags, Mode::empty())?);
        Ok((Self { fifo, identity: (device, stat.st_ino), hand: Mutex::default() }, end))
    }

    /// Returns another descriptor of the same end.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        self.fifo.try_clone()
    }

    /// Always `None`: a deleted FIFO that a process still holds cannot be opened here, so its output is logged again
    /// only from the next run on.
    pub fn held_by(_pid: u32, _number: i32, _path: &Path) -> Option<Self> {
        None
    }

    /// Returns device and inode: a process that holds this FIFO belongs to its service.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Returns whether there is a file at this path.
    pub fn is_named(path: &Path) -> bool {
        Self::identity_of(path).is_some()
    }

    /// Returns device and inode of the file at this path, without opening it.
    pub fn identity_of(path: &Path) -> Option<(u64, u64)> {
        let meta = std::fs::symlink_metadata(path).ok()?;
        // The device is a 32-bit number, which sign extension may have made negative.
        Some((meta.dev() & u64::from(u32::MAX), meta.ino()))
    }

    /// Always `false`: a FIFO has a fixed size on macOS.
    pub fn enlarge(&self, _bytes: usize) -> bool {
        false
    }

    /// Does nothing: the pipe was never enlarged.
    pub fn shrink(&self, _bytes: usize) {}

    /// Returns how many bytes wait in it.
    pub fn waiting(&self) -> usize {
        let unread = usize::try_from(rustix::io::ioctl_fionread(&self.fifo).unwrap_or(0)).unwrap_or(0);
        self.hand().bytes.len() + unread
    }

    /// Moves up to `most` bytes to the file's position. Fails with `WouldBlock` if there are none.
    pub fn transfer(&self, mut file: &File, most: usize) -> io::Result<usize> {
        let mut hand = self.hand();
        if hand.bytes.is_empty() {
            self.take(&mut hand, most.min(WINDOW))?;
        }
        let wanted = hand.bytes.len().min(most);
        let mut moved = 0;
        while moved < wanted {
            match file.write(&hand.bytes[moved..wanted]) {
                Ok(0) => break,
                Ok(written) => moved += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The written bytes count; the rest stays in memory, and the next try returns the error again.
                Err(_) if moved > 0 => break,
                Err(error) => return Err(error),
            }
        }
        hand.bytes.drain(..moved);
        hand.come_again();
        Ok(moved)
    }

    /// Copies waiting bytes, which are kept in memory from then on until they are moved.
    pub fn peek(&self, peeker: &mut Peeker, most: usize) -> io::Result<usize> {
        let mut hand = self.hand();
        if hand.bytes.is_empty() {
            self.take(&mut hand, most.min(WINDOW))?;
        }
        let seen = hand.bytes.len().min(most).min(peeker.bytes.len());
        peeker.bytes[..seen].copy_from_slice(&hand.bytes[..seen]);
        hand.come_again();
        Ok(seen)
    }

    /// Drops up to a buffer of waiting bytes. Returns how many.
    pub fn discard(&self) -> io::Result<usize> {
        let mut hand = self.hand();
        if hand.bytes.is_empty() {
            self.take(&mut hand, WINDOW)?;
        }
        let dropped = hand.bytes.len();
        hand.bytes.clear();
        Ok(dropped)
    }

    fn take(&self, hand: &mut Hand, most: usize) -> io::Result<()> {
        hand.bytes.resize(most, 0);
        let read = rustix::io::read(&self.fifo, &mut hand.bytes[..]);
        hand.bytes.truncate(*read.as_ref().unwrap_or(&0));
        read?;
        Ok(())
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hand {
    /// Wakes the poller for bytes in memory, which do not make the FIFO readable.
    fn come_again(&self) {
        if !self.bytes.is_empty()
            && let Some((poller, key)) = &self.poller
        {
            // Fails only for an output that is not watched any more.
            let _ = poller.poke(*key);
        }
    }
}

fn make_fifo(path: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a NUL-terminated path.
    if unsafe { libc::mkfifo(path.as_ptr(), 0o600) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
        Ok(Self { bytes: vec![0; WINDOW] })
    }
}

/// Waits for many outputs at once, and for a wake from another thread.
pub struct Poller(Arc<Queue>);

/// Ends a [`Poller::wait`] from another thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<Queue>);

impl Waker {
    /// Ends the current or the next wait.
    pub fn wake(&self) {
        // Fails only without a queue, and then nothing waits.
        let _ = self.0.poke(WAKE);
    }
}

const WAKE: u64 = u64::MAX;

impl Poller {
    /// Creates a poller, and the waker that ends its waits.
    pub fn new() -> io::Result<(Self, Waker)> {
        let queue = Arc::new(Queue::new()?);
        queue.expect(WAKE)?;
        Ok((Self(Arc::clone(&queue)), Waker(queue)))
    }

    /// Watches an output under a key.
    pub fn add(&self, output: &Output, key: u64) -> io::Result<()> {
        self.0.watch(&output.fifo, key)?;
        self.0.expect(key)?;
        let mut hand = output.hand();
        hand.poller = Some((Arc::clone(&self.0), key));
        hand.come_again();
        Ok(())
    }

    /// Stops watching an output.
    pub fn remove(&self, output: &Output) {
        let _ = self.0.forget(&output.fifo);
        if let Some((queue, key)) = output.hand().poller.take() {
            let _ = queue.expect_no_more(key);
        }
    }

    /// Waits until an output has bytes, a wake comes or the time is over. Fills `ready` with the keys of outputs that
    /// have bytes.
    pub fn wait(&self, timeout: Option<std::time::Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        ready.clear();
        let mut happened = Vec::new();
        self.0.wait(timeout, &mut happened)?;
        ready.extend(happened.iter().map(|event| event.key).filter(|key| *key != WAKE));
        // An output with bytes both in the FIFO and in memory is reported twice.
        ready.sort_unstable();
        ready.dedup();
        Ok(())
    }
}
