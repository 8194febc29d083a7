//! When what was written: pairs of offset and time beside each log file, so that the log itself stays byte for byte
//! what the service wrote.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::os::{LogDir, pipe};

/// Offset and milliseconds since the epoch, both little-endian.
const RECORD: u64 = 16;

/// Reads that follow each other faster share a record.
const GRAIN: Duration = Duration::from_millis(10);

/// What is read of an index at once.
const BLOCK: usize = 4096;

/// The folder of the indexes, beside the logs.
pub(super) const FOLDER: &str = ".index";

/// What the index of a log file is called; compressing the log does not rename it.
pub(super) fn name_of(log: &Path) -> PathBuf {
    let unzipped = if log.extension().is_some_and(|ending| ending == "gz") { log.file_stem() } else { None };
    unzipped.or(log.file_name()).unwrap_or_default().into()
}

/// The index of the current file of a stream.
pub(super) struct Index {
    file: Option<File>,
    last: Option<SystemTime>,
}

impl Index {
    /// Goes on with the index of a log file, or begins one. Without one, times are unknown and nothing else is lost.
    pub(super) fn open(log: &Path) -> Self {
        let opened = open(log);
        if let Err(error) = &opened {
            tracing::warn!(log = %log.display(), %error, "opening the index of a log failed: it will have no times");
        }
        Self { file: opened.ok(), last: None }
    }

    /// Bytes arrived at this offset.
    pub(super) fn note(&mut self, offset: u64, now: SystemTime) {
        let Some(file) = &mut self.file else { return };
        if self.last.is_some_and(|last| now.duration_since(last).is_ok_and(|since| since < GRAIN)) {
            return;
        }
        self.last = Some(now);
        let millis =
            now.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
        let mut record = [0; 16];
        record[..8].copy_from_slice(&offset.to_le_bytes());
        record[8..].copy_from_slice(&millis.to_le_bytes());
        if file.write_all(&record).is_err() {
            // A full disk: half a record may be in it, so it is opened anew, at a border, when there is room.
            self.file = None;
        }
    }
}

fn open(log: &Path) -> io::Result<File> {
    let folder = LogDir::made_for(log)?;
    // It tells no more people when something was written than the log tells what.
    let rights = folder.rights(log);
    let file = folder.folder(FOLDER, true)?.append(&name_of(log), rights)?;
    let length = file.metadata()?.len();
    if length % RECORD != 0 {
        // Cut off in the middle of a record.
        file.set_len(length - length % RECORD)?;
    }
    Ok(file)
}

/// The index of one log file, read forwards and a block at a time; offsets grow.
#[derive(Debug)]
pub(super) struct Times {
    file: Option<File>,
    /// Bytes of the index that were read.
    read: u64,
    block: VecDeque<(u64, SystemTime)>,
    /// The last record that was passed.
    current: Option<(u64, SystemTime)>,
}

/// What of a log file is not older than a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// From this offset on.
    From(u64),
    /// Nothing.
    Older,
    /// There are no times.
    Unknown,
}

impl Times {
    /// Of this log file.
    pub(super) fn of(log: &Path) -> Self {
        let opened = || LogDir::of(log)?.folder(FOLDER, false)?.read(&name_of(log));
        Self { file: opened().ok(), ..Self::none() }
    }

    /// Nothing is known.
    pub(super) fn none() -> Self {
        Self { file: None, read: 0, block: VecDeque::new(), current: None }
    }

    /// When the byte at this offset was seen, and where the next time begins. Offsets must not go back.
    pub(super) fn at(&mut self, offset: u64) -> (Option<SystemTime>, Option<u64>) {
        loop {
            let next = self.peek();
            match next {
                Some(record) if record.0 <= offset => self.current = self.block.pop_front(),
                _ => return (self.current.map(|(_, time)| time), next.map(|(offset, _)| offset)),
            }
        }
    }

    /// What was seen at this time or later.
    pub(super) fn since(mut self, since: SystemTime) -> Since {
        let mut known = false;
        while let Some((offset, time)) = self.peek() {
            if time >= since {
                return Since::From(offset);
            }
            known = true;
            self.current = self.block.pop_front();
        }
        if known { Since::Older } else { Since::Unknown }
    }

    fn peek(&mut self) -> Option<(u64, SystemTime)> {
        if self.block.is_empty() {
            self.fill();
        }
        self.block.front().copied()
    }

    fn fill(&mut self) {
        let Some(file) = &self.file else { return };
        let mut bytes = [0; BLOCK];
        let Ok(read) = pipe::read_at(file, &mut bytes, self.read) else { return };
        self.take(&bytes[..read]);
    }

    fn take(&mut self, bytes: &[u8]) {
        for record in bytes.chunks_exact(16) {
            self.read += RECORD;
            let number =
                |half: &[u8]| u64::from_le_bytes(half.try_into().expect("half a record has eight bytes"));
            let offset = number(&record[..8]);
            let Some(time) = UNIX_EPOCH.checked_add(Duration::from_millis(number(&record[8..]))) else {
                continue;
            };
            if self.block.back().or(self.current.as_ref()).is_none_or(|(last, _)| *last <= offset) {
                self.block.push_back((offset, time));
            }
        }
    }
}

/// Bytes that may be an index.
pub(super) fn hostile(bytes: &[u8]) {
    let times = || {
        let mut times = Times::none();
        times.take(bytes);
        times
    };
    let mut read = times();
    let mut last = 0;
    for offset in [0, 1, 100, u64::MAX / 2, u64::MAX] {
        let (_, next) = read.at(offset);
        assert!(next.is_none_or(|next| next > offset), "time goes on");
        last = next.unwrap_or(last).max(last);
    }
    times().since(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn path_of(log: &Path) -> PathBuf {
        log.with_file_name(FOLDER).join(name_of(log))
    }

    fn read(log: &Path) -> Vec<(u64, SystemTime)> {
        let end = fs::metadata(log).map_or(0, |meta| meta.len());
        let mut times = Times::of(log);
        let mut records = Vec::new();
        for offset in 0..=end {
            let at = times.at(offset).0.map(|time| (offset, time));
            if let Some((offset, time)) = at
                && records.last().is_none_or(|(_, last)| *last != time)
            {
                records.push((offset, time));
            }
        }
        records
    }

    #[test]
    fn what_is_noted_is_read_and_half_a_record_is_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("web.out.log");
        fs::write(&log, [b'x'; 60]).expect("written");
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        let mut index = Index::open(&log);
        index.note(0, at(1_000));
        index.note(7, at(1_005));
        index.note(9, at(1_010));
        assert_eq!(read(&log), [(0, at(1_000)), (9, at(1_010))], "one record for what comes together");

        let bytes = fs::read(path_of(&log)).expect("there");
        fs::write(path_of(&log), &bytes[..20]).expect("cut");
        Index::open(&log).note(50, at(2_000));
        assert_eq!(read(&log), [(0, at(1_000)), (50, at(2_000))]);

        fs::write(path_of(&log), [0xFF; 48]).expect("rubbish");
        assert_eq!(read(&log), [], "rubbish is no time at all");
    }

    #[test]
    fn a_long_index_is_read_a_block_at_a_time_and_as_it_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("web.out.log");
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let mut index = Index::open(&log);
        for record in 0..1000 {
            index.note(record * 10, at(record));
        }
        let mut times = Times::of(&log);
        assert_eq!(times.at(7_005), (Some(at(700)), Some(7_010)));
        assert_eq!(times.at(99_999), (Some(at(999)), None));
        assert_eq!(Times::of(&log).since(at(500)), Since::From(5_000));
        assert_eq!(Times::of(&log).since(at(5_000)), Since::Older);
        assert_eq!(Times::of(&folder.path().join("other.log")).since(at(1)), Since::Unknown);
        index.note(100_000, at(2_000));
        assert_eq!(times.at(100_001), (Some(at(2_000)), None));
    }
}
