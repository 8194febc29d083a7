//! What a look at the processes of a run shows at the moment it is judged: plain facts, the same on every system.

use std::time::Duration;

/// The most processes that are looked at, and the most threads of all of them together.
pub const MOST_PROCESSES: usize = 256;
/// The most threads of all processes together.
pub const MOST_THREADS: usize = 512;

/// What a process or thread is doing, as the system's scheduler sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunState {
    /// It runs, or could.
    Running,
    /// It waits for something, and a signal would wake it.
    Sleeping,
    /// It waits inside the kernel, mostly for a disk; no signal wakes it.
    Blocked,
    /// A signal has stopped it.
    Stopped,
    /// A debugger has stopped it.
    Traced,
    /// It has ended, and waits to be reaped.
    Dead,
    /// The system does not tell.
    #[default]
    Unknown,
}

/// A thread at the time of the look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadFacts {
    /// The thread's id; that of the first thread is the pid.
    pub id: u32,
    /// The thread's name, as it has set it: any bytes.
    pub name: String,
    /// What it is doing.
    pub state: RunState,
    /// The system call that it is in, by name.
    pub call: Option<&'static str>,
    /// The place in the kernel where it waits.
    pub place: Option<String>,
    /// Where it is in the kernel, innermost first; empty where that may not be read.
    pub stack: Vec<String>,
    /// CPU time between the two looks, if both were possible.
    pub used: Option<Duration>,
}

/// The open files of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// How many are open.
    pub open: u64,
    /// Whether there are more than were counted.
    pub more: bool,
    /// How many may be open; `None` for no limit.
    pub limit: Option<u64>,
}

/// A process at the time of the look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessFacts {
    /// The process's pid.
    pub pid: u32,
    /// Its parent's pid.
    pub parent: u32,
    /// The process's name, as it has set it: any bytes.
    pub name: String,
    /// What its first thread is doing.
    pub state: RunState,
    /// How many threads it has.
    pub thread_count: u64,
    /// The threads that were looked at, the first thread first.
    pub threads: Vec<ThreadFacts>,
    /// The signal that has stopped it, if that is known.
    pub stopped_by: Option<String>,
    /// CPU time since it began.
    pub cpu: Duration,
    /// CPU time between the two looks, if both were possible.
    pub used: Option<Duration>,
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Its open files; `None` where they may not be looked at.
    pub descriptors: Option<Descriptors>,
}

/// An open socket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SocketFacts {
    /// The process that has it open.
    pub pid: u32,
    /// The number of its descriptor there.
    pub descriptor: u32,
    /// What kind of socket it is, and in which state.
    pub kind: &'static str,
    /// Its own address; empty if it is unknown.
    pub local: String,
    /// The address of its peer; empty if it has none or it is unknown.
    pub peer: String,
}

/// A socket on which connections wait to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueFacts {
    /// The address that it listens on.
    pub address: String,
    /// How many connections wait.
    pub waiting: u32,
}

/// What a look at a run has shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Examination {
    /// The processes, the leader first.
    pub processes: Vec<ProcessFacts>,
    /// The oldest sockets.
    pub sockets: Vec<SocketFacts>,
    /// How many sockets were found.
    pub socket_count: usize,
    /// The sockets that it listens on.
    pub queues: Vec<QueueFacts>,
    /// The time between the two looks at CPU times; zero if there was one.
    pub between: Duration,
    /// What was left out, in words.
    pub left_out: Vec<&'static str>,
}
