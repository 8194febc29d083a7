//! Moves the services' output from their FIFOs into files: as bytes, never as strings, and without copying them through
//! this process.
//!
//! ```text
//!  service ──▶ FIFO ──splice──▶ NAME.out.log          thread `logs`  (pump.rs: all streams, one epoll; flood.rs: those
//!                     │                 │                              that write too much to be waited for)
//!                     │                 └─▶ .index/NAME.out.log       (index.rs: offset and time of a read)
//!                     └ tee, pread: line borders, `ready = { log = … }`
//!                                  NAME.out.log.1, .2.gz, …           threads `rotate` (rotate.rs), `compress` (compress.rs)
//!  ctl logs ◀── read.rs, from the files; woken by each stream's progress
//!  ctl why  ◀── last.rs, the last lines of one run, handed out when it ends
//! ```
//!
//! Files are opened by [`LogDir`](crate::os::LogDir), never through a link: the folder may belong to the service's
//! user. Reads in it are bounded: the index is searched, and files are compressed and shown up to a size
//! (`RotationPolicy::largest`).
//!
//! No thread here waits for the control loop, and the control loop waits for no thread here. A pipe is only touched here,
//! where a service that holds it up holds up nobody else (threads.rs).

mod compress;
mod flood;
mod index;
mod last;
mod pump;
mod read;
mod rotate;
mod stream;
mod threads;
mod times;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime};
use std::{fmt, io};

use proto::Name;
use tokio::sync::watch;

use crate::os::pipe::{Output, ServiceEnd, Waker};

pub use last::last_lines;
pub use read::{Chunk, Limits, Place, Reader};

/// An output of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// The standard output.
    Out,
    /// The standard error output.
    Err,
}

impl Which {
    /// Both outputs, in order.
    pub const BOTH: [Self; 2] = [Self::Out, Self::Err];

    /// Returns its descriptor number in the service.
    pub const fn number(self) -> i32 {
        match self {
            Self::Out => 1,
            Self::Err => 2,
        }
    }

    /// Returns its word in file names.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }
}

/// The key of an output of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The service's name.
    pub service: Name,
    /// Which output it is.
    pub which: Which,
}

/// Where an output is stored, and when it is rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationPolicy {
    /// The current file; rotated files are beside it.
    pub path: PathBuf,
    /// The size at which a file is rotated, in bytes.
    pub max_size: u64,
    /// The number of rotated files that are kept.
    pub keep: u32,
    /// Whether rotated files from the second on are compressed.
    pub compress: bool,
}

/// The most by which a file exceeds its `max_size` before it is rotated: the rest of a line, and what a flood writes
/// meanwhile.
const OVER: u64 = 64 * 1024 * 1024;

impl RotationPolicy {
    /// Returns the largest size of its files, unless another program has made a file larger.
    fn largest(&self) -> u64 {
        self.max_size.saturating_add(OVER)
    }
}

/// The public state of a stream, available before anything was written to it.
#[derive(Debug)]
pub struct Shared {
    dropped: AtomicU64,
    trouble: Mutex<Option<String>>,
    progress: watch::Sender<u64>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { dropped: AtomicU64::new(0), trouble: Mutex::new(None), progress: watch::Sender::new(0) }
    }
}

impl Shared {
    /// Returns how many bytes could not be written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns why bytes cannot be written now.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().expect("nobody panics while holding it").clone()
    }

    /// Returns a receiver that changes whenever something was written.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    fn drop_bytes(&self, bytes: usize) {
        self.dropped.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().expect("nobody panics while holding it") = trouble;
    }

    fn wrote(&self) {
        if self.progress.receiver_count() > 0 {
            self.progress.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

/// The end of a run's output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The last bytes of the output.
    pub bytes: Vec<u8>,
    /// Whether there was more output before.
    pub cut: bool,
}

/// An event that the threads send to the control loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// A line matched the pattern in `ready = { log = … }` of this run.
    Matched {
        /// The service that wrote the line.
        service: Name,
        /// The incarnation that was waiting.
        incarnation: u64,
    },
}

/// A command of the control loop to the threads.
enum Command {
    Open {
        key: Key,
        output: Output,
        keep: RotationPolicy,
        shared: Arc<Shared>,
        fresh: bool,
    },
    Change {
        key: Key,
        keep: RotationPolicy,
    },
    /// Moves the remaining bytes, then forgets the stream and closes the service's end of it.
    Close {
        key: Key,
        end: Option<ServiceEnd>,
    },
    /// Looks for a matching line; `None` stops looking.
    Look {
        key: Key,
        pattern: Option<(regex::bytes::Regex, u64)>,
    },
    /// Moves the remaining bytes at the end of a run, and passes on its last output.
    Settle {
        key: Key,
        since: SystemTime,
        done: Box<dyn FnOnce(Said) + Send>,
    },
    Rotated(rotate::Rotated),
    /// A thread that was stuck with a stream gives it back.
    Back(u64),
    /// Ends, and tells so; before, moves the remaining bytes of every pipe if that is wanted.
    End {
        drain: bool,
        done: mpsc::Sender<()>,
    },
}

/// The handle of the threads: cheap to clone, never blocks.
#[derive(Clone)]
pub struct Logs {
    commands: mpsc::Sender<Command>,
    waker: Arc<Mutex<Waker>>,
    /// The outputs that a thread is stuck with.
    stuck: Arc<Mutex<BTreeSet<Key>>>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logs")
    }
}

impl Logs {
    /// Starts the threads; `events` is called on one of them.
    pub fn start(events: impl Fn(LogEvent) + Send + Sync + 'static) -> io::Result<Self> {
        let (commands, inbox) = mpsc::channel();
        let (poller, waker) = crate::os::pipe::Poller::new()?;
        let logs = Self { commands, waker: Arc::new(Mutex::new(waker)), stuck: Arc::default() };
        let rotator = rotate::Rotator::start(logs.clone())?;
        threads::start(inbox, poller, logs.clone(), rotator, Box::new(events))?;
        Ok(logs)
    }

    /// Begins to store an output. `fresh` means that no run has written to it yet.
    pub fn open(&self, key: Key, output: Output, keep: RotationPolicy, shared: Arc<Shared>, fresh: bool) {
        self.send(Command::Open { key, output, keep, shared, fresh });
    }

    /// Changes how an output is stored from now on.
    pub fn change(&self, key: Key, keep: RotationPolicy) {
        self.send(Command::Change { key, keep });
    }

    /// Moves the remaining bytes, forgets the stream, and closes the service's end of it.
    pub fn close(&self, key: Key, end: Option<ServiceEnd>) {
        self.send(Command::Close { key, end });
    }

    /// Returns an output whose service holds it up, so that a thread is stuck with it: this process can neither end nor
    /// become another program before that is over.
    pub fn stuck(&self) -> Option<Key> {
        locked(&self.stuck).first().cloned()
    }

    /// Reports when a line of this run matches; `None` stops looking.
    pub fn look_for(&self, key: Key, pattern: Option<(&regex::Regex, u64)>) {
        let pattern = pattern.map(|(regex, incarnation)| {
            let bytes =
                regex::bytes::Regex::new(regex.as_str()).expect("a pattern for text is one for bytes");
            (bytes, incarnation)
        });
        self.send(Command::Look { key, pattern });
    }

    /// Handles the end of a run that began at `since`: moves what it wrote, and calls `done` on the thread with the end
    /// of its output.
    pub fn last_lines(&self, key: Key, since: SystemTime, done: impl FnOnce(Said) + Send + 'static) {
        self.send(Command::Settle { key, since, done: Box::new(done) });
    }

    /// Ends the threads. `drain`: moves the remaining bytes of every pipe before. What is not moved waits in the pipes
    /// of services that run for the next supervisor.
    pub fn end(&self, drain: bool) {
        /// Moving what full pipes hold takes milliseconds.
        const PATIENCE: Duration = Duration::from_secs(5);
        let (done, ended) = mpsc::channel();
        self.send(Command::End { drain, done });
        if ended.recv_timeout(PATIENCE).is_err() {
            tracing::error!("the logs did not end");
        }
    }

    fn send(&self, command: Command) {
        // Fails only after `end`, when the threads are gone.
        if self.commands.send(command).is_ok() {
            locked(&self.waker).wake();
        }
    }

    /// Takes the waker of the thread that moves bytes from now on.
    fn wake_by(&self, waker: Waker) {
        *locked(&self.waker) = waker;
        locked(&self.waker).wake();
    }

    fn is_stuck(&self, key: Key, stuck: bool) {
        let mut all = locked(&self.stuck);
        if stuck {
            all.insert(key);
        } else {
            all.remove(&key);
        }
    }
}

fn locked<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Parses bytes that may be an index of times.
pub(crate) fn fuzz(bytes: &[u8]) {
    times::fuzz(bytes);
}
