//! A callback when a handle is signalled: on a thread of the system, which watches many handles at once.

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr;

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Threading::{
    INFINITE, RegisterWaitForSingleObject, UnregisterWaitEx, WT_EXECUTEINWAITTHREAD, WT_EXECUTEONLYONCE,
};

use super::handle::done;

type Callback = Box<dyn Fn() + Send + Sync>;

/// Calls the callback until it is dropped. The callback must neither block nor panic, nor drop this value.
pub(super) struct Wait {
    registration: HANDLE,
    callback: *mut Callback,
    /// The handle, open for as long as it is watched.
    _object: OwnedHandle,
}

// SAFETY: both pointers are only used by `drop`, and the callback itself may be called and dropped on any thread.
unsafe impl Send for Wait {}
// SAFETY: a shared reference allows no operation.
unsafe impl Sync for Wait {}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wait")
    }
}

impl Wait {
    /// Begins to watch. `once` calls it once, for an object that stays signalled; else it is called each time that the
    /// object is signalled.
    pub(super) fn new(
        object: OwnedHandle,
        once: bool,
        callback: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let callback: *mut Callback = Box::into_raw(Box::new(Box::new(callback)));
        let mut registration = ptr::null_mut();
        let flags = WT_EXECUTEINWAITTHREAD | if once { WT_EXECUTEONLYONCE } else { 0 };
        // SAFETY: the object stays open and the callback allocated until `drop` has unregistered both.
        let registered = done(unsafe {
            let context = callback.cast_const().cast();
            RegisterWaitForSingleObject(
                &raw mut registration,
                object.as_raw_handle(),
                Some(called),
                context,
                INFINITE,
                flags,
            )
        });
        if let Err(error) = registered {
            // SAFETY: allocated above, and not registered.
            drop(unsafe { Box::from_raw(callback) });
            return Err(error);
        }
        Ok(Self { registration, callback, _object: object })
    }
}

unsafe extern "system" fn called(context: *mut c_void, _timed_out: bool) {
    // SAFETY: the callback of a `Wait` that is not dropped before this returns.
    let callback = unsafe { &*context.cast::<Callback>() };
    callback();
}

impl Drop for Wait {
    fn drop(&mut self) {
        // SAFETY: registered by `new`. Returns once no call is under way, so that the callback is no longer shared.
        unsafe {
            UnregisterWaitEx(self.registration, INVALID_HANDLE_VALUE);
            drop(Box::from_raw(self.callback));
        }
    }
}
