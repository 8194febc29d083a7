//! What services write, from their FIFOs into files: bytes, never strings, and never through our hands.
//!
//! ```text
//!  service ──▶ FIFO ──splice──▶ NAME.out.log          thread `logs`  (pump.rs: all streams, one epoll; flood.rs: those
//!                     │                 │                              that are not waited for, as they write so much)
//!                     │                 └─▶ .index/NAME.out.log       (index.rs: offset and time of a read)
//!                     └ tee, pread: line borders, `ready = { log = … }`
//!                                  NAME.out.log.1, .2.gz, …           threads `rotate` (rotate.rs), `compress` (compress.rs)
//!  ctl logs ◀── read.rs, from the files; woken by each stream's progress
//!  ctl why  ◀── last.rs, the last lines of one run, handed out when it ends
//! ```
//!
//! Files are opened by [`LogDir`](crate::os::LogDir), never through a link: the folder may be the service's. Nothing that is
//! read there is read to its end: the index is searched, files are compressed and shown up to a size (`RotationPolicy::largest`).
//!
//! Nothing here waits for the control loop, and the control loop waits for nothing here.

mod compress;
mod flood;
mod index;
mod last;
mod pump;
mod read;
mod rotate;
mod stream;
mod times;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::SystemTime;
use std::{fmt, io, thread};

use proto::Name;
use tokio::sync::watch;

use crate::os::pipe::{Output, Waker};

pub use last::last_lines;
pub use read::{Chunk, Limits, Place, Reader};

/// Which of its outputs a service wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Which {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::Out, Self::Err];

    /// The descriptor that a service has it as.
    pub const fn number(self) -> i32 {
        match self {
            Self::Out => 1,
            Self::Err => 2,
        }
    }

    /// As in a file name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }
}

/// One output of one service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Whose.
    pub service: Name,
    /// Which.
    pub which: Which,
}

/// Where and how one output is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationPolicy {
    /// The current file; rotated ones stand beside it.
    pub path: PathBuf,
    /// A file is rotated at this size.
    pub max_size: u64,
    /// So many rotated files are kept.
    pub keep: u32,
    /// Whether rotated files from the second on are compressed.
    pub compress: bool,
}

/// A file grows beyond its `max_size` by at most so much until it is rotated: the rest of a line, and what a flood writes
/// meanwhile.
const OVER: u64 = 64 * 1024 * 1024;

impl RotationPolicy {
    /// No file of it is larger than this, unless somebody else has made it so.
    fn largest(&self) -> u64 {
        self.max_size.saturating_add(OVER)
    }
}

/// What others may know of a stream, also before anything was written to it.
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
    /// Bytes that could not be written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Why bytes can not be written now.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().expect("nobody panics while holding it").clone()
    }

    /// Changes whenever something was written.
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

/// The end of what a run wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// There was more before.
    pub cut: bool,
}

/// What the threads tell the control loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// A line matched what `ready = { log = … }` of this run waits for.
    Matched {
        /// Whose line.
        service: Name,
        /// The run that was waiting.
        incarnation: u64,
    },
}

/// What the control loop asks of the threads.
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
    /// Moves what is left, then forgets the stream.
    Close {
        key: Key,
    },
    /// Looks for a line; `None` no longer does.
    Look {
        key: Key,
        pattern: Option<(regex::bytes::Regex, u64)>,
    },
    /// Moves what is left now: the end of a run. What it said last is handed out.
    Settle {
        key: Key,
        since: SystemTime,
        done: Box<dyn FnOnce(Said) + Send>,
    },
    Rotated(rotate::Rotated),
    /// Moves what is left in every pipe, then ends.
    End,
}

/// The handle: cheap to clone, never blocks.
#[derive(Clone)]
pub struct Logs {
    commands: mpsc::Sender<Command>,
    waker: Waker,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logs")
    }
}

/// The running threads.
#[derive(Debug)]
pub struct Threads(thread::JoinHandle<()>);

impl Logs {
    /// Starts the threads; `events` is called on one of them.
    pub fn start(events: impl Fn(LogEvent) + Send + 'static) -> io::Result<(Self, Threads)> {
        let (commands, inbox) = mpsc::channel();
        let (poller, waker) = crate::os::pipe::Poller::new()?;
        let logs = Self { commands, waker };
        let rotator = rotate::Rotator::start(logs.clone())?;
        let pump = pump::Pump::new(poller, inbox, rotator, Box::new(events))?;
        let thread =
            thread::Builder::new().name("logs".into()).stack_size(256 * 1024).spawn(move || pump.run())?;
        Ok((logs, Threads(thread)))
    }

    /// Begins to keep one output. `fresh`: nobody has written to it yet.
    pub fn open(&self, key: Key, output: Output, keep: RotationPolicy, shared: Arc<Shared>, fresh: bool) {
        self.send(Command::Open { key, output, keep, shared, fresh });
    }

    /// Keeps it differently from now on.
    pub fn change(&self, key: Key, keep: RotationPolicy) {
        self.send(Command::Change { key, keep });
    }

    /// Moves what is left and forgets the stream.
    pub fn close(&self, key: Key) {
        self.send(Command::Close { key });
    }

    /// Tells when a line of this run matches; `None` no longer does.
    pub fn look_for(&self, key: Key, pattern: Option<(&regex::Regex, u64)>) {
        let pattern = pattern.map(|(regex, incarnation)| {
            let bytes =
                regex::bytes::Regex::new(regex.as_str()).expect("a pattern for text is one for bytes");
            (bytes, incarnation)
        });
        self.send(Command::Look { key, pattern });
    }

    /// A run that began at `since` has ended: moves what it wrote, and calls `done`, on the thread, with the end of it.
    pub fn last_lines(&self, key: Key, since: SystemTime, done: impl FnOnce(Said) + Send + 'static) {
        self.send(Command::Settle { key, since, done: Box::new(done) });
    }

    /// Moves what is left in every pipe and ends the threads.
    pub fn end(&self, threads: Threads) {
        self.send(Command::End);
        if threads.0.join().is_err() {
            tracing::error!("the log thread had panicked");
        }
    }

    fn send(&self, command: Command) {
        // Only after `end` is nobody there to hear.
        if self.commands.send(command).is_ok() {
            self.waker.wake();
        }
    }
}
/// Bytes that may be an index of times.
pub(crate) fn hostile(bytes: &[u8]) {
    times::hostile(bytes);
}
