//! Messages that the API passes between monitors and the manager.

use std::fmt;
use std::time::Duration;

use proto::Name;
use sereno_config::Check;

use crate::lifecycle::check_runs::CheckRuns;
use crate::service::Restricted;
use crate::service::plan::PlanError;

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
#[derive(Debug)]
pub struct TargetSet {
    /// The instance name of this home.
    pub instance: String,
    /// A number that grows with every change.
    pub generation: u64,
    /// Every target of the kind.
    pub targets: Vec<Target>,
    /// How often a report is wanted although there is no news, if it is.
    pub report_every: Option<Duration>,
}

/// One check of a service.
#[derive(Debug)]
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
    pub restricted: Option<Result<Restricted, PlanError>>,
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
    /// How many checks of the run ended how, as the monitor counts them.
    pub runs: CheckRuns,
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
    /// What the monitor saw.
    pub evidence: Evidence,
}

/// What a monitor saw of a failed check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The HTTP status of the answer.
    pub http_status: Option<u32>,
    /// The name of the system's error, such as `ECONNREFUSED`; empty if there was none.
    pub errno: String,
    /// The process that holds the port.
    pub owner: Option<PortOwner>,
    /// The first bytes of the answer's body.
    pub body_head: Vec<u8>,
}

/// The process that holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortOwner {
    /// The pid of the calling process.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

impl fmt::Display for Evidence {
    /// Writes a line for each thing that was seen, as the journal has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = [
            self.http_status.map(|status| format!("status {status}")),
            (!self.errno.is_empty()).then(|| self.errno.clone()),
            self.owner.as_ref().map(|owner| format!("port of pid {} {}", owner.pid, owner.command)),
            (!self.body_head.is_empty())
                .then(|| format!("body {}", String::from_utf8_lossy(&self.body_head))),
        ];
        f.write_str(&lines.into_iter().flatten().collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_a_line_for_each_thing_that_was_seen() {
        assert_eq!(Evidence::default().to_string(), "");
        let owner = Some(PortOwner { pid: 7, command: "nc -l".into() });
        let evidence = Evidence {
            http_status: Some(503),
            errno: "ECONNRESET".into(),
            owner,
            body_head: b"sorry\xff".to_vec(),
        };
        let expected = "status 503\nECONNRESET\nport of pid 7 nc -l\nbody sorry\u{fffd}";
        assert_eq!(evidence.to_string(), expected);
        assert_eq!(
            Evidence { http_status: None, owner: None, ..evidence }.to_string(),
            "ECONNRESET\nbody sorry\u{fffd}"
        );
    }
}
