//! kqueues: descriptors that become readable when something happens.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use libc::{
    EV_ADD, EV_CLEAR, EV_DELETE, EV_ONESHOT, EVFILT_PROC, EVFILT_READ, EVFILT_USER, EVFILT_VNODE,
    NOTE_TRIGGER, kevent,
};

/// A queue of kernel events.
#[derive(Debug)]
pub(super) struct Queue(OwnedFd);

// SAFETY of all calls below: the descriptor is open, and every list is given with its length.
impl Queue {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a call without memory; the descriptor is new and owned here.
        let queue = unsafe {
            let queue = libc::kqueue();
            if queue < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(queue)
        };
        rustix::io::fcntl_setfd(&queue, rustix::io::FdFlags::CLOEXEC)?;
        Ok(Self(queue))
    }

    /// Creates a queue that reports the end of a process; `None` if it has ended. It includes the exit status where the
    /// kernel tells it, which it does for every process that this process may signal.
    pub(super) fn of_process(pid: u32) -> io::Result<Option<Self>> {
        let queue = Self::new()?;
        let watch =
            |what| queue.change(usize_of(pid), EVFILT_PROC, EV_ADD | EV_ONESHOT, what, ptr::null_mut());
        let watched = match watch(libc::NOTE_EXIT | libc::NOTE_EXITSTATUS) {
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => watch(libc::NOTE_EXIT),
            watched => watched,
        };
        match watched {
            Ok(()) => Ok(Some(queue)),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the status that `wait` would return for the process; `None` if it has not ended, or the kernel does not
    /// tell.
    pub(super) fn status(&self) -> Option<i32> {
        let mut happened = Vec::new();
        self.wait(Some(Duration::ZERO), &mut happened).ok()?;
        let event = happened.first().filter(|event| event.fflags & libc::NOTE_EXITSTATUS != 0)?;
        i32::try_from(event.data).ok()
    }

    /// Reports a descriptor as long as it can be read.
    pub(super) fn watch(&self, file: &OwnedFd, key: u64) -> io::Result<()> {
        self.change(descriptor(file), EVFILT_READ, EV_ADD, 0, word(key))
    }

    /// Reports when a file or folder loses its name, and with `whole` when its entries change.
    pub(super) fn watch_file(&self, file: &OwnedFd, whole: bool) -> io::Result<()> {
        let mut what = libc::NOTE_DELETE | libc::NOTE_RENAME | libc::NOTE_REVOKE;
        if whole {
            what |= libc::NOTE_LINK | libc::NOTE_WRITE;
        }
        self.change(descriptor(file), EVFILT_VNODE, EV_ADD | EV_CLEAR, what, ptr::null_mut())
    }

    /// Stops watching a descriptor.
    pub(super) fn forget(&self, file: &OwnedFd) -> io::Result<()> {
        self.change(descriptor(file), EVFILT_READ, EV_DELETE, 0, ptr::null_mut())
    }

    /// Registers a key for [`poke`](Self::poke).
    pub(super) fn expect(&self, key: u64) -> io::Result<()> {
        self.change(key_number(key), EVFILT_USER, EV_ADD | EV_CLEAR, 0, word(key))
    }

    /// Ends a wait with this key, from any thread.
    pub(super) fn poke(&self, key: u64) -> io::Result<()> {
        self.change(key_number(key), EVFILT_USER, 0, NOTE_TRIGGER, word(key))
    }

    /// Removes a key registered for `poke`.
    pub(super) fn expect_no_more(&self, key: u64) -> io::Result<()> {
        self.change(key_number(key), EVFILT_USER, EV_DELETE, 0, ptr::null_mut())
    }

    /// Waits until something happens or the time is over, and collects the events.
    pub(super) fn wait(&self, timeout: Option<Duration>, happened: &mut Vec<Happened>) -> io::Result<()> {
        const AT_ONCE: usize = 64;
        let timeout = timeout.map(|time| libc::timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: plain memory, of which the call fills as much as it returns.
        let (events, count) = unsafe {
            let mut events: [kevent; AT_ONCE] = std::mem::zeroed();
            let room = i32::try_from(AT_ONCE).expect("small");
            let count = libc::kevent(self.0.as_raw_fd(), ptr::null(), 0, events.as_mut_ptr(), room, timeout);
            (events, count)
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        };
        happened.extend(events[..count].iter().map(|event| Happened {
            key: event.udata.addr() as u64,
            fflags: event.fflags,
            data: i64::try_from(event.data).unwrap_or(0),
        }));
        Ok(())
    }

    fn change(
        &self,
        ident: usize,
        filter: i16,
        flags: u16,
        what: u32,
        udata: *mut libc::c_void,
    ) -> io::Result<()> {
        let event = kevent { ident, filter, flags, fflags: what, data: 0, udata };
        // SAFETY: a single change, which outlives the call, and no room for events: an error is that of the call.
        let result =
            unsafe { libc::kevent(self.0.as_raw_fd(), &raw const event, 1, ptr::null_mut(), 0, ptr::null()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// A kernel event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Happened {
    /// The key that it is about.
    pub(super) key: u64,
    fflags: u32,
    data: i64,
}

/// Converts a key to a pointer that the kernel carries and that is never dereferenced.
fn word(key: u64) -> *mut libc::c_void {
    ptr::without_provenance_mut(key_number(key))
}

fn key_number(key: u64) -> usize {
    usize::try_from(key).expect("macOS has 64 bits")
}

fn usize_of(pid: u32) -> usize {
    usize::try_from(pid).expect("macOS has 64 bits")
}

fn descriptor(file: &OwnedFd) -> usize {
    usize::try_from(file.as_raw_fd()).expect("a descriptor is not negative")
}
