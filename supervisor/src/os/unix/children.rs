//! Hearing of children that ended, and reaping those that nobody knows.

use std::io;

use rustix::process::{Pid, WaitId, WaitIdOptions};

use crate::lifecycle::Exit;
use crate::os::signal;

/// Tells that some child has ended: also those that nobody started, the orphans.
#[derive(Debug)]
pub struct Children(tokio::signal::unix::Signal);

impl Children {
    /// Needs a tokio runtime.
    pub fn watch() -> io::Result<Self> {
        Ok(Self(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child())?))
    }

    /// Returns when children have ended since the last call. May be dropped and called again.
    pub async fn ended(&mut self) {
        self.0.recv().await;
    }
}

/// Reaps every dead child that is nobody's service: orphans that came to us. `is_known` are leaders, whose status is
/// read by [`reap`](crate::os::Process::reap). Says how many were reaped, and whether a leader stands in the way.
pub fn orphans_reaped(is_known: impl Fn(u32) -> bool) -> (usize, Option<u32>) {
    let mut reaped = 0;
    loop {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // `waitid` does not tell rustix's caller who: libc's does.
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

/// What `wait` and `/proc` say of an end.
pub(in crate::os) fn exit_of_wait_status(status: i32) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal(signal::name(libc::WTERMSIG(status)))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    }
}
