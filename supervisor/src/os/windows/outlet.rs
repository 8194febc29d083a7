//! The pipe behind one output of a service. Like a FIFO it has no end that could be missed: the supervisor holds both
//! ends, and so does, under two handles that it knows nothing of, each process it was given to.
//!
//! What outlives the supervisor: a leader that lives keeps its pipe, and what was written waits there; who writes more
//! than 64 KiB meanwhile waits too. The next supervisor takes its own copies out of the leader, as a small file at the
//! output's path says who keeps it and under which numbers. What is lost: whatever is unread when the leader ends
//! while no supervisor lives. What may come twice: a supervisor killed between writing to the log and taking from the
//! pipe leaves at most one move (64 KiB) to be written once more.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, GENERIC_WRITE};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, FILE_READ_ATTRIBUTES, PIPE_ACCESS_INBOUND, ReadFile,
};
use windows_sys::Win32::System::IO::{GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, GetNamedPipeInfo, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_SERVER_END,
    PIPE_TYPE_BYTE, PIPE_WAIT, PeekNamedPipe,
};
use windows_sys::Win32::System::Threading::{CreateEventW, PROCESS_DUP_HANDLE};

use super::handle::{done, give, own, take, wide};
use super::private::Private;
use super::{host, process};
use crate::os::Identity;

/// What waits in a pipe at most.
const ROOM: u32 = 64 * 1024;

/// Processes that are remembered as fd stores: the leader, and a `stop.command` beside it.
const KEEPERS: usize = 2;

/// The pipes of this supervisor, by the path of their output.
static OPEN: Mutex<BTreeMap<PathBuf, Weak<Outlet>>> = Mutex::new(BTreeMap::new());

/// Counts them: a number is not used twice.
static NUMBER: AtomicU64 = AtomicU64::new(1);

#[derive(Debug)]
pub(super) struct Outlet {
    path: PathBuf,
    reader: OwnedHandle,
    writer: OwnedHandle,
    number: u64,
    fd_stores: Mutex<Vec<String>>,
}

fn open_ones() -> MutexGuard<'static, BTreeMap<PathBuf, Weak<Outlet>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new event, signalled by hand or for one waiter at a time.
pub(super) fn event(by_hand: bool) -> io::Result<OwnedHandle> {
    // SAFETY: no memory, no name; the handle is new.
    unsafe { own(CreateEventW(ptr::null(), by_hand.into(), 0, ptr::null())) }
}

impl Outlet {
    /// The one of an output: open already, kept by a process of an earlier supervisor, or new.
    pub(super) fn open(path: &Path) -> io::Result<Arc<Self>> {
        let mut open = open_ones();
        if let Some(outlet) = open.get(path).and_then(Weak::upgrade) {
            return Ok(outlet);
        }
        let (reader, writer, fd_stores) = match Self::kept(path) {
            Some((reader, writer, keeper)) => (reader, writer, vec![keeper]),
            None => Self::new_pipe().map(|(reader, writer)| (reader, writer, Vec::new()))?,
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let outlet =
            Arc::new(Self { path: path.into(), reader, writer, number, fd_stores: Mutex::new(fd_stores) });
        open.retain(|_, outlet| outlet.strong_count() > 0);
        open.insert(path.into(), Arc::downgrade(&outlet));
        Ok(outlet)
    }

    /// The one of an output that is open.
    pub(super) fn find(path: &Path) -> Option<Arc<Self>> {
        open_ones().get(path)?.upgrade()
    }

    fn new_pipe() -> io::Result<(OwnedHandle, OwnedHandle)> {
        let name = format!(r"\\.\pipe\sereno-output-{}-{}", std::process::id(), host::random_id()?);
        let access = PIPE_ACCESS_INBOUND | FILE_FLAG_FIRST_PIPE_INSTANCE | FILE_FLAG_OVERLAPPED;
        let mode = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS;
        let private = Private::new(false)?;
        let attributes = private.attributes();
        // SAFETY: the name ends with 0, and the attributes outlive the call; the handle is new.
        let reader = unsafe {
            let name = wide(&name);
            own(CreateNamedPipeW(name.as_ptr(), access, mode, 1, 0, ROOM, 0, &raw const attributes))
        }?;
        // Programs ask what kind of thing their output is.
        let writer = OpenOptions::new().access_mode(GENERIC_WRITE | FILE_READ_ATTRIBUTES).open(&name)?;
        Ok((reader, writer.into()))
    }

    /// Out of the process that keeps it, if one still does.
    fn kept(path: &Path) -> Option<(OwnedHandle, OwnedHandle, String)> {
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().rev().find_map(|line| {
            let mut numbers = line.split(' ').map(|number| number.parse::<u64>().ok());
            let mut next = || numbers.next().flatten();
            let identity = Identity { pid: u32::try_from(next()?).ok()?, start: next()? };
            let (reader, writer) = (usize::try_from(next()?).ok()?, usize::try_from(next()?).ok()?);
            let keeper = process::open(identity, PROCESS_DUP_HANDLE)?;
            let (reader, writer) = (take(reader, &keeper).ok()?, take(writer, &keeper).ok()?);
            // The process may have closed what it knows nothing of, and have something else there now.
            (is_end(&reader, true) && is_end(&writer, false)).then(|| (reader, writer, line.to_owned()))
        })
    }

    /// Lets a new process keep both ends, and writes down under which numbers.
    pub(super) fn keep_in(&self, keeper: &OwnedHandle, identity: Identity) -> io::Result<()> {
        let (reader, writer) = (give(&self.reader, keeper, false)?, give(&self.writer, keeper, false)?);
        let mut fd_stores = self.fd_stores.lock().unwrap_or_else(PoisonError::into_inner);
        fd_stores.push(format!("{} {} {reader} {writer}", identity.pid, identity.start));
        let old = fd_stores.len().saturating_sub(KEEPERS);
        fd_stores.drain(..old);
        std::fs::write(&self.path, fd_stores.join("\n"))
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Another handle of the writing end.
    pub(super) fn writer(&self) -> io::Result<OwnedHandle> {
        self.writer.try_clone()
    }

    pub(super) fn reader(&self) -> &OwnedHandle {
        &self.reader
    }

    /// Bytes that wait in it.
    pub(super) fn waiting(&self) -> io::Result<usize> {
        let mut waiting = 0;
        let nothing = ptr::null_mut();
        // SAFETY: the handle is open, and the call fills one number.
        let asked = unsafe {
            PeekNamedPipe(
                self.reader.as_raw_handle(),
                ptr::null_mut(),
                0,
                ptr::null_mut(),
                &raw mut waiting,
                nothing,
            )
        };
        done(asked)?;
        Ok(usize::try_from(waiting).unwrap_or(0))
    }

    /// Copies what waits, taking nothing. `WouldBlock`: there is nothing.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut seen = 0;
        let (none, room) = (ptr::null_mut(), u32::try_from(buffer.len()).unwrap_or(u32::MAX));
        // SAFETY: the call fills at most as much of the buffer as there is.
        done(unsafe {
            PeekNamedPipe(
                self.reader.as_raw_handle(),
                buffer.as_mut_ptr().cast(),
                room,
                &raw mut seen,
                none,
                none,
            )
        })?;
        if seen == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(usize::try_from(seen).unwrap_or(0)) }
    }

    /// Takes what waits: to be called when something does, by the only one who takes.
    pub(super) fn take(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let event = event(true)?;
        let mut operation = OVERLAPPED { hEvent: event.as_raw_handle(), ..Default::default() };
        let room = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let mut taken = 0;
        // SAFETY: buffer, operation and event outlive the operation, as we wait for its end.
        unsafe {
            let reader = self.reader.as_raw_handle();
            let begun =
                done(ReadFile(reader, buffer.as_mut_ptr(), room, ptr::null_mut(), &raw mut operation));
            if let Err(error) = begun
                && error.raw_os_error() != i32::try_from(ERROR_IO_PENDING).ok()
            {
                return Err(error);
            }
            done(GetOverlappedResult(reader, &raw const operation, &raw mut taken, 1))?;
        }
        Ok(usize::try_from(taken).unwrap_or(0))
    }
}

/// Whether a handle is a reading (server's) or a writing (client's) end of a pipe.
fn is_end(handle: &OwnedHandle, reading: bool) -> bool {
    let mut flags = 0;
    let nothing = ptr::null_mut();
    // SAFETY: the call fills one number, and fails for what is no pipe.
    let asked =
        unsafe { GetNamedPipeInfo(handle.as_raw_handle(), &raw mut flags, nothing, nothing, nothing) };
    done(asked).is_ok() && (flags & PIPE_SERVER_END != 0) == reading
}
