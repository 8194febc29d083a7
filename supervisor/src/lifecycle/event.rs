//! What goes into a unit and what comes out of it: closed enums, so that one can see everything that can happen.

use std::time::Duration;

use proto::Name;

use super::{CheckFact, Exit};

/// Why a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyEnd {
    /// By itself.
    Exit,
    /// It is not wanted any more.
    Stop,
    /// Whoever wants it up wants a new run of it: a person, a changed file, a dependency that restarted.
    Restart,
    /// A monitor asked, and the arbiter agreed.
    Asked,
    /// It was not ready in time, with evidence.
    NotReady,
    /// It used more memory than it may: no crash, and nobody's doubt either.
    Memory,
    /// A job that was not done in time.
    Overdue,
}

/// What people (and the arbiter, for a monitor) want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Up, and begin the count of crashes anew.
    Start,
    /// Up; but a job waits for its time.
    Arm,
    /// Down.
    Stop,
    /// A new run, without delay.
    Restart,
    /// A new run, by policy: the arbiter accepted a monitor's request.
    Ask,
    /// A new run, by policy, as it uses more memory than it may.
    Unburden,
    /// The run of a job is to end, as it takes too long.
    Overdue,
    /// Clears streak and restarts; a given-up service that is wanted up is tried again.
    Reset,
}

/// What a request came to. A repeat is never an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It changes what is done.
    Accepted,
    /// It was so already.
    Already,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Fact {
    /// The spawn that was handed out succeeded.
    Spawned,
    /// The spawn that was handed out failed.
    SpawnFailed(String),
    /// The spawn that was handed out could not be tried, for want of something that the supervisor needs: space on the
    /// disk, a descriptor, memory. That is no failure of the service.
    Hindered(String),
    /// The run was not told to go after all: what was to be written down before could not be.
    NotTold,
    /// The leader ended.
    Exited(Exit),
    /// The kernel ended it, as it used more memory than it may.
    OutOfMemory(Exit),
    /// No process of the group is left.
    Drained,
    /// No process of the last run is left.
    Swept,
    /// `READY=1` came.
    Notified,
    /// A line of output matched.
    Logged,
    /// A monitor reported on the current incarnation.
    Check(Name, CheckFact),
    /// The monitor of a check came (and is not blind), or went.
    Watched(Name, bool),
    /// Dependencies hold, or do not.
    Gate(bool),
    /// A person paused or resumed the service.
    Paused(bool),
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a process as this incarnation; answer with `Spawned`, `SpawnFailed` or `Hindered`.
    Spawn(u64),
    /// Ask the run to go, politely; answer with `NotTold` if that is not done.
    Terminate(WhyEnd),
    /// Kill every process of the run.
    Kill,
    /// Wait until the group of the run is empty; answer with `Drained`.
    Drain,
    /// Kill what the run left behind; answer with `Swept` once nothing is left.
    Sweep,
}

/// Something worth telling, in the order it happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// All of `ready` holds, so long after the start.
    Ready(Duration),
    /// The streak is over.
    Stable,
    /// Not ready in time, and what it was waiting for.
    NotReady(String),
    /// The next start is so far away, because of a streak of this length.
    Backoff(Duration, u32),
    /// The supervisor can not start it now, for this reason, and tries again.
    Hindered(String),
    /// Nothing more will be tried, for this reason.
    GaveUp(String),
    /// It ended well, and that is the end.
    Completed,
}

/// What a unit shows the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not wanted up, nothing runs.
    Stopped,
    /// Wanted up; a dependency is not there yet.
    Waiting,
    /// Spawned, not ready yet.
    Starting,
    /// Ready.
    Running,
    /// Started again at a known time.
    Backoff,
    /// Told to go.
    Stopping,
    /// Ended well, and that is the end.
    Completed,
    /// Given up.
    Failed,
}
