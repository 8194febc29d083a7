//! Ctrl-Break: as close to SIGTERM as Windows gets. A service has an invisible console of its own and leads a process
//! group in it; whoever wants to be heard there must first be on that console.

use std::io;
use std::sync::{Mutex, PoisonError};

use windows_sys::Win32::System::Console::{
    ATTACH_PARENT_PROCESS, AttachConsole, CTRL_BREAK_EVENT, FreeConsole, GenerateConsoleCtrlEvent,
    GetConsoleCP,
};

use super::handle::done;
use crate::os::signal;

/// A process is on one console at a time.
static CONSOLE: Mutex<()> = Mutex::new(());

/// Asks the process group that `leader` leads, as well as Windows can: every polite signal is the same Ctrl-Break.
/// A program without a console (it has a window, or it left it) can not be asked: that is an error.
pub(super) fn ask(leader: u32, number: i32) -> io::Result<()> {
    match signal::name(number).as_str() {
        "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGQUIT" => ctrl_break(leader),
        // Nothing is ever stopped here that had to be let go on.
        "SIGCONT" => Ok(()),
        name => Err(io::Error::new(io::ErrorKind::Unsupported, format!("Windows has nothing like {name}"))),
    }
}

fn ctrl_break(leader: u32) -> io::Result<()> {
    let _one_at_a_time = CONSOLE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: calls without memory. The event goes to the group of the leader, of which this process is none.
    unsafe {
        // Usually there is none: only a supervisor that was started by hand, in a terminal, has one.
        let had_one = GetConsoleCP() != 0;
        if had_one {
            FreeConsole();
        }
        let asked = done(AttachConsole(leader)).and_then(|()| {
            let sent = done(GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, leader));
            FreeConsole();
            sent
        });
        if had_one {
            AttachConsole(ATTACH_PARENT_PROCESS);
        }
        asked
    }
}
