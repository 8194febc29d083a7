//! The write-ahead log: a record before each spawn and another after it, and a record for each request of a person
//! before it is carried out and answered. If the supervisor is killed in between, no process is unknown, no number is
//! used twice, and no answered request is forgotten.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use super::replay::{Records, line, replay};
use crate::lifecycle::BootInstant;
use crate::lifecycle::saved::SavedEnd;
use crate::os::{self, Identity};

pub(crate) use super::replay::fuzz;
pub use super::replay::{Intended, Paused, Replay};

/// The first line of a log that is written in place.
pub(super) const HEADER: &str = "sereno-wal 2\n";

/// This many bytes of the file have disk blocks before they are needed, so that a start on a full disk needs none. A
/// start writes about 80 bytes, so this is some 3,000 starts without a checkpoint.
const ALLOCATED: u64 = 256 * 1024;

/// Above this size the log is cut even while events keep coming.
const LARGE: u64 = ALLOCATED / 2;

/// The open log. Records are written one after the other from the header on; a checkpoint moves the position back to
/// the header and does not shorten the file, so that its blocks stay allocated.
#[derive(Debug)]
pub struct Wal {
    file: File,
    /// The offset of the next record.
    position: u64,
    /// The length up to which the file has its disk blocks.
    allocated: u64,
    seq: u64,
    /// The last number before `down`, while that is under way.
    before_down: Option<u64>,
    /// Whether the last record could not be written.
    failing: bool,
}

impl Wal {
    /// Reads the records after `seq`, and opens the log for more.
    pub fn open(path: &Path, seq: u64) -> io::Result<(Self, Replay)> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let records = Records::read(&bytes);
        let replay = replay(&records, seq);
        let file = os::open_in_place(path, 0o600)?;
        let mut wal = Self {
            file,
            position: records.end,
            allocated: 0,
            seq: replay.seq,
            before_down: None,
            failing: false,
        };
        if !records.in_place {
            wal.convert(&records, seq)?;
        } else if records.all.iter().all(|(number, _)| *number <= seq) {
            wal.position = header_length();
        }
        wal.allocate(u64::try_from(bytes.len()).unwrap_or(0));
        Ok((wal, replay))
    }

    /// Reads the records after `seq` and changes nothing.
    pub fn peek(path: &Path, seq: u64) -> Replay {
        let bytes = std::fs::read(path).unwrap_or_default();
        replay(&Records::read(&bytes), seq)
    }

    /// Begins a new file, or converts a file of an earlier version: records that the checkpoint does not include are
    /// written again in the current form.
    fn convert(&mut self, records: &Records<'_>, after: u64) -> io::Result<()> {
        let newer = records.all.iter().filter(|(number, _)| *number > after);
        let text: String = newer.map(|(number, record)| line(*number, record)).collect();
        let text = format!("{HEADER}{text}");
        self.file.seek(SeekFrom::Start(0))?;
        match self.file.write_all(text.as_bytes()) {
            // It gets its blocks once the disk has space.
            Err(error) if os::is_shortage(&error) && records.all.is_empty() => {}
            written => written?,
        }
        self.position = u64::try_from(text.len()).unwrap_or(0);
        Ok(())
    }

    /// Fills the rest of the file with zeros: it has its blocks then, and no record of an earlier supervisor is read
    /// after the records of this one. On a full disk this is tried again at each checkpoint.
    fn allocate(&mut self, length: u64) {
        let end = length.max(ALLOCATED);
        let zeros = vec![0; usize::try_from(end.saturating_sub(self.position)).unwrap_or(0)];
        let written =
            self.file.seek(SeekFrom::Start(self.position)).and_then(|_| self.file.write_all(&zeros));
        match written {
            Ok(()) => self.allocated = end,
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be allocated"),
        }
    }

    /// Returns the last number that a checkpoint may include: a `down` that is under way stays in the log.
    pub fn seq(&self) -> u64 {
        self.before_down.unwrap_or(self.seq)
    }

    /// Returns the last number used.
    pub fn last(&self) -> u64 {
        self.seq
    }

    /// Records that a process of this incarnation is about to be started.
    pub fn intend(&mut self, service: &str, incarnation: u64) -> io::Result<()> {
        self.append(format_args!("start {service} {incarnation}"))
    }

    /// Records an incarnation reserved for a run beside the current run, which stays the current run until it is
    /// replaced.
    pub fn beside(&mut self, service: &str, incarnation: u64) -> io::Result<()> {
        self.append(format_args!("beside {service} {incarnation}"))
    }

    /// Records that the process was started.
    pub fn started(&mut self, service: &str, incarnation: u64, identity: Identity) -> io::Result<()> {
        self.append(format_args!("pid {service} {incarnation} {} {}", identity.pid, identity.start))
    }

    /// Records that the current run became ready. Readiness that is notified once would otherwise be lost with the
    /// supervisor.
    pub fn ready(&mut self, service: &str, incarnation: u64, at: Duration) -> io::Result<()> {
        self.append(format_args!("ready {service} {incarnation} {}", at.as_millis()))
    }

    /// Records whether a service is wanted, so that an answered request is not forgotten.
    pub fn wanted(&mut self, service: &str, up: bool) -> io::Result<()> {
        self.append(format_args!("want {service} {}", if up { "up" } else { "down" }))
    }

    /// Records that a person started it, also if it was wanted before and had failed or completed.
    pub fn start(&mut self, service: &str) -> io::Result<()> {
        self.append(format_args!("begin {service}"))
    }

    /// Records that this run is about to be told to end, for this reason, and that another run follows.
    pub fn ending(&mut self, service: &str, incarnation: u64, why: SavedEnd) -> io::Result<()> {
        self.append(format_args!("end {service} {incarnation} {}", why.word()))
    }

    /// Records that this run is not told to end after all.
    pub fn stays(&mut self, service: &str, incarnation: u64) -> io::Result<()> {
        self.append(format_args!("stays {service} {incarnation}"))
    }

    /// Records that a new run will replace this run once it is ready.
    pub fn reload(&mut self, service: &str, incarnation: u64) -> io::Result<()> {
        self.append(format_args!("reload {service} {incarnation}"))
    }

    /// Records that a person cleared its counts.
    pub fn reset(&mut self, service: &str) -> io::Result<()> {
        self.append(format_args!("reset {service}"))
    }

    /// Records that a person paused it, until a time or without an end.
    pub fn pause(&mut self, service: &str, until: Option<BootInstant>) -> io::Result<()> {
        match until {
            Some(until) => self.append(format_args!("pause {service} {}", until.elapsed().as_millis())),
            None => self.append(format_args!("pause {service} -")),
        }
    }

    /// Records that a person resumed it.
    pub fn resume(&mut self, service: &str) -> io::Result<()> {
        self.append(format_args!("resume {service}"))
    }

    /// Records that all services will be stopped, and then the supervisor.
    pub fn down(&mut self) -> io::Result<()> {
        self.before_down.get_or_insert(self.seq);
        self.append(format_args!("down"))
    }

    /// Ends the `down`: all services are stopped, and the next checkpoint includes everything.
    pub fn is_down(&mut self) {
        self.before_down = None;
    }

    /// Records that a person starts the services again: an interrupted `down` is not finished.
    pub fn up(&mut self) -> io::Result<()> {
        self.append(format_args!("up"))
    }

    /// Returns whether a checkpoint is due because of the log's size.
    pub fn is_large(&self) -> bool {
        self.position > LARGE
    }

    /// Marks everything up to `seq` as included in a checkpoint: older records are overwritten from now on.
    pub fn checkpointed(&mut self, seq: u64) -> io::Result<()> {
        if seq == self.seq && self.position > header_length() {
            self.position = header_length();
            // An invalid line: nothing after it is read.
            self.write(b"\0")?;
        }
        if self.allocated < ALLOCATED {
            self.allocate(self.allocated);
        }
        Ok(())
    }

    fn append(&mut self, record: std::fmt::Arguments<'_>) -> io::Result<()> {
        let line = line(self.seq + 1, &record.to_string());
        if self.allocated == 0 && self.position == header_length() {
            // The disk was full when the log was opened: the header may not be there yet.
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(HEADER.as_bytes())?;
        }
        if let Err(error) = self.write(line.as_bytes()) {
            // Reported once: on a full disk it fails again and again.
            if !std::mem::replace(&mut self.failing, true) {
                tracing::error!(%error, "writing the write-ahead log failed");
            }
            return Err(error);
        }
        self.failing = false;
        self.seq += 1;
        self.position += u64::try_from(line.len()).unwrap_or(0);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.position))?;
        self.file.write_all(bytes)
    }
}

fn header_length() -> u64 {
    u64::try_from(HEADER.len()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn an_intent_without_a_pid_is_remembered_and_a_checkpoint_empties_the_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wal");
        let (mut wal, replay) = Wal::open(&path, 0).expect("opened");
        assert_eq!(replay, Replay::default());
        let identity = Identity { pid: 12, start: 34 };
        wal.intend("web", 1).expect("written");
        wal.started("web", 1, identity).expect("written");
        wal.intend("api", 7).expect("written");
        drop(wal);

        let (mut wal, replay) = Wal::open(&path, 0).expect("opened");
        let run = |incarnation, identity, intent| Intended { incarnation, identity, ready: None, intent };
        assert_eq!(replay.runs["web"], run(1, Some(identity), 2));
        assert_eq!(replay.runs["api"], run(7, None, 3));
        let (_, later) = Wal::open(&path, 2).expect("opened");
        assert_eq!(later.runs.len(), 1, "what the checkpoint holds is not replayed");

        wal.checkpointed(2).expect("kept");
        assert!(path.metadata().expect("there").len() > 0, "not all of it is in the checkpoint");
        wal.checkpointed(wal.seq()).expect("cut");
        wal.down().expect("written");
        let (_, replay) = Wal::open(&path, 3).expect("opened");
        assert_eq!((replay.down, replay.seq, replay.runs.len()), (true, 4, 0));
    }

    #[test]
    fn a_down_outlives_checkpoints_until_it_is_done_or_called_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wal");
        let (mut wal, _) = Wal::open(&path, 0).expect("opened");
        wal.intend("web", 1).expect("written");
        wal.down().expect("written");
        let seq = wal.seq();
        wal.checkpointed(seq).expect("kept");
        assert!(Wal::open(&path, seq).expect("opened").1.down, "killed now, it is to be finished");
        let (mut next, _) = Wal::open(&path, seq).expect("opened");
        next.up().expect("written");
        assert!(!Wal::open(&path, seq).expect("opened").1.down, "a person has changed their mind");
        wal.is_down();
        wal.checkpointed(wal.seq()).expect("cut");
        assert_eq!(Wal::open(&path, 0).expect("opened").1, Replay::default(), "nothing is left of it");
    }

    #[test]
    fn its_blocks_are_allocated_before_they_are_needed_and_stay_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wal");
        let length = || path.metadata().expect("there").len();
        let (mut wal, _) = Wal::open(&path, 0).expect("opened");
        assert_eq!(length(), ALLOCATED);
        for incarnation in 1..9 {
            wal.intend("web", incarnation).expect("written");
            wal.checkpointed(wal.seq()).expect("cut");
            assert_eq!(length(), ALLOCATED, "a checkpoint gives no block back");
        }
        for incarnation in 9..6_000 {
            wal.intend("a-service-with-a-long-name", incarnation).expect("written");
        }
        assert!(length() > ALLOCATED && wal.is_large(), "it grows where it must");
        assert_eq!(Wal::open(&path, 8).expect("opened").1.runs.len(), 1);
    }

    #[test]
    fn what_was_written_before_the_last_checkpoint_is_never_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wal");
        let (mut wal, _) = Wal::open(&path, 0).expect("opened");
        for service in ["a", "b", "c"] {
            wal.wanted(service, false).expect("written");
        }
        wal.checkpointed(wal.seq()).expect("cut");
        wal.wanted("z", true).expect("written");
        // Also if the state is lost: the checkpoint had the rest.
        let (mut wal, replay) = Wal::open(&path, 0).expect("opened");
        assert_eq!(replay.wants, BTreeMap::from([("z".to_string(), true)]));
        wal.wanted("y", true).expect("written");
        let (_, replay) = Wal::open(&path, 0).expect("opened");
        assert_eq!((replay.wants.len(), replay.seq), (2, 5));
    }

    #[test]
    fn the_form_of_version_0_1_0_is_read_and_written_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wal");
        std::fs::write(&path, "4 want old down\n5 start web 2\n6 pid web 2 12 34\n7 want api do")
            .expect("written");
        let (mut wal, before) = Wal::open(&path, 4).expect("opened");
        assert_eq!(before.runs["web"].identity, Some(Identity { pid: 12, start: 34 }));
        wal.wanted("api", true).expect("written");
        let (_, after) = Wal::open(&path, 4).expect("opened");
        assert_eq!((after.runs, after.wants.get("old")), (before.runs, None));
        assert_eq!(after.wants.get("api"), Some(&true));
    }
}
