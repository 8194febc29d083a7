//! Evidence: what a run was doing when it was judged, taken before it is ended.
//!
//! ```text
//!  Unit: Examine ─▶ take (a thread) ─▶ os::examine ─▶ telling ─▶ the journal
//!                     └─▶ ask: stop.evidence          text ────▶ store: home/evidence, 0600
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | [`telling`] | pure: the one line that tells most |
//! | [`text`] | pure: the whole as text for people |
//! | [`take`] | takes it on a thread of its own, with a bounded time and a bounded number of threads |
//! | [`ask`] | what the service's own command or signal tells besides |
//! | [`store`] | the files, of bounded number and size |
//!
//! Nothing here delays the manager: it starts a thread, and goes on. A thread that hangs in the kernel is left behind;
//! the run is ended without it.

pub mod ask;
pub mod store;
pub mod take;
pub mod telling;
pub mod text;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use proto::Name;

use crate::logs::{Limits, Place};
use crate::os::{Cgroup, Identity};

/// The most bytes of the whole text.
pub const MOST_BYTES: usize = 256 * 1024;

/// An output of the run.
#[derive(Debug, Clone)]
pub struct Written {
    /// The path of its log.
    pub path: PathBuf,
    /// How much of the log is read.
    pub limits: Limits,
    /// Its name for people.
    pub name: &'static str,
}

/// The run that evidence is taken of.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The service's name.
    pub service: Name,
    /// The run's incarnation.
    pub incarnation: u64,
    /// The run's leader.
    pub leader: Identity,
    /// The run's cgroup, if it has one.
    pub cgroup: Option<Arc<Cgroup>>,
    /// The outputs that it writes to.
    pub outputs: Vec<Written>,
    /// Whether it is ended because of its memory.
    pub for_memory: bool,
    /// When the run began: what was written before is of another run.
    pub since: SystemTime,
    /// For how long it has used no CPU time, as far as the watchdog knows.
    pub idle: Option<Duration>,
    /// The folder of the files.
    pub folder: PathBuf,
}

/// What was seen of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The line that tells most.
    pub telling: String,
    /// The beginning of the text: what it is about.
    pub head: String,
    /// The rest of the text.
    pub body: String,
    /// How far each output had been written.
    pub ends: Vec<Option<Place>>,
}

impl Evidence {
    /// Returns the whole text, with what was told besides.
    pub fn text(&self, told: &str) -> String {
        proto::bounds::cut(format!("{}{told}{}", self.head, self.body), MOST_BYTES)
    }
}

/// Evidence that is being taken.
#[derive(Debug)]
pub struct Taking {
    /// The event that asked for the run's end.
    pub because: u64,
    /// The run that it is taken of.
    pub subject: Arc<Subject>,
    /// What is known until now.
    pub first: Option<Evidence>,
    /// Ends the wait for what was asked for besides.
    pub hurry: Option<Sender<ask::Wake>>,
}
