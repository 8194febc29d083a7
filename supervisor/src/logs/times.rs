//! When bytes were written, read back from an index. The index is searched, never read as a whole: the service's user
//! may make it as long as they like, where they own the folder.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::index::{self, RECORD};
use crate::os::{LogDir, pipe};

/// How many records are read at once.
const BLOCK: u64 = 256;

/// The index of a log file. Its offsets and times must grow; if they do not, the results are wrong but found equally
/// fast.
#[derive(Debug)]
pub(super) struct Times {
    file: Option<File>,
    block: Vec<u8>,
    /// The number of the first record in the block.
    first: u64,
    /// The number of records at or before the offset that was last asked for.
    passed: u64,
}

/// Which part of a log file is not older than a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// The bytes from this offset on.
    From(u64),
    /// No byte of it.
    Older,
    /// Unknown, as there are no times.
    Unknown,
}

/// A record: bytes from this offset on were seen at this time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) offset: u64,
    millis: u64,
}

impl Record {
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let (halves, _) = bytes.as_chunks::<8>();
        let [offset, millis] = halves else { return None };
        Some(Self { offset: u64::from_le_bytes(*offset), millis: u64::from_le_bytes(*millis) })
    }

    fn time(self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.millis))
    }
}

impl Times {
    /// Opens the index of a log file.
    pub(super) fn of(log: &Path) -> Self {
        let opened = || LogDir::of(log)?.folder(index::FOLDER, false)?.read(&index::name_of(log));
        Self { file: opened().ok(), ..Self::none() }
    }

    /// Returns an index without times.
    pub(super) fn none() -> Self {
        Self { file: None, block: Vec::new(), first: 0, passed: 0 }
    }

    /// Returns when the byte at this offset was seen, and where the next time begins. Offsets must not decrease from
    /// call to call.
    pub(super) fn at(&mut self, offset: u64) -> (Option<SystemTime>, Option<u64>) {
        self.passed = self.find(self.passed, |record| record.offset > offset);
        let last = self.passed.checked_sub(1).and_then(|last| self.record(last));
        let next = self.record(self.passed).map(|next| next.offset);
        (last.and_then(Record::time), next.filter(|next| *next > offset))
    }

    /// Returns what was seen at this time or later.
    pub(super) fn since(mut self, since: SystemTime) -> Since {
        let number = self.find(0, |record| record.time().is_none_or(|time| time >= since));
        match self.record(number) {
            Some(record) => Since::From(record.offset),
            None if number > 0 => Since::Older,
            None => Since::Unknown,
        }
    }

    /// Returns the number of the first record from `from` on for which `is_so` holds, if it holds for all records after
    /// it. Looks at the next few records, then farther and farther ahead, then halves the range: at most 128 records,
    /// however long the index.
    fn find(&mut self, from: u64, is_so: impl Fn(Record) -> bool) -> u64 {
        let mut high = self.count();
        let mut low = from.min(high);
        let mut step = 1u64;
        let mut ahead = true;
        while low < high {
            let probe =
                if ahead { low.saturating_add(step - 1).min(high - 1) } else { low + (high - low) / 2 };
            step = step.saturating_mul(2);
            if self.record(probe).is_none_or(&is_so) {
                (high, ahead) = (probe, false);
            } else {
                low = probe + 1;
            }
        }
        low
    }

    fn count(&self) -> u64 {
        let of_block = u64::try_from(self.block.len()).unwrap_or(0);
        self.file.as_ref().map_or(of_block, |file| file.metadata().map_or(0, |meta| meta.len())) / RECORD
    }

    fn record(&mut self, number: u64) -> Option<Record> {
        self.of_block(number).or_else(|| {
            let file = self.file.as_ref()?;
            self.first = number - number % BLOCK;
            self.block.resize(usize::try_from(BLOCK * RECORD).ok()?, 0);
            let read = pipe::read_at(file, &mut self.block, self.first.checked_mul(RECORD)?).unwrap_or(0);
            self.block.truncate(read);
            self.of_block(number)
        })
    }

    fn of_block(&self, number: u64) -> Option<Record> {
        let at = usize::try_from(number.checked_sub(self.first)?.checked_mul(RECORD)?).ok()?;
        Record::of(self.block.get(at..at.checked_add(usize::try_from(RECORD).ok()?)?)?)
    }
}

/// Parses bytes that may be an index.
pub(super) fn fuzz(bytes: &[u8]) {
    let times = || Times { block: bytes.to_vec(), ..Times::none() };
    let mut read = times();
    for offset in [0, 1, 100, u64::MAX / 2, u64::MAX] {
        let (_, next) = read.at(offset);
        assert!(next.is_none_or(|next| next > offset), "time goes on");
    }
    times().since(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::logs::index::Index;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Makes a log with one record per second, ten bytes each, and its index.
    fn indexed(folder: &Path, records: u64) -> (std::path::PathBuf, Index) {
        let log = folder.join("web.out.log");
        let mut index = Index::open(&log, 0);
        for record in 0..records {
            index.note(record * 10, at(record));
        }
        (log, index)
    }

    #[test]
    fn a_long_index_is_searched_also_as_it_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, mut index) = indexed(folder.path(), 1000);
        let mut times = Times::of(&log);
        assert_eq!(times.at(7_005), (Some(at(700)), Some(7_010)));
        assert_eq!(times.at(99_999), (Some(at(999)), None));
        assert_eq!(Times::of(&log).since(at(500)), Since::From(5_000));
        assert_eq!(Times::of(&log).since(at(5_000)), Since::Older);
        assert_eq!(Times::of(&folder.path().join("other.log")).since(at(1)), Since::Unknown);
        index.note(100_000, at(2_000));
        assert_eq!(times.at(100_001), (Some(at(2_000)), None));
        let mut times = Times::of(&log);
        for offset in 0..10_000 {
            let next = (offset < 9_990).then_some(offset - offset % 10 + 10).or(Some(100_000));
            assert_eq!(times.at(offset), (Some(at(offset / 10)), next), "{offset}");
        }
    }

    #[test]
    fn an_index_of_4_tib_of_nothing_is_searched_as_fast() {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, _) = indexed(folder.path(), 3);
        let index = fs::OpenOptions::new().write(true).open(folder.path().join(".index/web.out.log"));
        index.and_then(|index| index.set_len(4 << 40)).expect("a sparse file");
        // Reading it as a whole would take hours.
        assert_eq!(Times::of(&log).since(at(1_000)), Since::Older);
        assert_eq!(Times::of(&log).at(99).1, None);
        assert_eq!(Times::of(&log).at(u64::MAX).1, None);
    }
}
