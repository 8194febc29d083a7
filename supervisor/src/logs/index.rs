//! When what was written: pairs of offset and time beside each log file, so that the log itself stays byte for byte
//! what the service wrote.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Offset and milliseconds since the epoch, both little-endian.
const RECORD: u64 = 16;

/// Reads that follow each other faster share a record.
const GRAIN: Duration = Duration::from_millis(10);

/// Where the index of a log file is.
pub(super) fn path_of(log: &Path) -> PathBuf {
    let folder = log.parent().unwrap_or_else(|| Path::new(".")).join(".index");
    folder.join(log.file_name().unwrap_or_default())
}

/// The index of the current file of a stream.
pub(super) struct Index {
    file: Option<File>,
    last: Option<SystemTime>,
}

impl Index {
    /// Goes on with the index of a log file, or begins one. Without one, times are unknown and nothing else is lost.
    pub(super) fn open(log: &Path) -> Self {
        Self { file: open(&path_of(log)).ok(), last: None }
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

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    if length % RECORD != 0 {
        // Cut off in the middle of a record.
        file.set_len(length - length % RECORD)?;
    }
    Ok(file)
}

/// The whole index of a log file, as far as it can be read: offsets grow.
pub(super) fn read(log: &Path) -> Vec<(u64, SystemTime)> {
    let bytes = fs::read(path_of(log)).unwrap_or_default();
    let end = fs::metadata(log).map_or(0, |meta| meta.len());
    let mut records: Vec<(u64, SystemTime)> = Vec::with_capacity(bytes.len() / 16);
    for record in bytes.chunks_exact(16) {
        let number =
            |half: &[u8]| u64::from_le_bytes(half.try_into().expect("half a record has eight bytes"));
        let offset = number(&record[..8]);
        let Some(time) = UNIX_EPOCH.checked_add(Duration::from_millis(number(&record[8..]))) else {
            continue;
        };
        if offset <= end && records.last().is_none_or(|(last, _)| *last <= offset) {
            records.push((offset, time));
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
