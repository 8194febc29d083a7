//! What the API passes on from monitors and to them.

use std::time::Duration;

use proto::Name;
use sereno_config::Check;

use crate::service::Restricted;

/// Who calls in a monitor's name, as far as the connection and what was shown over it say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// For the journal.
    pub who: String,
    /// The process at the other end of a local connection, where the system tells.
    pub pid: Option<u32>,
    /// The name of the token or certificate.
    pub name: Option<Name>,
}

/// A monitor that attaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Its name in the configuration.
    pub monitor: Name,
    /// The check kind it serves.
    pub kind: String,
    /// New for each process.
    pub session: String,
    /// Where it serves.
    pub endpoint: String,
    /// Who says so.
    pub speaker: Speaker,
}

/// The targets of one check kind.
#[derive(Debug, Clone)]
pub struct TargetSet {
    /// Of this home.
    pub instance: String,
    /// Grows with every change.
    pub generation: u64,
    /// All of them.
    pub targets: Vec<Target>,
}

/// One check of one service.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whose.
    pub service: Name,
    /// 0: nothing runs, do not probe.
    pub incarnation: u64,
    /// Leader of the run.
    pub pid: u32,
    /// Which.
    pub id: Name,
    /// Not ready yet.
    pub starting: bool,
    /// What exactly.
    pub check: Check,
    /// Of a command whose service is confined: what it is run with, or why it cannot be.
    pub restricted: Option<Result<Restricted, String>>,
}

/// What a monitor reports.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its name.
    pub monitor: Name,
    /// Which process of it.
    pub session: String,
    /// Who says so.
    pub speaker: Speaker,
    /// The set of targets that it answers.
    pub generation: u64,
    /// Why it doubts itself.
    pub blind: Option<String>,
    /// The newest state of every target.
    pub results: Vec<CheckResult>,
}

/// One result.
#[derive(Debug, Clone)]
pub struct CheckResult {
    /// Whose.
    pub service: Name,
    /// Which run.
    pub incarnation: u64,
    /// Which check.
    pub check: Name,
    /// `None`: not known.
    pub passing: Option<bool>,
    /// So far.
    pub failures: u32,
    /// Of the last check.
    pub latency: Option<Duration>,
    /// Since the last check ended.
    pub age: Duration,
    /// For a person.
    pub detail: String,
    /// The port belongs to somebody else.
    pub foreign: bool,
    /// Nobody accepts.
    pub stalled: bool,
}

/// A monitor asks for a restart.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Its name.
    pub monitor: Name,
    /// Which process of it.
    pub session: String,
    /// Who says so.
    pub speaker: Speaker,
    /// Of whom.
    pub service: String,
    /// Which run it judged.
    pub incarnation: u64,
    /// By which check.
    pub check: Name,
    /// How many failures.
    pub failures: u32,
    /// One line.
    pub summary: String,
    /// More, for a person.
    pub evidence: String,
}
