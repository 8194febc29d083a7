//! What the journal holds: events, each with its cause.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::Name;
use serde::{Deserialize, Serialize};

use super::{Detail, What};

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A process was started.
    Start,
    /// A service became ready.
    Ready,
    /// A process ended.
    Exit,
    /// A check's result changed, or a monitor gave the reason of its request.
    Check,
    /// The arbiter answered a request.
    Decision,
    /// Processes were told to end.
    Signal,
    /// A service was given up, or will be tried again later.
    GiveUp,
    /// Files that a service is restarted for have changed.
    Change,
    /// The time of a job or of a scheduled restart came.
    Schedule,
    /// A file was applied.
    Config,
    /// A person requested something.
    Operator,
    /// What a run wrote before its end; the cause is the exit.
    Output,
    /// A daemon came, went, or reports something.
    Daemon,
    /// What a run was doing when it was judged.
    Evidence,
    /// An incident began, or is over.
    Incident,
    /// A kind that a newer version wrote.
    #[serde(other)]
    Other,
}

impl Kind {
    /// Returns the word of the contract.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Ready => "ready",
            Self::Exit => "exit",
            Self::Check => "check",
            Self::Decision => "decision",
            Self::Signal => "signal",
            Self::GiveUp => "give-up",
            Self::Change => "change",
            Self::Schedule => "schedule",
            Self::Config => "config",
            Self::Operator => "operator",
            Self::Output => "output",
            Self::Daemon => "daemon",
            Self::Evidence => "evidence",
            Self::Incident => "incident",
            Self::Other => "other",
        }
    }
}

/// An event in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The event's number, which only grows.
    pub seq: u64,
    /// The number of the event that caused it; 0 if none is known.
    pub cause: u64,
    /// Wall clock, in milliseconds since the epoch: for people.
    pub time: u64,
    /// The daemon that reports it.
    pub source: String,
    /// The service it is about; empty for the supervisor itself.
    pub service: String,
    /// The incarnation it is about; 0 for none.
    pub incarnation: u64,
    /// The kind of event.
    pub kind: Kind,
    /// A line of text for people.
    pub message: String,
    /// More detail for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// The same for programs.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known")]
    pub detail: Option<Detail>,
}

/// Reads a detail; one of a newer version is left out, and its event is not.
fn known<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Detail>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(serde_json::from_value(value).ok())
}

impl Event {
    /// Returns when it happened.
    pub fn when(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.time)
    }
}

/// An event before the journal adds its number and time.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// The number of the event that caused it; 0 if none is known.
    pub cause: u64,
    /// The daemon that reports it.
    pub source: &'a str,
    /// The service it is about.
    pub service: Option<&'a Name>,
    /// The incarnation it is about; 0 for none.
    pub incarnation: u64,
    /// What has happened.
    pub what: What,
    /// A line of text for people.
    pub message: String,
    /// More detail for people.
    pub evidence: String,
}
