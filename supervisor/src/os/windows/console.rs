//! Ctrl-Break, the closest to SIGTERM that Windows has. A service has its own invisible console and leads a process
//! group in it; a process that sends an event there must first attach to that console.
//!
//! The supervisor attaches for a single call. It has no console itself when `ctl`, a guard or the task at log-on has
//! started it; a supervisor that a person has started in a terminal returns to that terminal. The event goes only to
//! the group that the service leads, so that no other process on either console receives it.

use std::io;
use std::sync::{Mutex, PoisonError};

use windows_sys::Win32::Foundation::ERROR_INVALID_PARAMETER;
use windows_sys::Win32::System::Console::{
    ATTACH_PARENT_PROCESS, AttachConsole, CTRL_BREAK_EVENT, FreeConsole, GenerateConsoleCtrlEvent,
    GetConsoleCP,
};

use super::handle::done;
use crate::os::signal;

/// Serializes the calls: a process is on one console at a time.
static CONSOLE: Mutex<()> = Mutex::new(());

/// Tells the process group that `leader` leads to end: every stop signal but SIGKILL is the same Ctrl-Break.
///
/// Fails with `Unsupported` if it cannot be told: it has no console (it has a window, or left the console), or Windows
/// has no such signal.
pub(super) fn ask(leader: u32, number: i32) -> io::Result<()> {
    match signal::name(number).as_str() {
        "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGQUIT" => ctrl_break(leader),
        // No process is ever stopped here that would have to be continued.
        "SIGCONT" => Ok(()),
        name => Err(unsupported(format!("Windows has nothing like {name}"))),
    }
}

fn unsupported(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

fn ctrl_break(leader: u32) -> io::Result<()> {
    let _one_at_a_time = CONSOLE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: calls without memory. The event goes to the leader's group, to which this process does not belong.
    unsafe {
        let had_one = GetConsoleCP() != 0;
        if had_one {
            FreeConsole();
        }
        let asked = match done(AttachConsole(leader)) {
            Ok(()) => {
                let sent = done(GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, leader));
                FreeConsole();
                sent.map_err(|error| unsupported(format!("Ctrl-Break is refused: {error}")))
            }
            // It has ended meanwhile, as intended.
            Err(error) if error.raw_os_error() == i32::try_from(ERROR_INVALID_PARAMETER).ok() => Ok(()),
            Err(error) => Err(unsupported(format!("it has no console to hear Ctrl-Break on: {error}"))),
        };
        if had_one {
            AttachConsole(ATTACH_PARENT_PROCESS);
        }
        asked
    }
}
