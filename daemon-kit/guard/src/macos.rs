//! macOS: a kqueue reports the supervisor's end; trying to take the lock shows whether it is held.

use std::fs::File;
use std::future::Future;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::{fs, io, thread};

use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
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
pub(super) struct Process(Pid);

impl Process {
    /// Returns the process with this pid, if it is alive and holds the lock. Fails if that can not be determined.
    pub(super) fn holding(lock: &Path, pid: u32) -> Result<Option<Self>, HolderError> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or(HolderError::NoPid(pid))?;
        // The holder of the lock wrote its pid into it, so a held lock is held by this pid.
        let held = is_held(lock).map_err(|error| HolderError::Lock(lock.into(), error))?;
        Ok(held.then_some(Self(number)))
    }

    /// Returns a future that completes when the process ends. A thread waits for it: tokio has no safe way for that.
    pub(super) fn died(&self) -> io::Result<impl Future<Output = ()> + use<>> {
        let queue = Kqueue::new()?;
        let (tell, told) = oneshot::channel::<()>();
        match queue.kevent(&[end_of(self.0)], &mut [], None) {
            Ok(_) => {
                thread::Builder::new().name("guard".into()).stack_size(64 * 1024).spawn(move || {
                    let mut events = [end_of(Pid::INIT)];
                    while let Err(Errno::EINTR) = queue.kevent(&[], &mut events, None) {}
                    drop(tell);
                })?;
            }
            // The process has already ended.
            Err(Errno::ESRCH) => drop(tell),
            Err(error) => return Err(error.into()),
        }
        Ok(async move {
            // The channel never carries a value: it closes when the thread ends.
            let _ = told.await;
        })
    }

    /// Kills the process. If it has already ended, nothing is left to do.
    pub(super) fn kill(&self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

fn end_of(pid: Pid) -> KEvent {
    let number = usize::try_from(pid.as_raw_nonzero().get()).expect("a pid is not negative");
    let flags = EvFlags::EV_ADD | EvFlags::EV_ONESHOT;
    KEvent::new(number, EventFilter::EVFILT_PROC, flags, FilterFlag::NOTE_EXIT, 0, 0)
}

/// Whether the lock is held. A supervisor that takes it at the same moment tries again.
fn is_held(lock: &Path) -> io::Result<bool> {
    match flock(File::open(lock)?, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::life::{Holder, Supervisor};
    use super::*;
    use sereno_config::Home;

    #[test]
    fn only_who_holds_the_lock_is_the_supervisor() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::at(folder.path());
        fs::create_dir_all(home.run()).expect("made");
        assert!(matches!(Supervisor::find(&home), Holder::Unknown(_)), "there is no lock");
        let me = std::process::id();
        fs::write(home.lock(), format!("{me}\n")).expect("written");
        let dead = |holder| matches!(holder, Holder::Dead(pid) if pid == me);
        assert!(dead(Supervisor::find(&home)), "a pid that was used again");
        let lock = File::open(home.lock()).expect("open");
        flock(&lock, FlockOperation::LockExclusive).expect("taken");
        assert!(matches!(Supervisor::find(&home), Holder::Alive(found) if found.pid() == me));
        drop(lock);
        assert!(dead(Supervisor::find(&home)));
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_heard() {
        #[expect(clippy::disallowed_methods, reason = "a process to watch")]
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("starts");
        let died = Process(Pid::from_child(&child)).died().expect("watched");
        child.kill().expect("killed");
        died.await;
        child.wait().expect("ours");
    }
}
