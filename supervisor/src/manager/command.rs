//! What the API asks of the manager, as a closed enum, and the handle it asks through.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::Name;
use proto::v1::Effect;
use sereno_config::Env;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::journal::Event;
use crate::lifecycle::arbiter::Ruling;
use crate::logs::{Limits, Shared, Which};
use crate::snapshot::View;

pub use super::attachments::MonitorError;
pub use super::configure::ConfigError;
pub use super::monitor_commands::{Ask, CheckResult, Hello, Report, Speaker, Target, TargetSet};

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<T>;

/// What the API asks.
#[derive(Debug)]
pub enum Command {
    /// What there is to see.
    View(Reply<View>),
    /// What a person wants.
    Operate {
        /// What.
        operation: Operation,
        /// Of whom.
        selection: Selection,
        /// Who wants it.
        who: String,
        /// What became of it, for each.
        reply: Reply<Vec<Outcome>>,
    },
    /// What a file would do.
    Plan(Source, Reply<Result<Plan, ConfigError>>),
    /// Makes a file the one that runs.
    Apply {
        /// The file.
        source: Source,
        /// Only if this plan still holds; empty: whatever holds now.
        plan: String,
        /// Also starts what is down.
        start: bool,
        /// Also in the place of another file.
        replace: bool,
        /// Who wants it.
        who: String,
        /// What was done.
        reply: Reply<Result<Plan, ConfigError>>,
    },
    /// Adds a service that no file names.
    Add {
        /// Which.
        new: NewService,
        /// Who wants it.
        who: String,
        /// What became of it.
        reply: Reply<Result<Outcome, ConfigError>>,
    },
    /// Stops and forgets one that was added.
    Remove {
        /// Which.
        name: Name,
        /// Who wants it.
        who: String,
        /// What became of it.
        reply: Reply<Result<Outcome, ConfigError>>,
    },
    /// A monitor attaches: the number of its stream, and what ends it.
    Attach(Hello, Reply<Result<(u64, watch::Receiver<bool>), MonitorError>>),
    /// The stream with this number has ended.
    Detach(u64),
    /// The targets of one check kind, now.
    Targets(String, Reply<TargetSet>),
    /// A monitor reports.
    Report(Report, Reply<Result<(), MonitorError>>),
    /// A monitor asks for a restart.
    Ask(Ask, Reply<Result<(Ruling, u64), MonitorError>>),
    /// Events: of one service, or all.
    Timeline {
        /// Empty: all.
        service: String,
        /// Only the chain of causes.
        why: bool,
        /// With `why`: of the restart that began this run.
        incarnation: u64,
        /// The newest so many.
        limit: usize,
        /// Only of those with smaller numbers; 0: all.
        before: u64,
        /// Oldest first, and whether older ones are on disk only.
        reply: Reply<(Vec<Event>, bool)>,
    },
    /// Every event from now on, and what was kept in memory before.
    Subscribe(Reply<(Vec<Event>, broadcast::Receiver<Event>)>),
    /// Where the outputs of services are kept.
    LogFiles(Selection, Reply<Result<Vec<LogFile>, String>>),
    /// Another program takes this process over: its version, once it is sure that it can.
    Upgrade {
        /// Its path; `None`: where the running one was started from.
        binary: Option<PathBuf>,
        /// Who wants it.
        who: String,
        /// Its version.
        reply: Reply<Result<String, UpgradeError>>,
    },
    /// Somebody was refused, in words.
    Refused(String),
    /// Ends the supervisor.
    Shutdown {
        /// The services stay.
        keep: bool,
        /// Who wants it.
        who: String,
        /// It will be done, also by the next supervisor.
        reply: Reply<()>,
    },
}

/// What a person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Up.
    Start,
    /// Down.
    Stop,
    /// A new run.
    Restart,
    /// A new run beside the old one, which goes when the new one is ready.
    Reload,
    /// Counts cleared.
    Reset,
    /// A signal sent.
    Signal {
        /// Which.
        number: i32,
        /// Only to the leader.
        main_only: bool,
    },
    /// Monitors not acted on.
    Pause(Option<Duration>),
    /// Monitors acted on again.
    Resume,
}

/// Whom a command means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Names, globs, `tag:x`.
    pub selectors: Vec<String>,
    /// Every service.
    pub all: bool,
}

/// What became of a command for one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whom it is about.
    pub service: String,
    /// `false`: refused.
    pub ok: bool,
    /// For a person.
    pub message: String,
    /// That was current when the command was taken.
    pub incarnation: u64,
}

/// A file together with what it means where it stands.
#[derive(Debug, Clone)]
pub struct Source {
    /// Absolute.
    pub path: PathBuf,
    /// The file as it is.
    pub text: String,
    /// Of the caller.
    pub env: Env,
}

/// A service that no file names.
#[derive(Debug, Clone)]
pub struct NewService {
    /// Its name.
    pub name: Name,
    /// Its table, as in a file.
    pub toml: String,
    /// What its relative paths are relative to.
    pub folder: PathBuf,
    /// Of the caller.
    pub env: Env,
}

/// What a file would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Hash of the file and generation of the supervisor.
    pub id: String,
    /// In order.
    pub steps: Vec<Step>,
    /// What it does to monitors that it changes.
    pub monitors: Vec<Step>,
    /// What of the file is not in force before an upgrade, and whose place it takes.
    pub notes: Vec<String>,
}

/// What a file does to one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Whom.
    pub service: Name,
    /// What.
    pub effect: Effect,
    /// Which keys.
    pub changes: Vec<String>,
}

/// Why the running program goes on.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Something else is under way.
    #[error("an upgrade or a shutdown is under way already")]
    Busy,
    /// The new program can not start, or does not understand the state.
    #[error("the new program is refused, the running one goes on: {0}")]
    Refused(String),
}

/// Where one output of a service is kept.
#[derive(Debug, Clone)]
pub struct LogFile {
    /// Whose.
    pub service: Name,
    /// Which.
    pub which: Which,
    /// Where.
    pub path: PathBuf,
    /// How much of it is read.
    pub limits: Limits,
    /// Progress; a daemon's own log has none that we see.
    pub shared: Option<Arc<Shared>>,
}

/// The supervisor no longer answers: it is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the supervisor is shutting down")]
pub struct Gone;

/// How the API reaches the manager.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    changes: Arc<watch::Receiver<u64>>,
    targets: Arc<watch::Receiver<u64>>,
}

impl Handle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        changes: Arc<watch::Receiver<u64>>,
        targets: Arc<watch::Receiver<u64>>,
    ) -> Self {
        Self { commands, changes, targets }
    }

    /// Asks, and waits for the answer.
    pub async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await?;
        answer.await.map_err(|_| Gone)
    }

    /// Says something that has no answer.
    pub async fn tell(&self, command: Command) -> Result<(), Gone> {
        self.commands.send(command).await.map_err(|_| Gone)
    }

    /// Says something from where nobody can wait; lost if the manager is that far behind.
    pub fn try_tell(&self, command: Command) {
        let _ = self.commands.try_send(command);
    }

    /// Changes with everything that can be seen.
    pub fn changes(&self) -> watch::Receiver<u64> {
        (*self.changes).clone()
    }

    /// Changes with every target.
    pub fn targets(&self) -> watch::Receiver<u64> {
        (*self.targets).clone()
    }
}
