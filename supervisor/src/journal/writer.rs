//! The open journal. The manager adds events; they are written at the end of its turn, never between an exit and the
//! next start.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use proto::bounds;
use tokio::sync::watch;

use super::numbers::Numbers;
use super::segments::{self, SIZE, Segment};
use super::{Entry, Event, read};

/// The longest evidence that is kept, in bytes.
const LONGEST: usize = 4 * 1024;

/// How many bytes of events wait at most until the journal can be written again.
const MOST_WAITING: usize = 1024 * 1024;

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    numbers: Numbers,
    file: Option<File>,
    length: u64,
    /// Lines that are not written yet.
    pending: Vec<u8>,
    /// The number of the first of them.
    pending_from: u64,
    /// Whether the last write failed.
    failing: bool,
    /// The number that follows the last one that is in the files.
    written: watch::Sender<u64>,
}

impl Journal {
    /// Continues the journal in a folder. The supervisor runs even if it cannot be written.
    pub fn open(folder: &Path) -> Self {
        if let Err(error) = fs::create_dir_all(folder) {
            tracing::warn!(%error, "making the folder of the journal failed");
        }
        segments::rename_earlier(folder);
        let numbers = Numbers::open(folder, read::last_number(folder));
        let mut journal = Self {
            folder: folder.into(),
            written: watch::Sender::new(numbers.peek()),
            numbers,
            file: None,
            length: 0,
            pending: Vec::new(),
            pending_from: 0,
            failing: false,
        };
        if let Some(newest) = segments::all(folder).pop() {
            journal.go_on_in(&newest);
        }
        segments::remove_old(folder, SystemTime::now());
        journal
    }

    /// Adds an event; returns its number.
    pub fn add(&mut self, entry: Entry<'_>) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let event = Event {
            seq: self.numbers.take(),
            cause: entry.cause,
            time: u64::try_from(since.as_millis()).unwrap_or(0),
            source: entry.source.into(),
            service: entry.service.map_or_else(String::new, ToString::to_string),
            incarnation: entry.incarnation,
            kind: entry.what.kind,
            message: entry.message,
            evidence: bounds::cut(entry.evidence, LONGEST),
            detail: entry.what.detail,
        };
        if self.pending.is_empty() {
            self.pending_from = event.seq;
        }
        serde_json::to_writer(&mut self.pending, &event).expect("strings and numbers can be written");
        self.pending.push(b'\n');
        event.seq
    }

    /// Writes pending lines to disk. Without fsync: a SIGKILL does not lose the page cache.
    pub fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if self.length > SIZE {
            self.file = None;
        }
        match self.write() {
            Ok(()) => {
                self.length += u64::try_from(self.pending.len()).unwrap_or(0);
                self.pending.clear();
                self.failing = false;
                self.written.send_replace(self.numbers.peek());
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "writing the journal failed; its events wait");
                }
                self.keep_the_newest();
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            fs::create_dir_all(&self.folder)?;
            self.go_on_in(&Segment::beginning(&self.folder, self.pending_from));
            segments::remove_old(&self.folder, SystemTime::now());
        }
        let Some(file) = &mut self.file else { return Err(io::Error::other("it cannot be opened")) };
        let written = file.write_all(&self.pending);
        if written.is_err() {
            // Whole lines that were written stay, as they may have been read; the rest of one is taken back.
            let done = usize::try_from(file.metadata()?.len().saturating_sub(self.length)).unwrap_or(0);
            let done = self.pending[..done.min(self.pending.len())].iter().rposition(|byte| *byte == b'\n');
            let done = done.map_or(0, |end| end + 1);
            self.length += u64::try_from(done).unwrap_or(0);
            self.pending.drain(..done);
            file.set_len(self.length)?;
        }
        written
    }

    /// Drops the oldest lines that wait, if they are too many.
    fn keep_the_newest(&mut self) {
        let Some(over) = self.pending.len().checked_sub(MOST_WAITING) else { return };
        let end = self.pending[over..].iter().position(|byte| *byte == b'\n');
        self.pending.drain(..end.map_or(self.pending.len(), |end| over + end + 1));
        if let Some(first) = read::parse(&self.pending).next() {
            self.pending_from = first.seq;
        }
    }

    /// Begins the files again that are gone, with the events of the last one, which is still open.
    pub fn write_again(&mut self) {
        let mut before = Vec::new();
        if let Some(mut file) = self.file.take()
            && let Err(error) = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut before))
        {
            tracing::warn!(%error, "reading the journal that was deleted failed");
        }
        let first = read::parse(&before).next();
        if let Some(first) = first {
            self.pending_from = first.seq;
            before.append(&mut self.pending);
            self.pending = before;
        }
        if let Err(error) = fs::create_dir_all(&self.folder) {
            tracing::warn!(%error, "making the folder of the journal failed");
        }
        self.numbers.write_again();
    }

    /// Writes what is left, and gives back the numbers that were not used: another process continues.
    pub fn close(&mut self) {
        self.flush();
        self.numbers.give_back();
    }

    /// Returns whether the supervisor that wrote it before was killed, rather than ended.
    pub fn was_killed(&self) -> bool {
        self.numbers.was_killed()
    }

    /// Returns the number of the next event.
    pub fn next_number(&self) -> u64 {
        self.numbers.peek()
    }

    /// Returns the events that could not be written, oldest first.
    pub fn unwritten(&self) -> Vec<Event> {
        read::parse(&self.pending).collect()
    }

    /// Returns a receiver of the number that follows the last one in the files.
    pub fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    fn go_on_in(&mut self, segment: &Segment) {
        match open(&segment.path) {
            Ok((file, length)) => (self.file, self.length) = (Some(file), length),
            Err(error) => tracing::warn!(%error, "opening the journal failed"),
        }
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = crate::os::open_append(path, 0o644)?;
    let mut length = file.metadata()?.len();
    if length > 0 && !ends_with_newline(&mut file)? {
        // Ends a line that was cut off.
        file.write_all(b"\n")?;
        length += 1;
    }
    Ok((file, length))
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Kind;

    fn entry(message: &str) -> Entry<'_> {
        Entry {
            cause: 0,
            source: "supervisor",
            service: None,
            incarnation: 0,
            what: Kind::Daemon.into(),
            message: message.into(),
            evidence: String::new(),
        }
    }

    fn messages(folder: &Path) -> Vec<String> {
        read::newest(folder, |_| true, 100, 0).into_iter().map(|event| event.message).collect()
    }

    #[test]
    fn numbers_go_on_over_a_restart_and_over_a_cut_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path());
        assert_eq!(journal.add(entry("one")), 1);
        assert_eq!(journal.add(entry("two")), 2);
        journal.flush();
        let path = segments::all(folder.path())[0].path.clone();
        let text = fs::read(&path).expect("there");
        fs::write(&path, &text[..text.len() - 5]).expect("cut");

        let mut journal = Journal::open(folder.path());
        assert!(journal.add(entry("three")) > 2, "two was used, although its line is cut");
        journal.close();
        assert_eq!(messages(folder.path()), ["one", "three"]);
        let next = journal.next_number();
        assert_eq!(Journal::open(folder.path()).next_number(), next, "an end in order leaves no gap");
    }

    #[test]
    fn an_event_that_was_not_written_before_a_kill_leaves_its_number_unused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path());
        journal.add(entry("one"));
        journal.flush();
        let lost = journal.add(entry("answered, and not written"));
        drop(journal);
        let next = Journal::open(folder.path()).add(entry("another"));
        assert!(next > lost, "{next} names one event");
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
        assert!(size < 17 * SIZE, "{size}");
        assert!(size > 14 * SIZE, "{size}");
        let newest = read::newest(folder.path(), |_| true, 1, 0);
        assert_eq!(newest[0].seq, 9_000);
    }

    #[test]
    fn what_can_not_be_written_waits_and_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path);
        fs::remove_dir_all(&path).expect("removed");
        fs::write(&path, "a file is in the way").expect("written");
        let first = journal.add(entry("one"));
        journal.flush();
        assert_eq!(journal.unwritten().len(), 1);
        assert_eq!(*journal.written().borrow(), first, "nobody is told of it yet");
        fs::remove_file(&path).expect("removed");
        journal.add(entry("two"));
        journal.flush();
        assert!(journal.unwritten().is_empty());
        assert_eq!(messages(&path), ["one", "two"]);
    }

    #[test]
    fn a_deleted_folder_is_made_again_with_what_was_in_the_last_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path);
        journal.add(entry("one"));
        journal.flush();
        fs::remove_dir_all(&path).expect("removed");
        journal.add(entry("two"));
        journal.write_again();
        journal.flush();
        assert_eq!(messages(&path), ["one", "two"]);
        let next = journal.next_number();
        assert!(Journal::open(&path).next_number() >= next);
    }
}
