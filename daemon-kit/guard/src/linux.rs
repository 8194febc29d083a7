//! Linux: a pidfd holds the supervisor; its lock is found among its open files.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::{fs, io, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sereno_config::never_runs_again;
use tokio::sync::oneshot;

use super::life::HolderError;
pub(super) use super::unix::start;

/// Checks that the supervisor with this lock belongs to this user; returns the reason if not.
pub(super) fn may_guard(lock: &Path) -> Result<(), HolderError> {
    let found = fs::metadata(lock).map_err(|error| HolderError::Lock(lock.into(), error))?;
    if found.uid() == rustix::process::geteuid().as_raw() { Ok(()) } else { Err(HolderError::OtherUser) }
}

/// A process that was alive when it was found.
#[derive(Debug)]
pub(super) struct Process(OwnedFd);

impl Process {
    /// Returns the process with this pid, if it is alive and holds the lock. Fails if that can not be determined.
    pub(super) fn holding(lock: &Path, pid: u32) -> Result<Option<Self>, HolderError> {
        let found = fs::metadata(lock).map_err(|error| HolderError::Lock(lock.into(), error))?;
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or(HolderError::NoPid(pid))?;
        let pidfd = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(HolderError::Watch(pid, error.into())),
        };
        // The pidfd is opened before the check: the pid may have been reused by another process, which does
        // not have the lock open.
        match has_open(pid, (found.dev(), found.ino())) {
            _ if has_ended(&pidfd) || never_runs_again(pid) => Ok(None),
            Ok(true) => Ok(Some(Self(pidfd))),
            Ok(false) => Ok(None),
            Err(error) => Err(HolderError::Inspect(pid, error)),
        }
    }

    /// Returns a future that completes when the process ends.
    pub(super) fn died(&self) -> io::Result<impl Future<Output = ()> + use<>> {
        died(&self.0)
    }

    /// Kills the process. If it has already ended, nothing is left to do.
    pub(super) fn kill(&self) {
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
    }
}

/// Returns a future that completes when the process ends. A thread waits for it: tokio has no safe way for that.
fn died(pidfd: &OwnedFd) -> io::Result<impl Future<Output = ()> + use<>> {
    let pidfd = pidfd.try_clone()?;
    let (tell, told) = oneshot::channel::<()>();
    thread::Builder::new().name("guard".into()).stack_size(64 * 1024).spawn(move || {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        while let Err(rustix::io::Errno::INTR) = poll(&mut fds, None) {}
        drop(tell);
    })?;
    Ok(async move {
        // The channel never carries a value: it closes when the thread ends.
        let _ = told.await;
    })
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// Whether a process has a file open, by device and inode.
fn has_open(pid: u32, file: (u64, u64)) -> io::Result<bool> {
    let entries = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    let is_it = |path: &Path| fs::metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == file);
    Ok(entries.flatten().any(|entry| is_it(&entry.path())))
}

#[cfg(test)]
mod tests {
    use super::super::life::{Holder, Supervisor};
    use super::*;
    use sereno_config::Home;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::at(folder.path());
        fs::create_dir_all(home.run()).expect("made");
        (folder, home)
    }

    #[test]
    fn only_who_has_the_lock_open_is_the_supervisor() {
        let (_folder, home) = home();
        assert!(matches!(Supervisor::find(&home), Holder::Unknown(_)), "there is no lock");
        let me = std::process::id();
        fs::write(home.lock(), format!("{me}\n")).expect("written");
        assert!(
            matches!(Supervisor::find(&home), Holder::Dead(pid) if pid == me),
            "a pid that was used again"
        );
        let lock = fs::File::open(home.lock()).expect("open");
        assert!(matches!(Supervisor::find(&home), Holder::Alive(found) if found.pid() == me));
        fs::write(home.lock(), "").expect("written");
        assert!(matches!(Supervisor::find(&home), Holder::Unknown(_)), "not signed yet");
        drop(lock);
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_heard() {
        #[expect(clippy::disallowed_methods, reason = "a process to watch")]
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("starts");
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("it lives");
        let died = died(&pidfd).expect("watched");
        assert!(!has_ended(&pidfd));
        child.kill().expect("killed");
        died.await;
        assert!(has_ended(&pidfd), "also while nobody has waited for it");
        child.wait().expect("ours");
    }
}
