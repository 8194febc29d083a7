//! A process, held by its pidfd: no other process can take its place.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{PidfdFlags, WaitId, WaitIdOptions};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::proc;
use super::start_failure::UnfinishedStart;
use crate::lifecycle::Exit;
use crate::os::unix::{exit_of_wait_status, pid};
use crate::os::{Identity, signal};

/// A process of a service.
#[derive(Debug)]
pub struct Process {
    identity: Identity,
    pidfd: OwnedFd,
    /// Whether this process must reap it; an adopted process is another process's child.
    is_child: bool,
    /// Set if it had not become the program yet at the last look.
    unfinished: Option<UnfinishedStart>,
}

impl Process {
    pub(super) fn child(identity: Identity, pidfd: OwnedFd) -> Self {
        Self { identity, pidfd, is_child: true, unfinished: None }
    }

    pub(super) fn starting(self, unfinished: Option<UnfinishedStart>) -> Self {
        Self { unfinished, ..self }
    }

    /// Opens a process that an earlier supervisor started; `None` if it is gone, or another process has its pid.
    pub fn adopt(identity: Identity) -> Option<Self> {
        let pidfd = rustix::process::pidfd_open(pid(identity.pid)?, PidfdFlags::empty()).ok()?;
        // Opened first and checked second, so that the check applies to what the descriptor holds.
        let stat = proc::stat(identity.pid)?;
        if stat.start != identity.start || stat.is_zombie() && stat.parent != std::process::id() {
            return None;
        }
        let is_child = stat.parent == std::process::id();
        Some(Self { identity, pidfd, is_child, unfinished: None })
    }

    /// Makes a process that ended while no supervisor ran, from a stored pidfd: how it ended can still be read.
    pub(in crate::os) fn kept(identity: Identity, pidfd: OwnedFd) -> Self {
        Self { identity, pidfd, is_child: false, unfinished: None }
    }

    /// Opens a process that ended while no supervisor ran, if it has not been reaped.
    pub(in crate::os) fn unreaped(identity: Identity) -> Option<Self> {
        let pidfd = rustix::process::pidfd_open(pid(identity.pid)?, PidfdFlags::empty()).ok()?;
        let stat = proc::stat(identity.pid)?;
        (stat.start == identity.start && stat.is_zombie()).then(|| Self::kept(identity, pidfd))
    }

    /// Returns its identity.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns its pid.
    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// Completes when the process has ended; it is not reaped yet, so its pid and group still belong to it.
    pub fn exited(&self) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        // SAFETY: an owned descriptor stays open until the watch that owns it is dropped.
        let watch = unsafe { AsyncFd::register_with_interest(self.pidfd.try_clone()?, Interest::READABLE) }?;
        Ok(async move {
            // Fails only when the runtime shuts down, and nothing waits for the result then.
            let _ = watch.readable().await;
        })
    }

    /// Returns whether it is a child of this process: then its orphans become children of this process as well.
    pub fn is_child(&self) -> bool {
        self.is_child
    }

    /// Returns whether it has ended.
    pub fn has_exited(&self) -> bool {
        let mut fds = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }))
            .is_ok_and(|n| n > 0)
    }

    /// Reaps it and returns how it ended. Must be called after [`exited`](Self::exited).
    pub fn reap(&self) -> Exit {
        let exit = self.exit();
        let failure = self.unfinished.as_ref().and_then(UnfinishedStart::failure);
        failure.map_or(exit, |failure| Exit::NotSpawned(failure.to_string()))
    }

    fn exit(&self) -> Exit {
        if self.is_child {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            return match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                Ok(Some(status)) => {
                    let code = status.exit_status();
                    let by = status.terminating_signal();
                    exit_of(code, by)
                }
                Ok(None) | Err(_) => Exit::Unknown,
            };
        }
        // For another process's child, the status can be read while it is a zombie; afterwards the kernel may still
        // tell.
        proc::zombie_status(self.identity)
            .or_else(|| pidfd_status(&self.pidfd))
            .map_or(Exit::Unknown, exit_of_wait_status)
    }

    /// Reaps a child that never became a service.
    pub(super) fn discard(self) {
        // It has ended or is about to; its user may have stopped it with SIGSTOP.
        let _ = send(self.pidfd.as_fd(), signal::KILL);
        let _ = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
    }

    /// Sends it a signal; a process that has ended is no error.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        send(self.pidfd.as_fd(), number)
    }

    /// Returns a copy of a socket that it listens on, if it still has it under this number and the system allows it:
    /// sockets of another user's service, or of a process that is not dumpable, cannot be copied.
    pub fn listener(&self, number: i32, address: std::net::SocketAddr) -> Option<OwnedFd> {
        let flags = rustix::process::PidfdGetfdFlags::empty();
        let socket = rustix::process::pidfd_getfd(&self.pidfd, number, flags).ok()?;
        let listens = rustix::net::sockopt::socket_acceptconn(&socket).is_ok_and(|listens| listens);
        let socket = std::net::TcpListener::from(socket);
        (listens && socket.local_addr().is_ok_and(|own| own == address)).then(|| socket.into())
    }

    /// Returns its pidfd, for the fd stores.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.pidfd.as_fd())
    }
}

/// Signals through a pidfd; a process that has ended is no error.
pub(super) fn send(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // Real-time signals have no name in rustix; the call is the same.
    // SAFETY: a system call with a valid descriptor and no memory.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            number,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}

fn exit_of(code: Option<i32>, by: Option<i32>) -> Exit {
    match (code, by) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(by)) => Exit::Signal(signal::name(by)),
        (None, None) => Exit::Unknown,
    }
}

/// Reads the status of a process that another process has reaped, by `PIDFD_GET_INFO` (Linux 6.15).
fn pidfd_status(pidfd: &OwnedFd) -> Option<i32> {
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        pid: u32,
        tgid: u32,
        ppid: u32,
        ids: [u32; 8],
        exit_code: i32,
    }
    const INFO_EXIT: u64 = 1 << 3;
    const MAGIC: u64 = 0xFF;
    const NUMBER: u64 = 11;
    let request = (3_u64 << 30) | (u64::try_from(size_of::<Info>()).ok()? << 16) | (MAGIC << 8) | NUMBER;
    let mut info = Info { mask: INFO_EXIT, ..Info::default() };
    // SAFETY: the request carries the size of the structure the kernel may fill.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), request, &raw mut info) };
    (result == 0 && info.mask & INFO_EXIT != 0).then_some(info.exit_code)
}
