//! When bytes were written: pairs of offset and time beside each log file, so that the log itself stays byte for byte
//! what the service wrote.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::times::Record;
use crate::os::{LogDir, pipe};

/// The size of a record: offset and milliseconds since the epoch, both little-endian.
pub(super) const RECORD: u64 = 16;

/// Reads closer together than this share a record.
const GRAIN: Duration = Duration::from_millis(10);

/// The folder of the indexes, beside the logs.
pub(super) const FOLDER: &str = ".index";

/// Returns the name of a log file's index; compressing the log does not rename the index.
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
    /// Continues the index of a log file with this length, or begins one. Without an index, times are unknown and
    /// nothing else is lost.
    pub(super) fn open(log: &Path, end: u64) -> Self {
        Self::of(log, open(log, end))
    }

    /// Continues with the next file. A failure is logged only if the previous file had an index.
    pub(super) fn reopen(&mut self, log: &Path, end: u64) {
        *self = match open(log, end) {
            Err(_) if self.file.is_none() => Self { file: None, last: None },
            opened => Self::of(log, opened),
        };
    }

    fn of(log: &Path, opened: io::Result<File>) -> Self {
        if let Err(error) = &opened {
            tracing::warn!(log = %log.display(), %error, "opening the index of a log failed: it will have no times");
        }
        Self { file: opened.ok(), last: None }
    }

    /// Records that bytes arrived at this offset.
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
            // The disk is full and half a record may be in the file: it is opened again later, at a record boundary.
            self.file = None;
        }
    }
}

fn open(log: &Path, end: u64) -> io::Result<File> {
    let folder = LogDir::made_for(log)?;
    // The index must not be readable for more users than the log.
    let rights = folder.rights(log);
    let (indexes, name) = (folder.folder(FOLDER, true)?, name_of(log));
    let file = indexes.append(&name, rights)?;
    let length = file.metadata()?.len();
    let whole = length - length % RECORD;
    let mut last = [0; 16];
    if whole > 0 {
        pipe::read_at(&file, &mut last, whole - RECORD)?;
    }
    if Record::of(&last).is_some_and(|last| last.offset > end) {
        // The log was cut or replaced since.
        indexes.remove(&name)?;
        return indexes.append(&name, rights);
    }
    if length != whole {
        // The last record was cut off.
        file.set_len(whole)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::logs::times::Times;

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
        let mut index = Index::open(&log, 60);
        index.note(0, at(1_000));
        index.note(7, at(1_005));
        index.note(9, at(1_010));
        assert_eq!(read(&log), [(0, at(1_000)), (9, at(1_010))], "one record for what comes together");

        let bytes = fs::read(path_of(&log)).expect("there");
        fs::write(path_of(&log), &bytes[..20]).expect("cut");
        Index::open(&log, 60).note(50, at(2_000));
        assert_eq!(read(&log), [(0, at(1_000)), (50, at(2_000))]);

        fs::write(path_of(&log), [0xFF; 48]).expect("rubbish");
        assert_eq!(read(&log), [], "rubbish is no time at all");
    }

    #[test]
    fn what_is_beyond_the_end_of_the_log_is_about_another_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("web.out.log");
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        Index::open(&log, 0).note(40, at(1_000));
        fs::write(&log, [b'x'; 40]).expect("written");
        Index::open(&log, 40).note(40, at(2_000));
        assert_eq!(fs::read(path_of(&log)).expect("there").len(), 32, "it goes on");
        Index::open(&log, 39).note(39, at(3_000));
        assert_eq!(read(&log), [(39, at(3_000))]);
    }
}
