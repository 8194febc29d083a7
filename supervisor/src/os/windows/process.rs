//! A process, held by its handle: no other process can get its pid.

use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use windows_sys::Win32::Foundation::{
    FILETIME, NTSTATUS, STATUS_ACCESS_VIOLATION, STATUS_CONTROL_C_EXIT, STATUS_ILLEGAL_INSTRUCTION,
    STATUS_INTEGER_DIVIDE_BY_ZERO, STATUS_STACK_BUFFER_OVERRUN, STATUS_STACK_OVERFLOW, WAIT_OBJECT_0,
};
use windows_sys::Win32::System::Threading::{
    GetExitCodeProcess, GetProcessTimes, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
    PROCESS_TERMINATE, TerminateProcess, WaitForSingleObject,
};

use super::console;
use super::handle::{done, own};
use super::job::Job;
use super::wait::Wait;
use crate::lifecycle::Exit;
use crate::os::{Identity, signal};

/// The exit status of processes that the supervisor kills: a distinct value, to tell a kill from an exit.
pub(super) const KILLED: u32 = 0xE053_4B09;

/// A process of a service.
#[derive(Debug)]
pub struct Process {
    identity: Identity,
    handle: OwnedHandle,
    /// The job, kept open until the run's tree has opened it.
    _job: Option<Arc<Job>>,
}

impl Process {
    pub(super) fn started(identity: Identity, handle: OwnedHandle, job: Arc<Job>) -> Self {
        Self { identity, handle, _job: Some(job) }
    }

    /// Opens a process that an earlier supervisor started; `None` if it is gone, or another process has its pid.
    pub fn adopt(identity: Identity) -> Option<Self> {
        let handle =
            open(identity, PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE | PROCESS_TERMINATE)?;
        Some(Self { identity, handle, _job: None })
    }

    /// Returns its identity.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns its pid.
    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// Completes when the process has ended.
    pub fn exited(&self) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let (tell, told) = oneshot::channel();
        let tell = Mutex::new(Some(tell));
        let wait = Wait::new(self.handle.try_clone()?, true, move || {
            // The receiver is gone if the future was dropped.
            let _ = tell.lock().unwrap_or_else(PoisonError::into_inner).take().map(|tell| tell.send(()));
        })?;
        Ok(async move {
            // Fails only if the callback is gone, which `wait` owns.
            let _ = told.await;
            drop(wait);
        })
    }

    /// Always `true`: its orphans stay in its job, whichever supervisor started it.
    pub fn is_child(&self) -> bool {
        true
    }

    /// Always `None`: sockets are not held here.
    pub fn listener(&self, _number: i32, _address: std::net::SocketAddr) -> Option<super::Handle> {
        None
    }

    /// Returns whether it has ended.
    pub fn has_exited(&self) -> bool {
        has_ended(&self.handle)
    }

    /// Returns how it ended. Must be called after [`exited`](Self::exited).
    pub fn reap(&self) -> Exit {
        let mut code = 0;
        // SAFETY: the handle is open, and the call fills a single number.
        let read = done(unsafe { GetExitCodeProcess(self.handle.as_raw_handle(), &raw mut code) });
        if read.is_err() || !self.has_exited() { Exit::Unknown } else { exit_of(code) }
    }

    /// Kills it, or tells it to end: Windows has nothing in between. A process that has ended is no error.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        if self.has_exited() {
            return Ok(());
        }
        if number != signal::KILL {
            return console::ask(self.identity.pid, number);
        }
        // SAFETY: the handle is open.
        let ended = done(unsafe { TerminateProcess(self.handle.as_raw_handle(), KILLED) });
        // A process that is about to end refuses.
        ended.or_else(|error| if self.has_exited() || is_denied(&error) { Ok(()) } else { Err(error) })
    }
}

/// Returns whether access was denied, as by a process that is just ending; a process that lives on is found by the next
/// sweep.
fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Opens a living process, if it still has this identity.
pub(super) fn open(identity: Identity, access: u32) -> Option<OwnedHandle> {
    let handle = open_pid(identity.pid, access | PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE)?;
    // Opened first and checked second, so that the check applies to what the handle holds.
    (start_time(&handle) == Some(identity.start) && !has_ended(&handle)).then_some(handle)
}

/// Opens the process that has a pid now.
pub(super) fn open_pid(pid: u32, access: u32) -> Option<OwnedHandle> {
    // SAFETY: a call without memory; the handle is new.
    unsafe { own(OpenProcess(access, 0, pid)) }.ok()
}

/// Returns when a process was created, in the system's own unit.
pub(super) fn start_time(process: &OwnedHandle) -> Option<u64> {
    Some(times(process)?.0)
}

/// Returns when a process was created, and the CPU time it has used, both in the system's own unit of 100 ns.
pub(super) fn times(process: &OwnedHandle) -> Option<(u64, u64)> {
    let mut times = [FILETIME::default(); 4];
    let [created, exited, kernel, user] = &mut times;
    // SAFETY: the handle is open, and the call fills four times.
    done(unsafe { GetProcessTimes(process.as_raw_handle(), created, exited, kernel, user) }).ok()?;
    let number = |time: &FILETIME| u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
    Some((number(&times[0]), number(&times[2]) + number(&times[3])))
}

fn has_ended(process: &OwnedHandle) -> bool {
    // SAFETY: the handle is open.
    unsafe { WaitForSingleObject(process.as_raw_handle(), 0) == WAIT_OBJECT_0 }
}

/// Converts an exit code. Codes with a signal's meaning elsewhere get its name, so that `success_codes` and people need
/// a single word.
fn exit_of(code: u32) -> Exit {
    const NAMES: [(NTSTATUS, &str); 6] = [
        (STATUS_CONTROL_C_EXIT, "SIGINT"),
        (STATUS_ACCESS_VIOLATION, "SIGSEGV"),
        (STATUS_STACK_OVERFLOW, "SIGSEGV"),
        (STATUS_ILLEGAL_INSTRUCTION, "SIGILL"),
        (STATUS_INTEGER_DIVIDE_BY_ZERO, "SIGFPE"),
        (STATUS_STACK_BUFFER_OVERRUN, "SIGABRT"),
    ];
    if code == KILLED {
        return Exit::Signal(signal::name(signal::KILL));
    }
    let code = code.cast_signed();
    let named = NAMES.iter().find(|(status, _)| *status == code);
    named.map_or(Exit::Code(code), |(_, name)| Exit::Signal((*name).into()))
}

/// A stand-in: there are no orphans to reap here, and each process is watched by its own handle.
#[derive(Debug)]
pub struct Children;

impl Children {
    /// Never fails: nothing is watched.
    pub fn watch() -> io::Result<Self> {
        Ok(Self)
    }

    /// Never returns: nothing is watched.
    pub async fn ended(&mut self) {
        std::future::pending::<()>().await;
    }
}

/// Reaps nothing: a process that has ended disappears with its last handle.
pub fn orphans_reaped(_is_known: impl Fn(u32) -> bool) -> (usize, Option<u32>) {
    (0, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_that_have_a_name_get_it() {
        assert_eq!(exit_of(0), Exit::Code(0));
        assert_eq!(exit_of(41), Exit::Code(41));
        assert_eq!(exit_of(KILLED), Exit::Signal("SIGKILL".into()));
        assert_eq!(exit_of(0xC000_0005), Exit::Signal("SIGSEGV".into()));
        assert_eq!(exit_of(0xC000_013A), Exit::Signal("SIGINT".into()));
        assert_eq!(exit_of(u32::MAX), Exit::Code(-1));
    }
}
