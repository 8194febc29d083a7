//! Owned, borrowed and duplicated handles.

use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::Arc;

use windows_sys::Win32::Foundation::{DUPLICATE_SAME_ACCESS, DuplicateHandle, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use super::outlet::Outlet;

/// An open file or pipe, ready to be given to a service.
#[derive(Debug)]
pub struct Handle {
    file: OwnedHandle,
    outlet: Option<Arc<Outlet>>,
}

/// A borrowed open file or pipe.
pub type Borrowed<'a> = &'a Handle;

/// Borrows an open file or pipe.
pub fn borrow(handle: &Handle) -> Borrowed<'_> {
    handle
}

/// Makes a pipe for what a command writes: the end to read from, and the end for the command.
pub fn output_pipe() -> io::Result<(io::PipeReader, Handle)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader, File::from(OwnedHandle::from(writer)).into()))
}

impl Handle {
    /// Wraps the writing end of an output: the process that gets it keeps the whole pipe.
    pub(super) fn of_outlet(file: OwnedHandle, outlet: Arc<Outlet>) -> Self {
        Self { file, outlet: Some(outlet) }
    }

    pub(super) fn outlet(&self) -> Option<&Outlet> {
        self.outlet.as_deref()
    }
}

impl From<File> for Handle {
    fn from(file: File) -> Self {
        Self { file: file.into(), outlet: None }
    }
}

impl AsRawHandle for Handle {
    fn as_raw_handle(&self) -> HANDLE {
        self.file.as_raw_handle()
    }
}

/// Converts the result of a call that returns zero on failure.
pub(super) fn done(result: i32) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes ownership of a handle that a call has just returned; both values that the system uses for "no handle" are
/// errors.
///
/// # Safety
/// The handle has no other owner.
pub(super) unsafe fn own(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: valid, and the caller guarantees that it has no other owner.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Duplicates a handle so that children can inherit it.
pub(super) fn inheritable(handle: &impl AsRawHandle) -> io::Result<OwnedHandle> {
    let mut copy = ptr::null_mut();
    // SAFETY: both processes are this process, and the handle is open while it is borrowed.
    unsafe {
        let me = GetCurrentProcess();
        done(DuplicateHandle(me, handle.as_raw_handle(), me, &raw mut copy, 0, 1, DUPLICATE_SAME_ACCESS))?;
        own(copy)
    }
}

/// Duplicates a handle into another process. Returns its number there.
pub(super) fn give(handle: &impl AsRawHandle, to: &impl AsRawHandle, inherited: bool) -> io::Result<usize> {
    let mut there = ptr::null_mut();
    // SAFETY: both handles are open while they are borrowed.
    let given = unsafe {
        let (me, to) = (GetCurrentProcess(), to.as_raw_handle());
        DuplicateHandle(
            me,
            handle.as_raw_handle(),
            to,
            &raw mut there,
            0,
            inherited.into(),
            DUPLICATE_SAME_ACCESS,
        )
    };
    done(given)?;
    Ok(there.addr())
}

/// Duplicates the handle that another process has under a number.
pub(super) fn take(number: usize, from: &impl AsRawHandle) -> io::Result<OwnedHandle> {
    let mut here = ptr::null_mut();
    // SAFETY: a number that is not a handle there is an error, not undefined behaviour.
    unsafe {
        let (me, there) = (GetCurrentProcess(), ptr::without_provenance_mut(number));
        done(DuplicateHandle(from.as_raw_handle(), there, me, &raw mut here, 0, 0, DUPLICATE_SAME_ACCESS))?;
        own(here)
    }
}

/// Encodes a text for the system: UTF-16 with a final 0.
pub(super) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
