//! Readers of the journal's files. They need no supervisor, and see an event only once it is written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Event;
use super::segments::{self, Segment};
use crate::os::pipe::is_removed;

/// How many bytes are read at once.
const BLOCK: u64 = 128 * 1024;

/// Returns the events in some bytes; what cannot be read is passed over.
pub(super) fn parse(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Event> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.filter_map(|line| serde_json::from_slice::<Event>(line).ok())
}

/// Parses bytes that may be a journal.
pub(crate) fn fuzz(bytes: &[u8]) {
    for event in parse(bytes) {
        let _ = event.when();
    }
}

/// Returns the last number in the files; 0 if there is none.
pub fn last_number(folder: &Path) -> u64 {
    Backwards::new(folder, u64::MAX, b"").find_map(|block| block.back().map(|event| event.seq)).unwrap_or(0)
}

/// Returns the newest events that fulfil a condition, oldest first; only those before a number, if it is not 0.
pub fn newest(folder: &Path, wanted: impl Fn(&Event) -> bool, limit: usize, before: u64) -> Vec<Event> {
    let before = if before == 0 { u64::MAX } else { before };
    let events = Backwards::new(folder, before, b"").flat_map(|block| block.into_iter().rev());
    let mut found: Vec<Event> = events.filter(wanted).take(limit).collect();
    found.reverse();
    found
}

/// Returns the event of a number, if it is still kept.
pub(super) fn find(folder: &Path, seq: u64) -> Option<Event> {
    let files = segments::all(folder);
    let file = files.iter().rev().find(|segment| segment.first <= seq)?;
    let bytes = std::fs::read(&file.path).ok()?;
    let line = format!("{{\"seq\":{seq},");
    let at = memchr::memmem::find(&bytes, line.as_bytes())?;
    let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length);
    parse(&bytes[at..end]).next()
}

/// Reads the events before a number, in blocks, the newest block first; within a block the oldest event is first. Only
/// lines that contain `needle` are parsed.
pub(super) struct Backwards<'a> {
    files: Vec<Segment>,
    /// The open file, and the offset down to which it was read.
    open: Option<(File, u64)>,
    /// The beginning of a line whose rest was read before.
    rest: Vec<u8>,
    before: u64,
    needle: &'a [u8],
}

impl<'a> Backwards<'a> {
    pub(super) fn new(folder: &Path, before: u64, needle: &'a [u8]) -> Self {
        let mut files = segments::all(folder);
        files.retain(|segment| segment.first < before);
        Self { files, open: None, rest: Vec::new(), before, needle }
    }

    fn block(&mut self) -> io::Result<Option<VecDeque<Event>>> {
        if self.open.is_none() {
            let Some(segment) = self.files.pop() else { return Ok(None) };
            let mut file = File::open(segment.path)?;
            let end = file.seek(SeekFrom::End(0))?;
            self.rest.clear();
            self.open = Some((file, end));
        }
        let Some((file, end)) = &mut self.open else { return Ok(None) };
        let begin = end.saturating_sub(BLOCK);
        let mut bytes = vec![0; usize::try_from(*end - begin).unwrap_or(0)];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut bytes)?;
        *end = begin;
        bytes.append(&mut self.rest);
        if begin == 0 {
            self.open = None;
        } else {
            // The first line is whole only together with the block before.
            let whole = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            let lines = bytes.split_off(whole);
            self.rest = std::mem::replace(&mut bytes, lines);
        }
        Ok(Some(self.events(&bytes)))
    }

    fn events(&self, bytes: &[u8]) -> VecDeque<Event> {
        let before = |event: &Event| event.seq < self.before;
        if self.needle.is_empty() {
            return parse(bytes).filter(before).collect();
        }
        let mut found = VecDeque::new();
        let mut from = 0;
        while let Some(at) = memchr::memmem::find(&bytes[from..], self.needle) {
            let at = from + at;
            let begin = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |newline| newline + 1);
            let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length);
            found.extend(parse(&bytes[begin..end]).filter(before));
            from = end;
        }
        found
    }
}

impl Iterator for Backwards<'_> {
    type Item = VecDeque<Event>;

    fn next(&mut self) -> Option<VecDeque<Event>> {
        loop {
            match self.block() {
                Ok(block) => return block,
                Err(error) => {
                    // A file that was removed meanwhile is the oldest; any other must not hide those before it.
                    tracing::debug!(%error, "reading a file of the journal failed");
                    self.open = None;
                }
            }
        }
    }
}

/// What a follower gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The next event.
    Event(Box<Event>),
    /// Events before this number are not kept any more; some that were to come are among them.
    Gap(u64),
}

/// Reads every event from a number on, in order, each once, over the ends of files.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    /// Events with smaller numbers were read, or are not wanted.
    next: u64,
    open: Option<Place>,
}

#[derive(Debug)]
struct Place {
    first: u64,
    file: File,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
}

impl Follower {
    /// Begins at a number, which may be one that is still to come.
    pub fn new(folder: &Path, from: u64) -> Self {
        Self { folder: folder.into(), next: from, open: None }
    }

    /// Returns what follows; nothing if that is still to be written.
    pub fn read(&mut self) -> io::Result<Vec<Next>> {
        let mut found = Vec::new();
        loop {
            if self.open.is_none() && !self.begin(&mut found)? {
                return Ok(found);
            }
            // Looked for before the last read: a file is complete once there is a newer one.
            let newer = self.newer();
            let bytes = self.bytes()?;
            let events = parse(&bytes).filter(|event| event.seq >= self.next);
            found.extend(events.map(|event| Next::Event(Box::new(event))));
            if let Some(Next::Event(last)) = found.last() {
                self.next = last.seq + 1;
            }
            if !found.is_empty() {
                return Ok(found);
            }
            if !bytes.is_empty() {
                continue;
            }
            if self.open.as_ref().is_some_and(|place| is_removed(&place.file)) {
                // The next file is the one that goes on from here; if that is gone as well, there is a gap.
                self.open = None;
            } else if let Some(newer) = newer {
                self.enter(&newer)?;
            } else {
                return Ok(found);
            }
        }
    }

    /// Opens the file that holds the first wanted event. Returns whether there is any file.
    fn begin(&mut self, found: &mut Vec<Next>) -> io::Result<bool> {
        let files = segments::all(&self.folder);
        let Some(oldest) = files.first() else { return Ok(false) };
        let holds = files.iter().rev().find(|segment| segment.first <= self.next);
        if holds.is_none() && self.next > 0 {
            found.push(Next::Gap(oldest.first));
        }
        self.enter(holds.unwrap_or(oldest))?;
        Ok(true)
    }

    fn enter(&mut self, segment: &Segment) -> io::Result<()> {
        let file = File::open(&segment.path)?;
        self.open = Some(Place { first: segment.first, file, rest: Vec::new() });
        Ok(())
    }

    /// Returns the file after the open one.
    fn newer(&self) -> Option<Segment> {
        let here = self.open.as_ref()?.first;
        segments::all(&self.folder).into_iter().find(|segment| segment.first > here)
    }

    /// Returns the next whole lines of the open file.
    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let Some(place) = &mut self.open else { return Ok(Vec::new()) };
        let mut bytes = std::mem::take(&mut place.rest);
        loop {
            let read = (&mut place.file).take(BLOCK).read_to_end(&mut bytes)?;
            match memchr::memrchr(b'\n', &bytes) {
                Some(end) => {
                    place.rest = bytes.split_off(end + 1);
                    return Ok(bytes);
                }
                None if read == 0 => {
                    place.rest = bytes;
                    return Ok(Vec::new());
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::journal::{Entry, Journal, Kind};

    fn add(journal: &mut Journal, message: &str) -> u64 {
        journal.add(Entry {
            cause: 0,
            source: "supervisor",
            service: None,
            incarnation: 0,
            what: Kind::Daemon.into(),
            message: message.into(),
            evidence: "x".repeat(200),
        })
    }

    /// Returns everything that a follower gets now, and checks that it comes in order.
    fn all(follower: &mut Follower) -> Vec<u64> {
        let mut numbers = Vec::new();
        loop {
            let read = follower.read().expect("it can be read");
            if read.is_empty() {
                assert!(numbers.is_sorted_by(|one, other| one < other), "in order, each once");
                return numbers;
            }
            numbers.extend(read.iter().map(|next| match next {
                Next::Event(event) => event.seq,
                Next::Gap(oldest) => panic!("a gap before {oldest}"),
            }));
        }
    }

    #[test]
    fn a_follower_gets_every_event_once_over_files_and_supervisors() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut follower = Follower::new(folder.path(), 1);
        assert_eq!(all(&mut follower), [0; 0], "there is no file yet");
        let (mut written, mut seen) = (Vec::new(), Vec::new());
        for round in 0..20 {
            let mut journal = Journal::open(folder.path());
            for number in 0..700 {
                written.push(add(&mut journal, "flood"));
                if number % 3 == 0 {
                    journal.flush();
                }
                if number % 97 == round {
                    seen.extend(all(&mut follower));
                }
            }
            journal.flush();
        }
        seen.extend(all(&mut follower));
        assert_eq!(seen, written);
        assert!(segments::all(folder.path()).len() > 2, "it went over several files");
        let middle = written[5_000];
        assert_eq!(all(&mut Follower::new(folder.path(), middle)), written[5_000..], "from any number on");
        assert_eq!(find(folder.path(), middle).map(|event| event.seq), Some(middle));
    }

    #[test]
    fn a_follower_that_asks_for_what_is_not_kept_any_more_is_told_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path());
        let mut slow = Follower::new(folder.path(), 1);
        add(&mut journal, "first");
        journal.flush();
        assert_eq!(slow.read().expect("readable").len(), 1);
        for _ in 0..80_000 {
            add(&mut journal, "flood");
            journal.flush();
        }
        let oldest = segments::all(folder.path())[0].first;
        assert!(oldest > 2, "some of it was removed");
        let mut late = Follower::new(folder.path(), 2);
        assert_eq!(late.read().expect("readable")[0], Next::Gap(oldest));
        let rest = std::iter::from_fn(|| slow.read().ok().filter(|read| !read.is_empty())).flatten();
        let gaps: Vec<Next> = rest.filter(|next| matches!(next, Next::Gap(_))).collect();
        assert_eq!(gaps, [Next::Gap(oldest)], "it reads the file that it has open to its end first");
        assert_eq!(slow.next, journal.next_number());
    }

    #[test]
    fn a_line_that_is_being_written_is_read_once_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path());
        let number = add(&mut journal, "whole");
        journal.flush();
        let path = segments::all(folder.path())[0].path.clone();
        let bytes = fs::read(&path).expect("readable");
        fs::write(&path, &bytes[..40]).expect("written");
        let mut follower = Follower::new(folder.path(), 1);
        assert_eq!(all(&mut follower), [0; 0]);
        fs::write(&path, &bytes).expect("written");
        assert_eq!(all(&mut follower), [number]);
    }

    #[test]
    fn a_follower_goes_on_in_a_journal_that_was_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path);
        let mut follower = Follower::new(&path, 1);
        let first = add(&mut journal, "one");
        journal.flush();
        assert_eq!(all(&mut follower), [first]);
        fs::remove_dir_all(&path).expect("removed");
        assert_eq!(all(&mut follower), [0; 0]);
        journal.write_again();
        let second = add(&mut journal, "two");
        journal.flush();
        assert_eq!(all(&mut follower), [second]);
    }

    #[test]
    fn the_newest_are_found_from_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path());
        let numbers: Vec<u64> = (0..9_000).map(|_| add(&mut journal, "flood")).collect();
        journal.flush();
        let of = |events: Vec<Event>| events.iter().map(|event| event.seq).collect::<Vec<_>>();
        assert_eq!(of(newest(folder.path(), |_| true, 3, 0)), numbers[8_997..]);
        assert_eq!(of(newest(folder.path(), |_| true, 2, numbers[4_000])), numbers[3_998..4_000]);
        assert_eq!(of(newest(folder.path(), |_| true, usize::MAX, 0)), numbers);
        assert_eq!(last_number(folder.path()), numbers[8_999]);
    }
}
