//! Handles: owned, lent, duplicated.

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

/// One that is lent.
pub type Borrowed<'a> = &'a Handle;

/// Lends one.
pub fn borrow(handle: &Handle) -> Borrowed<'_> {
    handle
}

impl Handle {
    /// The writing end of an output: whoever gets it keeps the whole pipe.
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

/// What a call that answers yes or no has to say.
pub(super) fn done(result: i32) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes over a handle that a call has just returned; both of the system's words for "none" are errors.
///
/// # Safety
/// It is nobody else's.
pub(super) unsafe fn own(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: valid, and the caller says that it is ours.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// The same for children: a handle they may inherit.
pub(super) fn inheritable(handle: &impl AsRawHandle) -> io::Result<OwnedHandle> {
    let mut copy = ptr::null_mut();
    // SAFETY: both processes are this one, and the handle is open while it is borrowed.
    unsafe {
        let me = GetCurrentProcess();
        done(DuplicateHandle(me, handle.as_raw_handle(), me, &raw mut copy, 0, 1, DUPLICATE_SAME_ACCESS))?;
        own(copy)
    }
}

/// Gives another process a handle of its own; the number it has there.
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

/// Takes a copy of what another process has under a number.
pub(super) fn take(number: usize, from: &impl AsRawHandle) -> io::Result<OwnedHandle> {
    let mut here = ptr::null_mut();
    // SAFETY: a number that is not a handle there is an error, not undefined.
    unsafe {
        let (me, there) = (GetCurrentProcess(), ptr::without_provenance_mut(number));
        done(DuplicateHandle(from.as_raw_handle(), there, me, &raw mut here, 0, 0, DUPLICATE_SAME_ACCESS))?;
        own(here)
    }
}

/// A text as the system takes it.
pub(super) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
