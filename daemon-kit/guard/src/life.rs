//! Watches one supervisor, held so that it can not be confused with another process: its pid, whether it
//! answers, when it dies.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use proto::v1::GetStatusRequest;
use proto::v1::supervisor_client::SupervisorClient;
use tokio::time::{Instant, sleep, timeout};

use super::launch::Launch;
use super::os;
use super::patience::Life;
use sereno_config::{Home, never_runs_again};
use sereno_connect::lazy;

/// Number of status queries within `hang`: a supervisor counts as hung when all of them stay unanswered.
const ASKED: u32 = 3;
/// A supervisor counts as starting until its first answer, and may take at least this time.
const STARTS: Duration = Duration::from_secs(10);

/// State of the supervisor lock.
#[derive(Debug)]
pub(super) enum Holder {
    /// A running supervisor holds the lock.
    Alive(Supervisor),
    /// The lock names this pid, which is dead.
    Dead(u32),
    /// The holder is unknown, or is not ours to guard.
    Unknown(HolderError),
}

/// Why the holder of a lock is unknown, or is not ours to guard.
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "each system finds the holder in another way")
)]
#[derive(Debug, thiserror::Error)]
pub(super) enum HolderError {
    /// The file of the lock can not be read.
    #[error("{path}: {1}", path = .0.display())]
    Lock(PathBuf, #[source] io::Error),
    #[error("the supervisor is another user's")]
    OtherUser,
    /// The lock is taken, but the pid is not written yet.
    #[error("the lock names nobody")]
    Nobody,
    /// No process can have this pid.
    #[error("the lock names {0}")]
    NoPid(u32),
    #[error("watching pid {0}: {1}")]
    Watch(u32, #[source] io::Error),
    #[error("looking at pid {0}: {1}")]
    Inspect(u32, #[source] io::Error),
}

/// A supervisor that was alive when it was found.
#[derive(Debug)]
pub(super) struct Supervisor {
    pid: u32,
    process: os::Process,
}

impl Supervisor {
    /// Finds the supervisor that the lock names.
    pub(super) fn find(home: &Home) -> Holder {
        let path = home.lock();
        if let Err(why) = os::may_guard(&path) {
            return Holder::Unknown(why);
        }
        let Some(pid) = named_in(&path) else { return Holder::Unknown(HolderError::Nobody) };
        match os::Process::holding(&path, pid) {
            Ok(Some(process)) => Holder::Alive(Self { pid, process }),
            Ok(None) => Holder::Dead(pid),
            Err(why) => Holder::Unknown(why),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Watches the supervisor until it ends, and kills it if it no longer answers.
    pub(super) async fn watch(self, home: &Home) -> Life {
        let began = Instant::now();
        let mut answered = false;
        let died = match self.process.died() {
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
                silent = silence(home, self.pid, &mut answered) => match silent {
                    Some(silent) => self.end(silent, home),
                    None => return Life { answered, lasted: began.elapsed() },
                },
            }
        }
    }

    fn end(&self, silent: Duration, home: &Home) {
        if !Launch::read(home).is_ok_and(|launch| launch.is_guarded()) {
            return;
        }
        tracing::warn!(pid = self.pid, ?silent, "the supervisor does not answer: killing it");
        self.process.kill();
    }
}

/// Returns the duration of silence once the supervisor has been silent for too long; `None` if it was killed and waits in
/// the kernel to end, which its process does not tell.
async fn silence(home: &Home, pid: u32, answered: &mut bool) -> Option<Duration> {
    // Counts unanswered queries instead of time: time also passes while this process itself is stopped.
    let mut silent = Duration::ZERO;
    loop {
        let hang = Launch::read(home).map_or(Duration::from_secs(30), |launch| launch.hang());
        let step = (hang / ASKED).max(Duration::from_millis(20));
        let asked = Instant::now();
        // Uses a new connection each time: a supervisor that accepts none counts as not answering.
        let mut client = SupervisorClient::new(lazy(&home.endpoint("supervisor")))
            .max_decoding_message_size(proto::MAX_MESSAGE);
        let heard = timeout(step, client.get_status(GetStatusRequest::default())).await;
        let heard = heard.is_ok_and(|answer| answer.is_ok());
        *answered |= heard;
        if !heard && never_runs_again(pid) {
            return None;
        }
        // Queries are more frequent until the first answer, because the backoff depends on whether it came.
        let pause = if *answered { step } else { step.min(Duration::from_millis(100)) };
        sleep(pause.saturating_sub(asked.elapsed())).await;
        silent = if heard { Duration::ZERO } else { silent + asked.elapsed().min(step) };
        if silent >= if *answered { hang } else { hang.max(STARTS) } {
            return Some(silent);
        }
    }
}

/// Returns the pid that the lock names.
pub(super) fn named_in(lock: &Path) -> Option<u32> {
    fs::read_to_string(lock).ok()?.trim().parse().ok()
}
