//! One supervisor, held so that nobody else can be mistaken for it: who it is, whether it answers, when it dies.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proto::v1::GetStatusRequest;
use proto::v1::supervisor_client::SupervisorClient;
use tokio::time::{Instant, sleep, timeout};

use super::launch::Launch;
use super::os;
use super::patience::Life;
use sereno_config::Home;
use sereno_connect::lazy;

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
    process: os::Process,
}

impl Supervisor {
    /// The one that the lock names.
    pub(super) fn find(home: &Home) -> Holder {
        let path = home.lock();
        if let Err(why) = os::may_guard(&path) {
            return Holder::Unknown(why);
        }
        // Taken and not signed yet.
        let Some(pid) = named_in(&path) else { return Holder::Unknown("the lock names nobody".into()) };
        match os::Process::holding(&path, pid) {
            Ok(Some(process)) => Holder::Alive(Self { pid, process }),
            Ok(None) => Holder::Dead(pid),
            Err(why) => Holder::Unknown(why),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Watches it to its end, and brings that end about if it no longer answers.
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
                silent = silence(home, &mut answered) => self.end(silent, home),
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

/// Returns when it has been silent for too long; says for how long.
async fn silence(home: &Home, answered: &mut bool) -> Duration {
    // What is counted is unanswered questions, not time: time also passes while this process itself is stopped.
    let mut silent = Duration::ZERO;
    loop {
        let hang = Launch::read(home).map_or(Duration::from_secs(30), |launch| launch.hang());
        let step = (hang / ASKED).max(Duration::from_millis(20));
        let asked = Instant::now();
        // A new connection each time: a supervisor that takes none any more is there for nobody.
        let mut client = SupervisorClient::new(lazy(&home.endpoint("supervisor")))
            .max_decoding_message_size(proto::MAX_MESSAGE);
        let heard = timeout(step, client.get_status(GetStatusRequest::default())).await;
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

/// The pid that the lock names.
pub(super) fn named_in(lock: &Path) -> Option<u32> {
    fs::read_to_string(lock).ok()?.trim().parse().ok()
}
