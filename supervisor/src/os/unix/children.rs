//! Hears of children that ended, and reaps those that lead no run.

use std::io;

use rustix::process::{Pid, WaitId, WaitIdOptions};

use crate::lifecycle::Exit;
use crate::os::signal;

/// Reports that a child has ended, including orphans that were adopted from services.
#[derive(Debug)]
pub struct Children(tokio::signal::unix::Signal);

impl Children {
    /// Begins to watch for ended children. Needs a tokio runtime.
    pub fn watch() -> io::Result<Self> {
        Ok(Self(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child())?))
    }

    /// Returns when children have ended since the last call. May be dropped and called again.
    pub async fn ended(&mut self) {
        self.0.recv().await;
    }
}

/// Reaps every dead child that leads no run: orphans that became children of this process. `is_known` tells leaders;
/// their status is read by [`reap`](crate::os::Process::reap). Returns how many were reaped, and the dead leader that
/// is next in line, if any.
pub fn orphans_reaped(is_known: impl Fn(u32) -> bool) -> (usize, Option<u32>) {
    let mut reaped = 0;
    loop {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // `waitid` in rustix does not return the pid; in libc it does.
        let Some(pid) = peek_zombie(peek.bits()) else { return (reaped, None) };
        if is_known(pid) {
            return (reaped, Some(pid));
        }
        let Some(id) = self::pid(pid) else { return (reaped, None) };
        let _ = rustix::process::waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        reaped += 1;
    }
}

fn peek_zombie(options: u32) -> Option<u32> {
    // SAFETY: the kernel fills the structure; `si_pid` is valid for what `waitid` returns.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = i32::try_from(options).ok()?;
        if libc::waitid(libc::P_ALL, 0, &raw mut info, options) != 0 {
            return None;
        }
        u32::try_from(info.si_pid()).ok().filter(|pid| *pid != 0)
    }
}

pub(in crate::os) fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// Converts a status as `wait` and `/proc` give it.
pub(in crate::os) fn exit_of_wait_status(status: i32) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal(signal::name(libc::WTERMSIG(status)))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    }
}
