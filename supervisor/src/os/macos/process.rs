//! A process, held by its pid and start time. A child keeps its pid until it is reaped; a process that an earlier
//! supervisor started is watched by a kqueue, which refers to the process and not to its pid.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::process::{WaitId, WaitIdOptions};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::proc;
use super::queue::Queue;
use crate::lifecycle::Exit;
use crate::os::unix::{exit_of_wait_status, pid};
use crate::os::{Identity, signal};

/// A process of a service.
#[derive(Debug)]
pub struct Process {
    identity: Identity,
    /// Whether this process must reap it; an adopted process is another process's child.
    is_child: bool,
    /// For an adopted process: tells how it ended, whichever process reaps it.
    end: Option<Queue>,
}

impl Process {
    pub(super) fn child(identity: Identity) -> Self {
        Self { identity, is_child: true, end: None }
    }

    /// Opens a process that an earlier supervisor started; `None` if it is gone, or another process has its pid.
    pub fn adopt(identity: Identity) -> Option<Self> {
        let own = std::process::id();
        let is_child = proc::facts(identity.pid)?.parent == own;
        let end = if is_child { None } else { Queue::of_process(identity.pid).ok()? };
        // Watched first and checked second, so that the check applies to what is watched.
        let facts = proc::facts(identity.pid)?;
        if facts.start != identity.start || facts.is_zombie && !is_child {
            return None;
        }
        Some(Self { identity, is_child, end })
    }

    /// Makes a process from a stored descriptor, which does not exist here: only the identity is used.
    pub(in crate::os) fn kept(identity: Identity, _kept: OwnedFd) -> Self {
        Self { identity, is_child: false, end: None }
    }

    /// Opens a process that ended while no supervisor ran, if it has not been reaped.
    pub(in crate::os) fn unreaped(identity: Identity) -> Option<Self> {
        let facts = proc::facts(identity.pid)?;
        let is_it = facts.start == identity.start && facts.is_zombie;
        is_it.then_some(Self { identity, is_child: false, end: None })
    }

    /// Returns its identity.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns its pid.
    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// Completes when the process has ended; a child is not reaped yet, so its pid and group still belong to it.
    pub fn exited(&self) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let queue = Queue::of_process(self.identity.pid)?;
        // Watched first and checked second: otherwise another process with its pid could be waited for.
        let queue = queue.filter(|_| !self.has_exited());
        // SAFETY: the queue stays open until the watch that owns it is dropped.
        let watch = queue.map(|queue| unsafe { AsyncFd::register_with_interest(queue, Interest::READABLE) });
        let watch = watch.transpose()?;
        Ok(async move {
            if let Some(watch) = watch {
                // Fails only when the runtime shuts down, and nothing waits for the result then.
                let _ = watch.readable().await;
            }
        })
    }

    /// Returns whether it is a child of this process.
    pub fn is_child(&self) -> bool {
        self.is_child
    }

    /// Returns whether it has ended.
    pub fn has_exited(&self) -> bool {
        proc::facts(self.identity.pid)
            .is_none_or(|facts| facts.start != self.identity.start || facts.is_zombie)
    }

    /// Reaps it and returns how it ended. Must be called after [`exited`](Self::exited).
    pub fn reap(&self) -> Exit {
        if self.is_child {
            // Waits, because the kernel reports the end a moment before the process can be reaped.
            return self.wait().unwrap_or(Exit::Unknown);
        }
        let facts = proc::facts(self.identity.pid);
        let zombie = facts.filter(|facts| facts.start == self.identity.start && facts.is_zombie);
        let status = self.end.as_ref().and_then(Queue::status).or(zombie.map(|facts| facts.status));
        status.map_or(Exit::Unknown, exit_of_wait_status)
    }

    fn wait(&self) -> Option<Exit> {
        let number = pid(self.identity.pid)?;
        loop {
            match rustix::process::waitid(WaitId::Pid(number), WaitIdOptions::EXITED) {
                Err(rustix::io::Errno::INTR) => {}
                waited => {
                    let status = waited.ok()??;
                    let code = status.exit_status().map(Exit::Code);
                    return code.or_else(|| Some(Exit::Signal(signal::name(status.terminating_signal()?))));
                }
            }
        }
    }

    /// Reaps a child that never became a service.
    pub(super) fn discard(self) {
        let _ = self.wait();
    }

    /// Sends it a signal; a process that has ended is no error.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        // The pid of a process that is not a child may belong to another process by now.
        if !self.is_child && self.has_exited() {
            return Ok(());
        }
        send(self.identity.pid, number)
    }

    /// Always `None`: macOS does not let a process copy a socket of another.
    pub fn listener(&self, _number: i32, _address: std::net::SocketAddr) -> Option<OwnedFd> {
        None
    }

    /// Always `None`: a process is not a descriptor here.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Signals a process; a process that has ended is no error.
pub(super) fn send(to: u32, number: i32) -> io::Result<()> {
    let Some(to) = pid(to) else { return Ok(()) };
    // SAFETY: a system call without memory.
    let result = unsafe { libc::kill(to.as_raw_nonzero().get(), number) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}
