//! The pipe behind an output of a service. Like a FIFO it never breaks: the supervisor holds both ends, and so does
//! each process that it was given to, under two handles that the process does not know of.
//!
//! What outlives the supervisor: a living leader keeps its pipe, with the unread output in it; a service that writes
//! more than 64 KiB meanwhile waits. The next supervisor duplicates the ends from the leader: a small file at the
//! output's path tells which process has them, and under which numbers. What is lost: output that is unread when the
//! leader ends while no supervisor runs. What may be written twice: a supervisor that is killed between writing to the
//! log and taking from the pipe causes at most one move (64 KiB) to be repeated.

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

/// The most bytes that wait in a pipe.
const ROOM: u32 = 64 * 1024;

/// How many processes are recorded as holders of a pipe: the leader, and a `stop.command` beside it.
const KEEPERS: usize = 2;

/// The pipes of this supervisor, by the path of their output.
static OPEN: Mutex<BTreeMap<PathBuf, Weak<Outlet>>> = Mutex::new(BTreeMap::new());

/// The number of the next pipe: no number is used twice.
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

/// Creates an event, which is reset by hand or after one waiter.
pub(super) fn event(by_hand: bool) -> io::Result<OwnedHandle> {
    // SAFETY: no memory, no name; the handle is new.
    unsafe { own(CreateEventW(ptr::null(), by_hand.into(), 0, ptr::null())) }
}

impl Outlet {
    /// Returns the pipe of an output: already open, kept by a process of an earlier supervisor, or new.
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
        // With `FILE_READ_ATTRIBUTES`, because programs query the type of their output.
        let writer = OpenOptions::new().access_mode(GENERIC_WRITE | FILE_READ_ATTRIBUTES).open(&name)?;
        Ok((reader, writer.into()))
    }

    /// Duplicates a pipe from the process that keeps it, if one still does.
    fn kept(path: &Path) -> Option<(OwnedHandle, OwnedHandle, String)> {
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().rev().find_map(|line| {
            let mut numbers = line.split(' ').map(|number| number.parse::<u64>().ok());
            let mut next = || numbers.next().flatten();
            let identity = Identity { pid: u32::try_from(next()?).ok()?, start: next()? };
            let (reader, writer) = (usize::try_from(next()?).ok()?, usize::try_from(next()?).ok()?);
            let keeper = process::open(identity, PROCESS_DUP_HANDLE)?;
            let (reader, writer) = (take(reader, &keeper).ok()?, take(writer, &keeper).ok()?);
            // The process may have closed the unknown handle, and may use its number for something else now.
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

    /// Returns another handle of the writing end.
    pub(super) fn writer(&self) -> io::Result<OwnedHandle> {
        self.writer.try_clone()
    }

    pub(super) fn reader(&self) -> &OwnedHandle {
        &self.reader
    }

    /// Returns how many bytes wait in it.
    pub(super) fn waiting(&self) -> io::Result<usize> {
        let mut waiting = 0;
        let nothing = ptr::null_mut();
        // SAFETY: the handle is open, and the call fills a single number.
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

    /// Copies waiting bytes without removing them. Fails with `WouldBlock` if there are none.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut seen = 0;
        let (none, room) = (ptr::null_mut(), u32::try_from(buffer.len()).unwrap_or(u32::MAX));
        // SAFETY: the call fills at most the length of the buffer.
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

    /// Takes waiting bytes: must be called only if there are some, and only by the pipe's single reader.
    pub(super) fn take(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let event = event(true)?;
        let mut operation = OVERLAPPED { hEvent: event.as_raw_handle(), ..Default::default() };
        let room = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let mut taken = 0;
        // SAFETY: buffer, operation and event outlive the operation, because its end is awaited.
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

/// Returns whether a handle is the reading (server's) or the writing (client's) end of a pipe.
fn is_end(handle: &OwnedHandle, reading: bool) -> bool {
    let mut flags = 0;
    let nothing = ptr::null_mut();
    // SAFETY: the call fills a single number, and fails for what is not a pipe.
    let asked =
        unsafe { GetNamedPipeInfo(handle.as_raw_handle(), &raw mut flags, nothing, nothing, nothing) };
    done(asked).is_ok() && (flags & PIPE_SERVER_END != 0) == reading
}
