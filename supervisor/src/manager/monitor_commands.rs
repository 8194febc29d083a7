//! Messages that the API passes between monitors and the manager.

use std::time::Duration;

use proto::Name;
use sereno_config::Check;

use crate::service::Restricted;

/// The caller that speaks in a monitor's name, as far as the connection and its credentials tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// The caller, for the journal.
    pub who: String,
    /// The process at the other end of a local connection, where the system tells it.
    pub pid: Option<u32>,
    /// The name of its token or certificate.
    pub name: Option<Name>,
}

/// A monitor's request to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The monitor's name in the configuration.
    pub monitor: Name,
    /// The check kind it serves.
    pub kind: String,
    /// A new value for each process.
    pub session: String,
    /// The endpoint that the monitor serves on.
    pub endpoint: String,
    /// The caller that sent it.
    pub speaker: Speaker,
}

/// The targets of one check kind.
#[derive(Debug, Clone)]
pub struct TargetSet {
    /// The instance name of this home.
    pub instance: String,
    /// A number that grows with every change.
    pub generation: u64,
    /// Every target of the kind.
    pub targets: Vec<Target>,
}

/// One check of a service.
#[derive(Debug, Clone)]
pub struct Target {
    /// The service's name.
    pub service: Name,
    /// The current run; 0 if nothing runs, so do not probe.
    pub incarnation: u64,
    /// The pid of the run's leader.
    pub pid: u32,
    /// The check's name.
    pub id: Name,
    /// The run is not ready yet.
    pub starting: bool,
    /// The check's settings.
    pub check: Check,
    /// For a command of a confined service: how the command is confined, or why it cannot be run.
    pub restricted: Option<Result<Restricted, String>>,
}

/// A monitor's report.
#[derive(Debug, Clone)]
pub struct Report {
    /// The monitor's name.
    pub monitor: Name,
    /// The session of the reporting process.
    pub session: String,
    /// The caller that sent it.
    pub speaker: Speaker,
    /// The generation of the target set that it answers.
    pub generation: u64,
    /// Why the monitor does not trust its own measurements.
    pub blind: Option<String>,
    /// The newest result of every target.
    pub results: Vec<CheckResult>,
}

/// The result of one check.
#[derive(Debug, Clone)]
pub struct CheckResult {
    /// The service's name.
    pub service: Name,
    /// The run that was checked.
    pub incarnation: u64,
    /// The check's name.
    pub check: Name,
    /// Whether the check passes; `None` if unknown.
    pub passing: Option<bool>,
    /// How many failures in a row.
    pub failures: u32,
    /// How long the last check took.
    pub latency: Option<Duration>,
    /// The time since the last check ended.
    pub age: Duration,
    /// A text for the operator.
    pub detail: String,
    /// The port belongs to another process.
    pub foreign: bool,
    /// The listening socket accepts no connections.
    pub stalled: bool,
    /// The time from one check to the next, if the monitor tells it.
    pub every: Option<Duration>,
}

/// A monitor's request for a restart.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The monitor's name.
    pub monitor: Name,
    /// The session of the asking process.
    pub session: String,
    /// The caller that sent it.
    pub speaker: Speaker,
    /// The name of the service to restart.
    pub service: String,
    /// The run that the monitor judged.
    pub incarnation: u64,
    /// The check that failed.
    pub check: Name,
    /// How many failures in a row.
    pub failures: u32,
    /// The reason, in one line.
    pub summary: String,
    /// More detail for the operator.
    pub evidence: String,
}
