//! Names of wire enums for display, shared by `ctl`, logs and JSON.

use std::fmt;

use crate::v1::{CheckState, Decision, Effect, LogStream, ServiceState, Wanted};

macro_rules! words {
    ($($type:ident { $($variant:ident => $word:literal),+ $(,)? })+) => {$(
        impl $type {
            /// Returns the contract's name of this value.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }
    )+};
}

words! {
    ServiceState {
        Unspecified => "unknown", Stopped => "stopped", Waiting => "waiting", Starting => "starting", Running => "running",
        Backoff => "backoff", Stopping => "stopping", Completed => "completed", Failed => "failed",
    }
    Wanted { Unspecified => "unknown", Up => "up", Down => "down" }
    CheckState { Unspecified => "unknown", Unknown => "unknown", Passing => "passing", Failing => "failing" }
    Decision {
        Unspecified => "UNSPECIFIED", Accepted => "ACCEPTED", Merged => "MERGED", Stale => "STALE", InGrace => "IN_GRACE",
        NotWanted => "NOT_WANTED", Paused => "PAUSED", HeldDependency => "HELD_DEPENDENCY", HeldBudget => "HELD_BUDGET",
        HeldBrake => "HELD_BRAKE", UnknownService => "UNKNOWN_SERVICE", ReportOnly => "REPORT_ONLY",
        NoEvidence => "NO_EVIDENCE",
    }
    Effect {
        Unspecified => "unknown", None => "no-op", Live => "live", Restart => "restart", Start => "start", Stop => "stop",
    }
    LogStream { Unspecified => "both", Stdout => "out", Stderr => "err" }
}
