//! Reads `stop.evidence`: what is asked of a run before it is ended because it was judged.

use std::time::Duration;

use super::reader::Reader;
use super::value::{self, argv};

/// The table `stop.evidence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedEvidence {
    /// Command that tells what the run is doing. [`PID`](Self::PID) in it stands for the leader's pid.
    pub command: Option<Vec<String>>,
    /// Name of a signal upon which the service itself tells it.
    pub signal: Option<String>,
    /// Time after which the run is ended without.
    pub timeout: Duration,
}

impl AskedEvidence {
    /// Stands for the leader's pid.
    pub const PID: &str = "${PID}";
}

/// Reads the `stop.evidence` of a service.
pub(super) fn read(table: &Reader<'_>) -> AskedEvidence {
    let signal = table.opt("signal", value::signal);
    if let (Some(node), Some("SIGKILL" | "SIGSTOP")) = (table.get("signal"), signal.as_deref()) {
        table.bad(node, "is not handed to the service, so that it can tell nothing");
    }
    if table.get("command").is_none() && table.get("signal").is_none() {
        table.lacks("needs command or signal");
    }
    AskedEvidence { command: table.opt("command", argv), signal, timeout: table.duration("timeout") }
}
