//! The journal: every event with its cause, one line of JSON each, bounded, kept over restarts.
//!
//! The newest events are also held in memory, for `why`, `events` and subscribers.

pub mod allowance;
pub mod chain;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::{Name, bounds};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// How many events are held in memory.
const RECENT: usize = 1_000;

/// The size at which a file of events is rotated, and how many files are kept.
const FILE_SIZE: u64 = 4 * 1024 * 1024;
const FILES: u32 = 4;

/// The longest evidence that is kept, in bytes.
const LONGEST: usize = 4 * 1024;

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
    /// What a run was doing when it was judged; the cause is the judgement.
    Evidence,
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
            Self::Evidence => "evidence",
            Self::Signal => "signal",
            Self::GiveUp => "give-up",
            Self::Change => "change",
            Self::Schedule => "schedule",
            Self::Config => "config",
            Self::Operator => "operator",
            Self::Output => "output",
            Self::Daemon => "daemon",
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
    /// The kind of event.
    pub kind: Kind,
    /// A line of text for people.
    pub message: String,
    /// More detail for people.
    pub evidence: String,
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: Option<File>,
    length: u64,
    next: u64,
    recent: VecDeque<Event>,
    /// Lines for the next flush, which never comes between an exit and the next start.
    pending: Vec<u8>,
    live: broadcast::Sender<Event>,
}

impl Journal {
    /// Continues the journal in a folder. The supervisor runs even if it cannot be written.
    pub fn open(folder: &Path) -> Self {
        let mut recent = VecDeque::new();
        let mut next = 1;
        for event in read_all(folder) {
            next = next.max(event.seq + 1);
            if recent.len() == RECENT {
                recent.pop_front();
            }
            recent.push_back(event);
        }
        let mut journal = Self {
            folder: folder.into(),
            file: None,
            length: 0,
            next,
            recent,
            pending: Vec::new(),
            live: broadcast::Sender::new(256),
        };
        journal.reopen();
        journal
    }

    /// Adds an event; returns its number.
    pub fn add(&mut self, entry: Entry<'_>) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let event = Event {
            seq: self.next,
            cause: entry.cause,
            time: u64::try_from(since.as_millis()).unwrap_or(0),
            source: entry.source.into(),
            service: entry.service.map_or_else(String::new, ToString::to_string),
            incarnation: entry.incarnation,
            kind: entry.kind,
            message: entry.message,
            evidence: bounds::cut(entry.evidence, LONGEST),
        };
        self.next += 1;
        serde_json::to_writer(&mut self.pending, &event).expect("strings and numbers can be written");
        self.pending.push(b'\n');
        let seq = event.seq;
        if self.live.receiver_count() > 0 {
            // Fails only if the last subscriber has just gone.
            let _ = self.live.send(event.clone());
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(event);
        seq
    }

    /// Writes pending lines to disk. Without fsync: a SIGKILL does not lose the page cache.
    pub fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if self.length > FILE_SIZE {
            self.rotate();
        }
        if self.file.is_none() {
            self.reopen();
        }
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&self.pending)
        {
            tracing::warn!(%error, "writing the journal failed; going on without");
            self.file = None;
        }
        self.length += u64::try_from(self.pending.len()).unwrap_or(0);
        self.pending.clear();
    }

    /// Writes the events in memory again with the next flush, because the files are gone.
    pub fn write_again(&mut self) {
        self.file = None;
        self.pending.clear();
        for event in &self.recent {
            serde_json::to_writer(&mut self.pending, event).expect("strings and numbers can be written");
            self.pending.push(b'\n');
        }
    }

    /// Returns the number of the next event.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// Returns the newest events, oldest first.
    pub fn recent(&self) -> &VecDeque<Event> {
        &self.recent
    }

    /// Subscribes to all future events; a slow subscriber misses some, and receives their number.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.live.subscribe()
    }

    fn reopen(&mut self) {
        let opened = fs::create_dir_all(&self.folder).and_then(|()| open(&file_in(&self.folder, 0)));
        match opened {
            Ok((file, length)) => (self.file, self.length) = (Some(file), length),
            Err(error) => tracing::warn!(%error, "opening the journal failed; going on without"),
        }
    }

    fn rotate(&mut self) {
        self.file = None;
        for number in (0..FILES - 1).rev() {
            // A file that does not exist yet need not be moved.
            let _ = fs::rename(file_in(&self.folder, number), file_in(&self.folder, number + 1));
        }
    }
}

/// Returns every event on disk, oldest first; unreadable lines are skipped.
pub fn read_all(folder: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    for number in (0..FILES).rev() {
        let Ok(text) = fs::read(file_in(folder, number)) else { continue };
        events.extend(parse(&text));
    }
    events
}

fn parse(text: &[u8]) -> impl Iterator<Item = Event> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.filter_map(|line| serde_json::from_slice::<Event>(line).ok())
}

/// Parses bytes that may be a journal.
pub(crate) fn fuzz(bytes: &[u8]) {
    for event in parse(bytes) {
        let _ = event.when();
    }
}

fn file_in(folder: &Path, number: u32) -> PathBuf {
    if number == 0 { folder.join("events.jsonl") } else { folder.join(format!("events.{number}.jsonl")) }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = crate::os::open_append(path, 0o644)?;
    let length = file.metadata()?.len();
    if length > 0 && !ends_with_newline(path)? {
        // Ends a line that was cut off.
        file.write_all(b"\n")?;
    }
    Ok((file, length))
}

fn ends_with_newline(path: &Path) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(message: &str) -> Entry<'_> {
        Entry {
            cause: 0,
            source: "supervisor",
            service: None,
            incarnation: 0,
            kind: Kind::Daemon,
            message: message.into(),
            evidence: String::new(),
        }
    }

    #[test]
    fn numbers_go_on_over_a_restart_and_over_a_cut_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path());
        assert_eq!(journal.add(entry("one")), 1);
        assert_eq!(journal.add(entry("two")), 2);
        journal.flush();
        let path = file_in(folder.path(), 0);
        let text = fs::read(&path).expect("there");
        fs::write(&path, &text[..text.len() - 5]).expect("cut");

        let mut journal = Journal::open(folder.path());
        assert_eq!(journal.recent().len(), 1, "the cut line is passed over");
        assert_eq!(journal.add(entry("three")), 2);
        journal.flush();
        let messages: Vec<String> = read_all(folder.path()).into_iter().map(|event| event.message).collect();
        assert_eq!(messages, ["one", "three"]);
    }

    #[test]
    fn its_size_is_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path());
        let long = "x".repeat(3_000);
        for _ in 0..9_000 {
            journal.add(Entry { evidence: long.clone(), ..entry("flood") });
            journal.flush();
        }
        let size: u64 = fs::read_dir(folder.path())
            .expect("there")
            .map(|file| file.and_then(|file| file.metadata()).map_or(0, |meta| meta.len()))
            .sum();
        assert!(size < u64::from(FILES + 1) * FILE_SIZE, "{size}");
        assert_eq!(journal.recent().len(), RECENT);
        assert_eq!(journal.recent().back().map(|event| event.seq), Some(9_000));
    }
}
