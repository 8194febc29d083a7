//! A process, held by its pid and when it started. A child keeps its pid until we reap it; one that an earlier supervisor
//! started is watched by a kqueue, which knows the process and not its number.

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
    /// Ours to reap; an adopted one is somebody else's child.
    is_child: bool,
    /// Of an adopted one: tells how it ended, whoever reaps it.
    end: Option<Queue>,
}

impl Process {
    pub(super) fn child(identity: Identity) -> Self {
        Self { identity, is_child: true, end: None }
    }

    /// Takes hold of a process that an earlier supervisor started; `None`: it is gone, or somebody else has its pid.
    pub fn adopt(identity: Identity) -> Option<Self> {
        let own = std::process::id();
        let is_child = proc::facts(identity.pid)?.parent == own;
        let end = if is_child { None } else { Queue::of_process(identity.pid).ok()? };
        // Watched first, judged second: what is watched is what was judged.
        let facts = proc::facts(identity.pid)?;
        if facts.start != identity.start || facts.is_zombie && !is_child {
            return None;
        }
        Some(Self { identity, is_child, end })
    }

    /// One that somebody kept: a process is nothing here that could be kept.
    pub(in crate::os) fn kept(identity: Identity, _kept: OwnedFd) -> Self {
        Self { identity, is_child: false, end: None }
    }

    /// One that ended while nobody supervised, as long as nobody has reaped it.
    pub(in crate::os) fn unreaped(identity: Identity) -> Option<Self> {
        let facts = proc::facts(identity.pid)?;
        let is_it = facts.start == identity.start && facts.is_zombie;
        is_it.then_some(Self { identity, is_child: false, end: None })
    }

    /// Who it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// Ends when the process has ended; a child is not reaped yet, so its pid and group still are its own.
    pub fn exited(&self) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let queue = Queue::of_process(self.identity.pid)?;
        // Watched first, judged second: else somebody else with its pid would be waited for.
        let queue = queue.filter(|_| !self.has_exited());
        // SAFETY: the queue stays open until the watch that owns it is dropped.
        let watch = queue.map(|queue| unsafe { AsyncFd::register_with_interest(queue, Interest::READABLE) });
        let watch = watch.transpose()?;
        Ok(async move {
            if let Some(watch) = watch {
                // An error here is that of a runtime that shuts down: nobody waits for the answer.
                let _ = watch.readable().await;
            }
        })
    }

    /// Whether it is a child of this process.
    pub fn is_child(&self) -> bool {
        self.is_child
    }

    /// Whether it has ended.
    pub fn has_exited(&self) -> bool {
        proc::facts(self.identity.pid)
            .is_none_or(|facts| facts.start != self.identity.start || facts.is_zombie)
    }

    /// How it ended, and it is gone for good. To be called after [`exited`](Self::exited).
    pub fn reap(&self) -> Exit {
        if self.is_child {
            // Not without waiting: the kernel tells of the end a moment before there is something to reap.
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

    /// Sends it a signal; one that is gone is no error.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        // The pid of one that is not ours may be somebody else's by now.
        if !self.is_child && self.has_exited() {
            return Ok(());
        }
        send(self.identity.pid, number)
    }

    /// None: macOS lets nobody take a socket out of another process.
    pub fn listener(&self, _number: i32, _address: std::net::SocketAddr) -> Option<OwnedFd> {
        None
    }

    /// None: a process is no descriptor here.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Signals a process; one that is gone is no error.
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
