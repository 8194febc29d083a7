//! The API's requests to the manager, as a closed enum, and the handle that sends them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::Name;
use sereno_config::{Config, Env, Unmatched};
use tokio::sync::{mpsc, oneshot, watch};

use super::{SaveError, TrialError};
use crate::journal::Event;
use crate::lifecycle::arbiter::Ruling;
use crate::logs::{Limits, Shared, Which};
use crate::snapshot::View;

pub use super::attachments::MonitorError;
pub use super::configure::{ConfigError, ReadFile};
pub use super::monitor_commands::{
    Ask, CheckResult, Evidence, Hello, PortOwner, Report, Speaker, Target, TargetSet,
};

/// The channel that carries an answer back.
pub type Reply<T> = oneshot::Sender<T>;

/// A request from the API.
#[derive(Debug)]
pub enum Command {
    /// Returns the current view of all services.
    View(Reply<View>),
    /// Does what an operator asks for some services.
    Operate {
        /// What to do with them.
        operation: Operation,
        /// The services it applies to.
        selection: Selection,
        /// The caller, for the journal.
        who: String,
        /// The outcome for each service.
        reply: Reply<Vec<Outcome>>,
    },
    /// Returns what a file would change.
    Plan(Box<ReadFile>, Reply<Result<Plan, ConfigError>>),
    /// Makes a file the applied file.
    Apply {
        /// The file, which has been read and checked.
        file: Box<ReadFile>,
        /// Apply only if this plan still holds; empty applies in any case.
        plan: String,
        /// Also start services that are down.
        start: bool,
        /// Also replace another applied file.
        replace: bool,
        /// The caller, for the journal.
        who: String,
        /// The plan that was applied.
        reply: Reply<Result<Plan, ConfigError>>,
    },
    /// Returns the configuration of a service that no file names, alone, so that it can be checked before it is added.
    Draft(NewService, Reply<Result<Box<Config>, ConfigError>>),
    /// Adds a service that no file names, and that has been checked.
    Add {
        /// The service to add.
        new: NewService,
        /// The caller, for the journal.
        who: String,
        /// The outcome of the request.
        reply: Reply<Result<Outcome, ConfigError>>,
    },
    /// Stops and forgets a service that was added by hand.
    Remove {
        /// The service to remove.
        name: Name,
        /// The caller, for the journal.
        who: String,
        /// The outcome of the request.
        reply: Reply<Result<Outcome, ConfigError>>,
    },
    /// Attaches a monitor. Answers with the number of its stream, and a receiver that ends the stream.
    Attach(Hello, Reply<Result<(u64, watch::Receiver<bool>), MonitorError>>),
    /// Reports that the stream with this number has ended.
    Detach(u64),
    /// Returns the current targets of one check kind.
    Targets(String, Reply<TargetSet>),
    /// Delivers a monitor's report.
    Report(Report, Reply<Result<(), MonitorError>>),
    /// Delivers a monitor's restart request.
    Ask(Ask, Reply<Result<(Ruling, u64), MonitorError>>),
    /// Writes the journal, so that everything that has happened until now can be read from its files.
    Journal(Reply<Unwritten>),
    /// Returns where the outputs of services are stored.
    LogFiles(Selection, Reply<Result<Vec<LogFile>, Unmatched>>),
    /// Hands this process over to another program. Answers with its version, once the new program has passed its trial.
    Upgrade {
        /// The path of the new program; `None` means the path that the running program was started from.
        binary: Option<PathBuf>,
        /// The caller, for the journal.
        who: String,
        /// The version of the new program.
        reply: Reply<Result<String, UpgradeError>>,
    },
    /// Reports a refused call, as a line for the journal.
    Refused(String),
    /// Ends the supervisor.
    Shutdown {
        /// Whether the services keep running.
        keep: bool,
        /// The caller, for the journal.
        who: String,
        /// Sent once the shutdown is certain: the next supervisor would finish it.
        reply: Reply<()>,
    },
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Start the service.
    Start,
    /// Stop the service.
    Stop,
    /// Replace the run by a new run.
    Restart,
    /// Begin a new run beside the old run, which ends when the new run is ready.
    Reload,
    /// Clear the failure counts.
    Reset,
    /// Send a signal to it.
    Signal {
        /// The signal's number.
        number: i32,
        /// Send it to the leader only.
        main_only: bool,
    },
    /// Stop acting on monitors, for this time or until resumed.
    Pause(Option<Duration>),
    /// Act on monitors again.
    Resume,
}

/// Which services a command applies to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Names, globs or `tag:x`.
    pub selectors: Vec<String>,
    /// Select every service.
    pub all: bool,
}

/// The outcome of a command for one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The service's name, or the selector.
    pub service: String,
    /// `false` if it was refused.
    pub ok: bool,
    /// A message for the operator.
    pub message: String,
    /// The incarnation that was current when the command was taken.
    pub incarnation: u64,
}

/// A file with the path and environment that give it its meaning.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file's absolute path.
    pub path: PathBuf,
    /// The file's text, unchanged.
    pub text: String,
    /// The caller's environment.
    pub env: Env,
}

/// A service that no file names.
#[derive(Debug, Clone)]
pub struct NewService {
    /// The service's name.
    pub name: Name,
    /// Its TOML table, as in a file.
    pub toml: String,
    /// The folder that its relative paths are relative to.
    pub folder: PathBuf,
    /// The caller's environment.
    pub env: Env,
}

/// What a file would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Hash of the file and generation of the supervisor.
    pub id: String,
    /// The steps for services, in order.
    pub steps: Vec<Step>,
    /// The steps for the monitors that change.
    pub monitors: Vec<Step>,
    /// Keys that take effect only after an upgrade, and which file would be replaced.
    pub notes: Vec<String>,
}

/// What a file does to a service's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The file changes nothing about it.
    None,
    /// The settings change without touching the process.
    Live,
    /// The process is stopped and started again.
    Restart,
    /// A process is started.
    Start,
    /// The process is stopped, and forgotten if the file no longer names the service.
    Stop,
}

/// What a file changes in one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The service that changes.
    pub service: Name,
    /// The effect on it.
    pub effect: Effect,
    /// The keys that changed.
    pub changes: Vec<String>,
}

/// Why an upgrade was refused and the running program continues.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// An upgrade or a shutdown is under way.
    #[error("an upgrade or a shutdown is under way already")]
    Busy,
    /// A service holds up a thread of this program, which must end before another program can take its place.
    #[error(
        "{0} holds up a thread that reads its output or its files, and the running program goes on; stop it, or try again"
    )]
    Stuck(String),
    /// The state cannot be handed over.
    #[error("the running program goes on: {0}")]
    State(#[from] SaveError),
    /// The new program cannot be started.
    #[error("the new program is refused, the running one goes on: {0}")]
    Start(#[from] TrialError),
    /// The new program has ended with this text: it cannot start, or does not understand the state.
    #[error("the new program is refused, the running one goes on: {0}")]
    Refused(String),
}

/// What a reader of the journal's files must know besides.
#[derive(Debug)]
pub struct Unwritten {
    /// The events that could not be written, as on a full disk.
    pub events: Vec<Event>,
    /// The number that the next event gets.
    pub next: u64,
}

/// Where one output of a service is stored.
#[derive(Debug, Clone)]
pub struct LogFile {
    /// The service's name.
    pub service: Name,
    /// Which output it is.
    pub which: Which,
    /// The path of the file.
    pub path: PathBuf,
    /// How much of the file is read.
    pub limits: Limits,
    /// The reading progress; `None` for a daemon's own log, which the supervisor does not read.
    pub shared: Option<Arc<Shared>>,
}

/// The supervisor no longer answers, because it is shutting down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the supervisor is shutting down")]
pub struct Gone;

/// The API's connection to the manager.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    changes: Arc<watch::Receiver<u64>>,
    targets: Arc<watch::Receiver<u64>>,
    written: watch::Receiver<u64>,
}

impl Handle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        changes: Arc<watch::Receiver<u64>>,
        targets: Arc<watch::Receiver<u64>>,
        written: watch::Receiver<u64>,
    ) -> Self {
        Self { commands, changes, targets, written }
    }

    /// Sends a command and waits for the answer.
    pub async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await?;
        answer.await.map_err(|_| Gone)
    }

    /// Sends a command that has no answer.
    pub async fn tell(&self, command: Command) -> Result<(), Gone> {
        self.commands.send(command).await.map_err(|_| Gone)
    }

    /// Sends a command without waiting; the command is lost if the manager's queue is full.
    pub fn try_tell(&self, command: Command) {
        let _ = self.commands.try_send(command);
    }

    /// Returns a receiver that changes whenever anything visible changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        (*self.changes).clone()
    }

    /// Returns a receiver of the number that follows the last event in the journal's files.
    pub fn written(&self) -> watch::Receiver<u64> {
        self.written.clone()
    }

    /// Returns a receiver that changes whenever a target changes.
    pub fn targets(&self) -> watch::Receiver<u64> {
        (*self.targets).clone()
    }
}
