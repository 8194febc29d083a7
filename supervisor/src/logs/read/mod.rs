//! Reads stored logs back: the last lines of a stream, and new output from then on, across rotations.
//!
//! | file | what it knows |
//! |---|---|
//! | `part` | a file of a stream, plain or compressed, with its times |
//! | `find` | which files exist, and where to begin |
//!
//! One file is open at a time, and at most a chunk of it is in memory.

#[cfg(test)]
mod bounds;
mod find;
mod part;

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::RotationPolicy;
use part::Part;

/// Some bytes of a stream, and when the first of them was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes as they were written.
    pub data: Vec<u8>,
    /// When they were seen; `None` where the index does not tell.
    pub time: Option<SystemTime>,
    /// Where the chunk ends: a reader can continue from here, also after a rotation or with another supervisor.
    pub end: Place,
}

/// A place in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of the file: neither a rotation nor compressing changes it.
    pub file: u64,
    /// The offset in bytes from its beginning.
    pub offset: u64,
}

/// How much of a stream is read: what it is configured to hold, whatever another program has put into its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of a file, after decompression.
    pub file: u64,
    /// The most bytes of all files: those searched for the beginning, and those shown of the past.
    pub all: u64,
}

impl Limits {
    /// No limits: for folders in which only Sereno can write.
    pub const NONE: Self = Self { file: u64::MAX, all: u64::MAX };
}

impl RotationPolicy {
    /// Returns how much of it is read.
    pub fn limits(&self) -> Limits {
        let file = self.largest();
        Limits { file, all: file.saturating_mul(u64::from(self.keep) + 1) }
    }
}

/// The path of a stream's current file, and the limits for reading it.
#[derive(Debug, Clone)]
struct Log {
    path: PathBuf,
    limits: Limits,
}

/// Reads a stream forwards, from a point in its past.
#[derive(Debug)]
pub struct Reader {
    log: Log,
    part: Option<Part>,
    /// An error to return after what could be read: the current file could not be read at the beginning, or something
    /// was left out.
    trouble: Option<io::Error>,
    /// Bytes of the past that may still be shown.
    left: u64,
    /// Whether something was left out, and that was reported.
    is_cut: bool,
}

impl Reader {
    /// Begins `lines` lines before the end, but not with lines older than `since`; `u32::MAX` means all lines.
    pub fn tail(path: &Path, limits: Limits, lines: u32, since: Option<SystemTime>) -> Self {
        let log = Log { path: path.into(), limits };
        let (part, is_cut) = find::tail(&log, lines, since);
        let mut reader = Self::new(log, part);
        if is_cut {
            reader.cut();
        }
        reader
    }

    /// Continues from a place; if its file is gone, from the oldest file that is not compressed.
    pub fn after(path: &Path, limits: Limits, place: Place) -> Self {
        let log = Log { path: path.into(), limits };
        let part = find::at(&log, place);
        Self::new(log, part)
    }

    fn new(log: Log, part: Option<Part>) -> Self {
        let trouble = find::trouble(&log.path);
        Self { left: log.limits.all, log, part, trouble, is_cut: false }
    }

    /// Ends the limit on bytes: from now on new output is read, not the past.
    pub fn follow(&mut self) {
        self.left = u64::MAX;
    }

    /// Returns the next bytes; `None` if there are none now.
    pub fn step(&mut self) -> io::Result<Option<Chunk>> {
        let read = if self.left == 0 { None } else { self.read()? };
        if self.left == 0 || self.part.as_mut().is_some_and(|part| std::mem::take(&mut part.is_cut)) {
            self.cut();
        }
        match read {
            None => self.trouble.take().map_or(Ok(None), Err),
            Some(chunk) => {
                self.left = self.left.saturating_sub(u64::try_from(chunk.data.len()).unwrap_or(0));
                Ok(Some(chunk))
            }
        }
    }

    fn cut(&mut self) {
        if !std::mem::replace(&mut self.is_cut, true) && self.trouble.is_none() {
            self.trouble = Some(io::Error::other(LeftOut(self.log.limits)));
        }
    }

    fn read(&mut self) -> io::Result<Option<Chunk>> {
        loop {
            let part = match &mut self.part {
                Some(part) => part,
                None => match find::oldest_whole(&self.log) {
                    Some(part) => self.part.insert(part),
                    None => return Ok(None),
                },
            };
            match part.next() {
                Ok(None) => {}
                Err(error) if part.is_zipped() => {
                    // A damaged file must not hide the files after it.
                    tracing::warn!(path = %self.log.path.display(), %error, "reading a compressed log failed");
                }
                read => return read,
            }
            // The new file is created before the old one is finished: the change is over only once the new file has
            // content.
            let Some(mut newer) = find::newer(&self.log, part).filter(|newer| !newer.is_empty()) else {
                return Ok(None);
            };
            // The old file may have been written to until then: it is read to its end now.
            if !part.is_zipped()
                && let Some(chunk) = part.next()?
            {
                return Ok(Some(chunk));
            }
            newer.is_cut |= part.is_cut;
            self.part = Some(newer);
        }
    }
}

/// The error when the folder holds more than is read.
#[derive(Debug, thiserror::Error)]
#[error(
    "more lies there than it may hold (`max_size`, `keep`): {} MiB of a file and {} MiB of all are shown",
    .0.file.div_ceil(MIB),
    .0.all.div_ceil(MIB)
)]
struct LeftOut(Limits);

const MIB: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::logs::{compress, index, rotate};

    fn all(reader: &mut Reader) -> String {
        let mut text = Vec::new();
        while let Some(chunk) = reader.step().expect("it can be read") {
            text.extend(chunk.data);
        }
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn the_last_lines_come_also_from_the_file_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.log");
        assert_eq!(all(&mut Reader::tail(&path, Limits::NONE, 9, None)), "", "no file is no output");
        fs::write(rotate::numbered(&path, 1, false), "a\nb\nc\n").expect("written");
        fs::write(&path, "d\ne\nunfinished").expect("written");
        for (lines, expected) in [
            (0, ""),
            (1, "unfinished"),
            (2, "e\nunfinished"),
            (3, "d\ne\nunfinished"),
            (5, "b\nc\nd\ne\nunfinished"),
            (99, "a\nb\nc\nd\ne\nunfinished"),
        ] {
            assert_eq!(all(&mut Reader::tail(&path, Limits::NONE, lines, None)), expected, "{lines} lines");
        }
    }

    #[test]
    fn following_goes_on_over_a_rotation_and_a_truncation() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.log");
        let append = |text: &str| {
            use std::io::Write;
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).expect("opened");
            file.write_all(text.as_bytes()).expect("written");
        };
        append("old\n");
        let mut reader = Reader::tail(&path, Limits::NONE, 0, None);
        assert_eq!(all(&mut reader), "");
        append("one\n");
        fs::rename(&path, rotate::numbered(&path, 1, false)).expect("renamed");
        append("");
        assert_eq!(all(&mut reader), "one\n");
        append("two\n");
        assert_eq!(all(&mut reader), "two\n");
        fs::write(&path, "3\n").expect("truncated");
        assert_eq!(all(&mut reader), "3\n");
    }

    #[test]
    fn who_knows_a_place_goes_on_from_there_over_rotations() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.log");
        fs::write(&path, "one\n").expect("written");
        let mut reader = Reader::tail(&path, Limits::NONE, 9, None);
        let place = reader.step().expect("readable").expect("a chunk").end;
        fs::write(folder.path().join("spare"), "keeps its number from being used again").expect("written");
        for (number, text) in [(2, "one\ntwo\n"), (1, "three\n"), (0, "four\n")] {
            let target = if number == 0 { path.clone() } else { rotate::numbered(&path, number, false) };
            if number == 2 {
                fs::rename(&path, &target).expect("renamed");
            }
            fs::write(&target, text).expect("written");
        }
        assert_eq!(all(&mut Reader::after(&path, Limits::NONE, place)), "two\nthree\nfour\n");
        assert_eq!(all(&mut reader), "two\nthree\nfour\n", "also for one that was reading all the time");
    }

    #[test]
    fn each_chunk_has_its_time_and_since_begins_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.log");
        let at = |seconds| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::write(&path, "aa\nbb\ncc\n").expect("written");
        let mut index = index::Index::open(&path, 9);
        index.note(0, at(10));
        index.note(3, at(20));
        index.note(6, at(30));
        let mut reader = Reader::tail(&path, Limits::NONE, 99, Some(at(15)));
        let mut seen = Vec::new();
        while let Some(chunk) = reader.step().expect("it can be read") {
            seen.push((String::from_utf8(chunk.data).expect("text"), chunk.time));
        }
        assert_eq!(seen, [("bb\n".into(), Some(at(20))), ("cc\n".into(), Some(at(30)))]);
        assert_eq!(all(&mut Reader::tail(&path, Limits::NONE, 99, Some(at(31)))), "");
    }

    /// Writes five files with two lines each: `.4.gz` to `.2.gz`, `.1` and the current file; one second per line, from
    /// 10 on.
    fn rotated(folder: &Path) -> PathBuf {
        let path = folder.join("x.log");
        let keep = crate::logs::RotationPolicy { path: path.clone(), max_size: 1, keep: 9, compress: true };
        for round in 0..5u64 {
            if round > 0 {
                rotate::shift(&keep).expect("shifted");
                compress::compress(&keep, 2);
            }
            fs::write(&path, format!("a{round}\nb{round}\n")).expect("written");
            let mut index = index::Index::open(&path, 6);
            index.note(0, at(10 + round * 2));
            index.note(3, at(11 + round * 2));
        }
        assert!(rotate::numbered(&path, 4, true).exists());
        path
    }

    fn at(seconds: u64) -> SystemTime {
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
    }

    #[test]
    fn compressed_files_are_read_as_if_they_were_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = rotated(folder.path());
        let everything = "a0\nb0\na1\nb1\na2\nb2\na3\nb3\na4\nb4\n";
        for lines in 0..=11u32 {
            let expected = &everything[3 * 10usize.saturating_sub(lines as usize)..];
            assert_eq!(all(&mut Reader::tail(&path, Limits::NONE, lines, None)), expected, "{lines} lines");
        }
        assert_eq!(all(&mut Reader::tail(&path, Limits::NONE, u32::MAX, None)), everything);
        for (since, lines) in [(9, 10), (10, 10), (11, 9), (13, 7), (16, 4), (19, 1), (20, 0)] {
            let expected = &everything[3 * (10 - lines)..];
            assert_eq!(
                all(&mut Reader::tail(&path, Limits::NONE, u32::MAX, Some(at(since)))),
                expected,
                "since {since}"
            );
        }
        let mut reader = Reader::tail(&path, Limits::NONE, u32::MAX, Some(at(13)));
        let first = reader.step().expect("readable").expect("a chunk");
        assert_eq!((first.data.as_slice(), first.time), (&b"b1\n"[..], Some(at(13))), "times are kept too");
    }

    #[test]
    fn who_was_reading_a_file_goes_on_in_it_after_it_was_compressed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.log");
        let keep = crate::logs::RotationPolicy { path: path.clone(), max_size: 1, keep: 9, compress: true };
        fs::write(&path, "one\n").expect("written");
        let mut reader = Reader::tail(&path, Limits::NONE, 9, None);
        let place = reader.step().expect("readable").expect("a chunk").end;
        fs::write(&path, "one\ntwo\n").expect("written");
        for text in ["three\n", "four\n", "five\n"] {
            rotate::shift(&keep).expect("shifted");
            compress::compress(&keep, 2);
            fs::write(&path, text).expect("written");
        }
        assert_eq!(all(&mut Reader::after(&path, Limits::NONE, place)), "two\nthree\nfour\nfive\n");
        assert_eq!(all(&mut reader), "two\nthree\nfour\nfive\n");
    }

    #[test]
    fn a_damaged_compressed_file_hides_nothing_after_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = rotated(folder.path());
        fs::write(rotate::numbered(&path, 3, true), "rubbish").expect("written");
        let seen = all(&mut Reader::tail(&path, Limits::NONE, u32::MAX, None));
        assert_eq!(seen, "a0\nb0\na2\nb2\na3\nb3\na4\nb4\n");
        assert_eq!(all(&mut Reader::tail(&path, Limits::NONE, 7, None)), "b0\na2\nb2\na3\nb3\na4\nb4\n");
    }

    #[test]
    fn a_file_that_somebody_removed_brings_no_old_lines_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.log");
        fs::write(rotate::numbered(&path, 1, false), "old\n").expect("written");
        fs::write(&path, "one\n").expect("written");
        let past = fs::File::options().write(true).open(rotate::numbered(&path, 1, false)).expect("opened");
        past.set_modified(at(10)).expect("aged");
        let mut reader = Reader::tail(&path, Limits::NONE, 1, None);
        assert_eq!(all(&mut reader), "one\n");
        fs::rename(&path, folder.path().join("elsewhere")).expect("moved away");
        assert_eq!(all(&mut reader), "");
    }
}
