//! The inputs and outputs of a unit: closed enums, so that everything that can happen is listed here.

use std::time::Duration;

use proto::Name;

use super::{CheckFact, Exit};

/// Why a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyEnd {
    /// It ended by itself.
    Exit,
    /// It is not wanted any more.
    Stop,
    /// A new run was requested: by a person, a changed file, or a dependency that restarted.
    Restart,
    /// A monitor or the watchdog asked for a restart, and the arbiter granted it.
    Asked,
    /// It was not ready in time, and there is evidence for that.
    NotReady,
    /// It used more memory than it may. Counts neither as a crash nor as a monitor's request.
    Memory,
    /// It is a job's run that took too long.
    Overdue,
}

impl WhyEnd {
    /// Returns whether evidence is taken before the run is told to end: it was judged, and somebody will ask what it was
    /// doing.
    pub fn wants_evidence(self) -> bool {
        matches!(self, Self::Asked | Self::NotReady | Self::Memory)
    }
}

/// A request of a person, or of the supervisor's own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Start it, and reset the streak.
    Start,
    /// Want it up: a job waits for its time, any other service is started.
    Arm,
    /// Stop the service.
    Stop,
    /// Start a new run without delay.
    Restart,
    /// Start a new run, by policy: the arbiter granted a request.
    Ask,
    /// Start a new run, by policy: it uses more memory than it may.
    Unburden,
    /// End a job's run that takes too long.
    Overdue,
    /// Clear streak and restarts; a wanted service that was given up is tried again.
    Reset,
}

/// The result of a request. A repeat is never an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The request changes what is done.
    Accepted,
    /// The request changes nothing.
    Already,
}

/// A fact about what happened.
#[derive(Debug, Clone)]
pub enum Fact {
    /// The spawn that was handed out succeeded.
    Spawned,
    /// The spawn that was handed out failed.
    SpawnFailed(String),
    /// The spawn that was handed out could not be tried, because the supervisor lacks disk space, a descriptor or
    /// memory. This is no failure of the service.
    Hindered(String),
    /// The run was not told to end after all: the record that must come first could not be written.
    NotTold,
    /// Taking the evidence goes on for this long.
    Examining(Duration),
    /// The evidence is taken, or there will be none.
    Examined,
    /// The leader has ended.
    Exited(Exit),
    /// The kernel killed it because it used more memory than it may.
    OutOfMemory(Exit),
    /// No process of the group is left.
    Drained,
    /// No process of the last run is left.
    Swept,
    /// `READY=1` came over the notify socket.
    Notified,
    /// A line of output matched the readiness pattern.
    Logged,
    /// A monitor reported on the current incarnation.
    Check(Name, CheckFact),
    /// The monitor of a check attached (and is not blind), or detached.
    Watched(Name, bool),
    /// Its dependencies hold, or do not.
    Gate(bool),
    /// A person paused or resumed the service.
    Paused(bool),
}

/// The next thing to do for a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a process as this incarnation; answer with `Spawned`, `SpawnFailed` or `Hindered`.
    Spawn(u64),
    /// Take evidence of what the run is doing; answer with `Examined`, or with `NotTold` if the run is not told to end.
    /// The next action follows at the latest after [`EXAMINATION`](super::unit::EXAMINATION).
    Examine(WhyEnd),
    /// Tell the run to end; answer with `NotTold` if that is not done.
    Terminate(WhyEnd),
    /// Kill every process of the run.
    Kill,
    /// Wait until the group of the run is empty; answer with `Drained`.
    Drain,
    /// Kill what the run left behind; answer with `Swept` once nothing is left.
    Sweep,
}

/// An event to report, in the order it happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// All of `ready` holds, this long after the start.
    Ready(Duration),
    /// The run is stable: the streak is over.
    Stable,
    /// It was not ready in time; lists what it was waiting for.
    NotReady(String),
    /// The next start follows after this time, because of a streak of this length.
    Backoff(Duration, u32),
    /// The supervisor cannot start it now, for this reason, and tries again.
    Hindered(String),
    /// It was given up, for this reason.
    GaveUp(String),
    /// It ended well and will not run again.
    Completed,
}

/// The visible state of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not wanted, and nothing runs.
    Stopped,
    /// Wanted, but a dependency is missing.
    Waiting,
    /// Spawned and not ready yet.
    Starting,
    /// Its run is ready.
    Running,
    /// It will be started again at a known time.
    Backoff,
    /// It was told to end.
    Stopping,
    /// It ended well and will not run again.
    Completed,
    /// It was given up.
    Failed,
}
