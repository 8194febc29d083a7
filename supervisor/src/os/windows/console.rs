//! Ctrl-Break: as close to SIGTERM as Windows gets. A service has an invisible console of its own and leads a process
//! group in it; whoever wants to be heard there must first be on that console.
//!
//! The supervisor goes there for the moment of one call. It has no console itself when `ctl`, a guard or the task at
//! log-on has started it; one that a person has started in a terminal comes back to that. Only the group that the
//! service leads is asked, so that nobody else on either console hears anything.

use std::io;
use std::sync::{Mutex, PoisonError};

use windows_sys::Win32::Foundation::ERROR_INVALID_PARAMETER;
use windows_sys::Win32::System::Console::{
    ATTACH_PARENT_PROCESS, AttachConsole, CTRL_BREAK_EVENT, FreeConsole, GenerateConsoleCtrlEvent,
    GetConsoleCP,
};

use super::handle::done;
use crate::os::signal;

/// A process is on one console at a time.
static CONSOLE: Mutex<()> = Mutex::new(());

/// Asks the process group that `leader` leads, as well as Windows can: every polite signal is the same Ctrl-Break.
///
/// `Unsupported`: it can not be asked. It has no console (it has a window, or left it), or Windows has no such signal.
pub(super) fn ask(leader: u32, number: i32) -> io::Result<()> {
    match signal::name(number).as_str() {
        "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGQUIT" => ctrl_break(leader),
        // Nothing is ever stopped here that had to be let go on.
        "SIGCONT" => Ok(()),
        name => Err(unsupported(format!("Windows has nothing like {name}"))),
    }
}

fn unsupported(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

fn ctrl_break(leader: u32) -> io::Result<()> {
    let _one_at_a_time = CONSOLE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: calls without memory. The event goes to the group of the leader, of which this process is none.
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
            // It has ended meanwhile: that is what was wanted.
            Err(error) if error.raw_os_error() == i32::try_from(ERROR_INVALID_PARAMETER).ok() => Ok(()),
            Err(error) => Err(unsupported(format!("it has no console to hear Ctrl-Break on: {error}"))),
        };
        if had_one {
            AttachConsole(ATTACH_PARENT_PROCESS);
        }
        asked
    }
}
