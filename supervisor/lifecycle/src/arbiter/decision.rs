//! The answers to a request for a restart.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The answer to a request for a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Decision {
    /// The service is restarted.
    Accepted,
    /// The run is already being restarted; this reason is added.
    Merged,
    /// The run that was judged is gone.
    Stale,
    /// The run is not ready yet, or within the check's start period.
    InGrace,
    /// No run is wanted.
    NotWanted,
    /// A person paused the service.
    Paused,
    /// A dependency must be restarted first.
    HeldDependency,
    /// The budget of restarts is spent.
    HeldBudget,
    /// The host is suspected, as too many services went bad at once.
    HeldBrake,
    /// There is no such service, or it has no such check.
    UnknownService,
    /// Failures of the check are only reported.
    ReportOnly,
    /// The monitor's reports do not support its request.
    NoEvidence,
}

impl Decision {
    /// Every answer, in the order of the contract.
    pub const ALL: [Self; 12] = [
        Self::Accepted,
        Self::Merged,
        Self::Stale,
        Self::InGrace,
        Self::NotWanted,
        Self::Paused,
        Self::HeldDependency,
        Self::HeldBudget,
        Self::HeldBrake,
        Self::UnknownService,
        Self::ReportOnly,
        Self::NoEvidence,
    ];

    /// Returns whether the restart is held and must be requested again.
    pub const fn is_held(self) -> bool {
        matches!(self, Self::HeldDependency | Self::HeldBudget | Self::HeldBrake)
    }
}

impl fmt::Display for Decision {
    /// Writes the contract's name of the answer, as the journal has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "ACCEPTED",
            Self::Merged => "MERGED",
            Self::Stale => "STALE",
            Self::InGrace => "IN_GRACE",
            Self::NotWanted => "NOT_WANTED",
            Self::Paused => "PAUSED",
            Self::HeldDependency => "HELD_DEPENDENCY",
            Self::HeldBudget => "HELD_BUDGET",
            Self::HeldBrake => "HELD_BRAKE",
            Self::UnknownService => "UNKNOWN_SERVICE",
            Self::ReportOnly => "REPORT_ONLY",
            Self::NoEvidence => "NO_EVIDENCE",
        })
    }
}
