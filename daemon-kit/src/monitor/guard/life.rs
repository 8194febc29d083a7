//! One supervisor, held by its pidfd: who it is, whether it answers, when it dies.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;
use std::{fs, io, thread};

use proto::Endpoint;
use proto::v1::GetStatusRequest;
use proto::v1::supervisor_client::SupervisorClient;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::patience::Life;
use crate::Home;
use crate::chassis::connect::channel;
use crate::chassis::launch::Launch;

/// How often it is asked whether it is there: so often that so many answers are missing when it counts as hung.
const ASKED: u32 = 3;
/// Until it has answered once it is starting, and may take at least so long.
const STARTS: Duration = Duration::from_secs(10);

/// Who holds the lock.
#[derive(Debug)]
pub(super) enum Holder {
    /// A supervisor that lives.
    Alive(Supervisor),
    /// This one did, and is dead.
    Dead(u32),
    /// It can not be told, or is none of ours to guard.
    Unknown(String),
}

/// A supervisor that was alive when it was found.
#[derive(Debug)]
pub(super) struct Supervisor {
    pid: u32,
    pidfd: OwnedFd,
}

impl Supervisor {
    /// The one that the lock names.
    pub(super) fn find(home: &Home) -> Holder {
        let path = home.lock();
        let lock = match fs::metadata(&path) {
            Ok(lock) => lock,
            Err(error) => return Holder::Unknown(format!("{}: {error}", path.display())),
        };
        if lock.uid() != rustix::process::geteuid().as_raw() {
            return Holder::Unknown("the supervisor is another user's".into());
        }
        // Taken and not signed yet.
        let Some(pid) = named_in(&path) else { return Holder::Unknown("the lock names nobody".into()) };
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Holder::Unknown(format!("the lock names {pid}"));
        };
        let pidfd = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Holder::Dead(pid),
            Err(error) => return Holder::Unknown(format!("watching pid {pid}: {error}")),
        };
        // Opened first, judged second. A pid alone may be somebody else by now, who does not have the lock open.
        match has_open(pid, (lock.dev(), lock.ino())) {
            _ if has_ended(&pidfd) => Holder::Dead(pid),
            Ok(true) => Holder::Alive(Self { pid, pidfd }),
            Ok(false) => Holder::Dead(pid),
            Err(error) => Holder::Unknown(format!("looking at pid {pid}: {error}")),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Watches it to its end, and brings that end about if it no longer answers.
    pub(super) async fn watch(self, home: &Home, endpoint: &Endpoint) -> Life {
        let began = Instant::now();
        let mut answered = false;
        let died = match died(&self.pidfd) {
            Ok(died) => died,
            Err(error) => {
                tracing::error!(%error, "watching the supervisor failed");
                return Life { answered, lasted: began.elapsed() };
            }
        };
        tokio::pin!(died);
        loop {
            tokio::select! {
                biased;
                () = &mut died => return Life { answered, lasted: began.elapsed() },
                silent = silence(home, endpoint, &mut answered) => self.end(silent, home),
            }
        }
    }

    fn end(&self, silent: Duration, home: &Home) {
        if !Launch::read(home).is_ok_and(|launch| launch.is_guarded()) {
            return;
        }
        tracing::warn!(pid = self.pid, ?silent, "the supervisor does not answer: killing it");
        // One that is gone by now is what was wanted.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

/// Returns when it has been silent for too long; says for how long.
async fn silence(home: &Home, endpoint: &Endpoint, answered: &mut bool) -> Duration {
    let mut client = SupervisorClient::new(channel(endpoint)).max_decoding_message_size(proto::MAX_MESSAGE);
    // What is counted is unanswered questions, not time: time also passes while this process itself is stopped.
    let mut silent = Duration::ZERO;
    loop {
        let hang = Launch::read(home).map_or(Duration::from_secs(30), |launch| launch.hang());
        let step = (hang / ASKED).max(Duration::from_millis(20));
        let asked = Instant::now();
        let heard = timeout(step, client.get_status(GetStatusRequest { usage: false })).await;
        let heard = heard.is_ok_and(|answer| answer.is_ok());
        *answered |= heard;
        // Until it has answered for the first time it is asked more often: how it lived is judged by that.
        let pause = if *answered { step } else { step.min(Duration::from_millis(100)) };
        sleep(pause.saturating_sub(asked.elapsed())).await;
        silent = if heard { Duration::ZERO } else { silent + asked.elapsed().min(step) };
        if silent >= if *answered { hang } else { hang.max(STARTS) } {
            return silent;
        }
    }
}

/// Ends with the process. A thread waits for it: the runtime's own way to wait for a descriptor is not a safe one.
fn died(pidfd: &OwnedFd) -> io::Result<impl Future<Output = ()> + use<>> {
    let pidfd = pidfd.try_clone()?;
    let (tell, told) = oneshot::channel::<()>();
    thread::Builder::new().name("guard".into()).stack_size(64 * 1024).spawn(move || {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        while let Err(rustix::io::Errno::INTR) = poll(&mut fds, None) {}
        drop(tell);
    })?;
    Ok(async move {
        // Never told anything: the thread ends.
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

/// The pid that the lock names.
pub(super) fn named_in(lock: &Path) -> Option<u32> {
    fs::read_to_string(lock).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
