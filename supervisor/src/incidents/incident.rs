//! What an incident is.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time in which a service did not serve although it was to. Times are wall clock, in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number: that of the event in the journal that opened it.
    pub id: u64,
    /// The service that did not serve.
    pub service: String,
    /// The first evidence that it did not serve.
    pub began: u64,
    /// When the supervisor heard of it.
    pub noticed: u64,
    /// When something was first done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acted: Option<u64>,
    /// When it served again, or was no longer wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed: Option<u64>,
    /// What it began with.
    pub cause: Cause,
    /// The run that did not serve; 0 if none had begun.
    pub first_run: u64,
    /// The last run that was started.
    pub last_run: u64,
    /// How many runs were started.
    pub restarts: u32,
    /// A telling line of what the run was doing when it was judged; empty if none was taken.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// What healed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed_by: Option<HealedBy>,
    /// Whether a person did something about it.
    #[serde(default)]
    pub by_person: bool,
}

/// What an incident began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The kind of its first evidence.
    pub kind: CauseKind,
    /// That evidence, for people.
    pub text: String,
    /// The incident of a dependency that explains this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<u64>,
    /// Whether too many services went bad at once, and no dependency explains it.
    #[serde(default)]
    pub host: bool,
    /// Whether it explains incidents of other services.
    #[serde(default)]
    pub explains: bool,
}

impl Cause {
    /// Returns the kind, as far as it is known by now.
    pub fn kind(&self) -> &str {
        match self.kind.word() {
            _ if self.incident.is_some() => "dependency",
            _ if self.host && !self.explains => "host",
            word => word,
        }
    }
}

/// The kind of the first evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CauseKind {
    /// It ended by itself.
    Crash,
    /// The kernel killed it because it used more memory than it may.
    OutOfMemory,
    /// It used more memory than it may, and was restarted.
    Memory,
    /// It could not be started, or was not ready in time.
    Start,
    /// It lived and did nothing.
    Frozen,
    /// A check of this kind failed: `http`, `port`, `exec`, or one of a monitor of yours.
    Check(String),
}

impl CauseKind {
    /// Returns the kind of evidence that a check of this kind is.
    pub fn of_check(kind: &str) -> Self {
        Self::Check(if kind == "tcp" { "port" } else { kind }.into())
    }

    /// Returns the word of the contract.
    pub fn word(&self) -> &str {
        match self {
            Self::Crash => "crash",
            Self::OutOfMemory => "oom",
            Self::Memory => "memory",
            Self::Start => "start",
            Self::Frozen => "frozen",
            Self::Check(kind) => kind,
        }
    }
}

impl fmt::Display for CauseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for CauseKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for CauseKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        let known = [Self::Crash, Self::OutOfMemory, Self::Memory, Self::Start, Self::Frozen];
        Ok(known.into_iter().find(|kind| kind.word() == word).unwrap_or(Self::Check(word)))
    }
}

/// What healed an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealedBy {
    /// The supervisor restarted the service.
    Supervisor,
    /// A person did something about it, or stopped the service.
    Person,
    /// Nobody did anything: it served again.
    Itself,
}

impl HealedBy {
    /// Returns the word of the contract.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Person => "person",
            Self::Itself => "itself",
        }
    }
}

impl Incident {
    /// Returns how long the service was down, or has been until now.
    pub fn downtime(&self, now: u64) -> Duration {
        Duration::from_millis(self.healed.unwrap_or(now).saturating_sub(self.began))
    }

    /// Returns whether it is not over.
    pub fn is_open(&self) -> bool {
        self.healed.is_none()
    }
}

/// Returns the milliseconds since the epoch, now.
pub fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
