//! What happened, typed: for programs, which read this and never the message.

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::lifecycle::arbiter::Decision;

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// A run was started.
    Started {
        /// The pid of its leader.
        pid: u32,
    },
    /// A run that an earlier supervisor had started goes on, or had ended meanwhile.
    Adopted {
        /// The pid of its leader.
        pid: u32,
    },
    /// A run is ready.
    Ready {
        /// The time since its start, in milliseconds.
        after: u64,
    },
    /// A run is stable: the streak is over.
    Stable,
    /// A run ended.
    Ended {
        /// The exit code, if it ended by itself.
        code: Option<i32>,
        /// The name of the signal that ended it.
        signal: Option<String>,
        /// The kernel killed it because it used more memory than it may.
        out_of_memory: bool,
        /// How long it ran, in milliseconds.
        after: u64,
        /// Whether the supervisor had told it to end.
        told: bool,
    },
    /// A run could not be started.
    NotStarted {
        /// The reason, for people.
        reason: String,
    },
    /// A run was not ready in time.
    NotReady {
        /// What it was waiting for.
        missing: String,
    },
    /// The result of a check changed.
    CheckFlipped {
        /// The check's id.
        check: String,
        /// Whether it passed before; `None` if that was not known.
        old: Option<bool>,
        /// Whether it passes now; `None` if that is not known.
        new: Option<bool>,
        /// How many failures were counted.
        failures: u32,
        /// How many make it fail.
        needed: u32,
        /// What it found.
        said: String,
    },
    /// A restart was asked for.
    RestartAsked {
        /// The check that failed, or `watchdog`.
        fault: String,
    },
    /// A request for a restart was answered.
    RestartAnswered {
        /// The answer, as on the wire: `ACCEPTED`, `HELD_BUDGET`, …
        answer: Decision,
    },
    /// A signal was sent.
    SignalSent {
        /// The signal's name.
        signal: String,
        /// How many processes got it.
        processes: u64,
    },
    /// A person changed what is wanted of a service.
    Wanted {
        /// Whether it is wanted up.
        up: bool,
        /// Who asked for it.
        by: String,
    },
    /// A service was given up.
    GivenUp {
        /// The reason, for people.
        reason: String,
    },
    /// A service ended well and will not run again.
    Completed,
    /// A file was applied.
    Applied {
        /// The services that it changes, each with what changes of it.
        changes: Vec<Changed>,
    },
    /// A monitor came, went, or doubts itself.
    Monitor {
        /// The monitor's name.
        name: String,
        /// What it does now.
        state: MonitorState,
    },
    /// Restarts are held for the whole host, or are so no longer.
    Brake {
        /// Whether they are held.
        on: bool,
    },
    /// A supervisor took up its work.
    Supervisor {
        /// The supervisor's pid.
        pid: u32,
        /// How it came about.
        began: Began,
        /// The guard that started it after the death of another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// How long nobody had supervised, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unsupervised: Option<u64>,
    },
    /// A caller was refused.
    Refused,
    /// What a run was doing when it was judged.
    Evidence,
    /// An incident began.
    IncidentOpened {
        /// Its number, which is that of this event.
        incident: u64,
    },
    /// An incident is over.
    IncidentClosed {
        /// The incident's number.
        incident: u64,
        /// For how long the service was down, in milliseconds.
        down: u64,
    },
}

/// A service that an applied file changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The service's name.
    pub service: String,
    /// Which keys, from what to what, for people.
    pub changes: Vec<String>,
}

/// What a monitor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MonitorState {
    /// It is attached.
    Attached,
    /// Its stream has ended.
    Lost,
    /// It doubts what it sees.
    Blind,
    /// It trusts what it sees again.
    Seeing,
}

/// How a supervisor came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Began {
    /// It was started, after the last one had ended in order or where there was none.
    Started,
    /// It was started after the last one had died.
    Revived,
    /// It took over from the last one.
    Upgraded,
}

/// The kind of an event, with its detail where there is one.
#[derive(Debug, Clone)]
pub struct What {
    /// The kind of event.
    pub kind: Kind,
    /// What has happened.
    pub detail: Option<Detail>,
}

impl From<Kind> for What {
    fn from(kind: Kind) -> Self {
        Self { kind, detail: None }
    }
}

impl From<Detail> for What {
    fn from(detail: Detail) -> Self {
        Self { kind: detail.kind(), detail: Some(detail) }
    }
}

impl Detail {
    /// Returns the kind of such an event.
    fn kind(&self) -> Kind {
        match self {
            Self::Started { .. } | Self::Adopted { .. } => Kind::Start,
            Self::Ready { .. } | Self::Stable => Kind::Ready,
            Self::Ended { .. } | Self::NotStarted { .. } => Kind::Exit,
            Self::NotReady { .. } | Self::CheckFlipped { .. } | Self::RestartAsked { .. } => Kind::Check,
            Self::RestartAnswered { .. } => Kind::Decision,
            Self::SignalSent { .. } => Kind::Signal,
            Self::Wanted { .. } => Kind::Operator,
            Self::GivenUp { .. } | Self::Completed => Kind::GiveUp,
            Self::Applied { .. } => Kind::Config,
            Self::Monitor { .. } | Self::Brake { .. } | Self::Supervisor { .. } | Self::Refused => {
                Kind::Daemon
            }
            Self::Evidence => Kind::Evidence,
            Self::IncidentOpened { .. } | Self::IncidentClosed { .. } => Kind::Incident,
        }
    }
}
