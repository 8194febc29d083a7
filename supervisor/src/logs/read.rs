//! Reading back what was kept: the last lines of a stream, and what is written from then on, over rotations.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{index, rotate};
use crate::os::pipe;

/// What one step of reading holds at most.
const CHUNK: usize = 64 * 1024;

/// How many files of one stream are looked through at most.
const MOST_FILES: u32 = 100;

/// How far back a search for lines goes in one file.
const FARTHEST: u64 = 64 * 1024 * 1024;

/// Some bytes of a stream, and when the first of them was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// As written.
    pub data: Vec<u8>,
    /// Unknown where the index is.
    pub time: Option<SystemTime>,
    /// Where it ends: who knows this can go on from here, also after a rotation or with another supervisor.
    pub end: Place,
}

/// A place in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of the file: a rotation does not change it.
    pub file: u64,
    /// Bytes from its beginning.
    pub offset: u64,
}

/// Reads one stream forwards, from somewhere in its past.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// Files still to be read, oldest first; the last is the current one.
    files: VecDeque<Part>,
}

#[derive(Debug)]
struct Part {
    file: File,
    number: u64,
    position: u64,
    times: VecDeque<(u64, SystemTime)>,
}

impl Reader {
    /// Begins so that `lines` lines come before the end, of what is not older than `since`.
    pub fn tail(path: &Path, lines: u32, since: Option<SystemTime>) -> Self {
        let mut files = VecDeque::new();
        let mut missing = u64::from(lines);
        for number in 0..=1 {
            let path = if number == 0 { path.to_path_buf() } else { rotate::numbered(path, number, false) };
            if number > 0 && missing == 0 {
                break;
            }
            let Ok(mut part) = Part::open(&path, 0) else { continue };
            let Ok((position, found)) = back(&part.file, missing) else { continue };
            missing = missing.saturating_sub(found);
            let times = index::read(&path);
            part.position =
                since.map_or(position, |since| position.max(first_after(&times, since, &part.file)));
            part.times = times.into();
            files.push_front(part);
        }
        Self { path: path.into(), files }
    }

    /// Goes on from a place; from the oldest file that is not compressed yet, where that one is gone.
    pub fn after(path: &Path, place: Place) -> Self {
        let mut files = VecDeque::new();
        for number in 0..=MOST_FILES {
            let path = if number == 0 { path.to_path_buf() } else { rotate::numbered(path, number, false) };
            let Ok(mut part) = Part::open(&path, 0) else { break };
            let is_it = part.number == place.file;
            if is_it {
                part.position = place.offset;
            }
            files.push_front(part);
            if is_it {
                break;
            }
        }
        Self { path: path.into(), files }
    }

    /// The next bytes; `None`: there are none now.
    pub fn step(&mut self) -> io::Result<Option<Chunk>> {
        loop {
            if self.files.is_empty() {
                match Part::open(&self.path, 0) {
                    Ok(part) => self.files.push_back(part),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
            let is_last = self.files.len() == 1;
            let part = self.files.front_mut().expect("one was just put in");
            if let Some(chunk) = part.next()? {
                return Ok(Some(chunk));
            }
            // Written to until the change to the next file: read to its end only once it is no longer the current one.
            if is_last && !self.was_replaced() {
                return Ok(None);
            }
            let part = self.files.front_mut().expect("still there");
            if let Some(chunk) = part.next()? {
                return Ok(Some(chunk));
            }
            let done = self.files.pop_front().expect("still there");
            if self.files.is_empty() {
                // More than one rotation may have come since it was opened.
                *self = Self::after(&self.path, Place { file: done.number, offset: done.position });
                if self.files.front().is_some_and(|part| part.number == done.number) {
                    self.files.pop_front();
                }
            }
        }
    }

    fn was_replaced(&self) -> bool {
        let Some(part) = self.files.front() else { return true };
        // The new file is begun before the old one is finished: only once something is in it is the change over.
        let is_begun = fs::metadata(&self.path).is_ok_and(|current| current.len() > 0);
        is_begun && pipe::is_at(&part.file, &self.path).is_ok_and(|is| !is)
    }
}

impl Part {
    fn open(path: &Path, position: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let number = pipe::file_number(&file)?;
        Ok(Self { file, number, position, times: VecDeque::new() })
    }

    fn next(&mut self) -> io::Result<Option<Chunk>> {
        if self.file.metadata()?.len() < self.position {
            // Truncated by somebody.
            self.position = 0;
            self.times.clear();
        }
        let mut time = None;
        while let Some((offset, at)) = self.times.front() {
            if *offset > self.position {
                break;
            }
            time = Some(*at);
            if self.times.get(1).is_none_or(|(next, _)| *next > self.position) {
                break;
            }
            self.times.pop_front();
        }
        // To where the next time begins, so that each chunk has its own.
        let border = self.times.iter().map(|(offset, _)| *offset).find(|offset| *offset > self.position);
        let most = border
            .map_or(CHUNK, |border| usize::try_from(border - self.position).unwrap_or(CHUNK).min(CHUNK));
        let mut data = vec![0; most];
        let read = pipe::read_at(&self.file, &mut data, self.position)?;
        if read == 0 {
            return Ok(None);
        }
        data.truncate(read);
        self.position += u64::try_from(read).unwrap_or(0);
        let end = Place { file: self.number, offset: self.position };
        Ok(Some(Chunk { data, time, end }))
    }
}

/// Where the last so many lines begin, and how many there are.
fn back(file: &File, lines: u64) -> io::Result<(u64, u64)> {
    let end = file.metadata()?.len();
    if lines == 0 {
        return Ok((end, 0));
    }
    let (mut at, mut found) = (end, 0);
    let mut buffer = vec![0; CHUNK];
    while at > 0 && end - at < FARTHEST {
        let begin = at.saturating_sub(u64::try_from(CHUNK).unwrap_or(at));
        let length = usize::try_from(at - begin).unwrap_or(CHUNK);
        let read = pipe::read_at(file, &mut buffer[..length], begin)?;
        for place in (0..read).rev().filter(|place| buffer[*place] == b'\n') {
            let after = begin + u64::try_from(place).unwrap_or(0) + 1;
            // The newline that ends the file begins no line.
            if after < end {
                found += 1;
                if found == lines {
                    return Ok((after, found));
                }
            }
        }
        at = begin;
    }
    Ok((at, found + u64::from(end > 0)))
}

/// The first byte that was not seen before a time.
fn first_after(times: &[(u64, SystemTime)], since: SystemTime, file: &File) -> u64 {
    match times.iter().find(|(_, time)| *time >= since) {
        Some((offset, _)) => *offset,
        // All of it is older, unless nothing is known about it at all.
        None if times.is_empty() => 0,
        None => file.metadata().map_or(0, |meta| meta.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(all(&mut Reader::tail(&path, 9, None)), "", "no file is no output");
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
            assert_eq!(all(&mut Reader::tail(&path, lines, None)), expected, "{lines} lines");
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
        let mut reader = Reader::tail(&path, 0, None);
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
        let mut reader = Reader::tail(&path, 9, None);
        let place = reader.step().expect("readable").expect("a chunk").end;
        fs::write(folder.path().join("spare"), "keeps its number from being used again").expect("written");
        for (number, text) in [(2, "one\ntwo\n"), (1, "three\n"), (0, "four\n")] {
            let target = if number == 0 { path.clone() } else { rotate::numbered(&path, number, false) };
            if number == 2 {
                fs::rename(&path, &target).expect("renamed");
            }
            fs::write(&target, text).expect("written");
        }
        assert_eq!(all(&mut Reader::after(&path, place)), "two\nthree\nfour\n");
        assert_eq!(all(&mut reader), "two\nthree\nfour\n", "also for one that was reading all the time");
    }

    #[test]
    fn each_chunk_has_its_time_and_since_begins_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.log");
        let at = |seconds| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::write(&path, "aa\nbb\ncc\n").expect("written");
        let mut index = index::Index::open(&path);
        index.note(0, at(10));
        index.note(3, at(20));
        index.note(6, at(30));
        let mut reader = Reader::tail(&path, 99, Some(at(15)));
        let mut seen = Vec::new();
        while let Some(chunk) = reader.step().expect("it can be read") {
            seen.push((String::from_utf8(chunk.data).expect("text"), chunk.time));
        }
        assert_eq!(seen, [("bb\n".into(), Some(at(20))), ("cc\n".into(), Some(at(30)))]);
        assert_eq!(all(&mut Reader::tail(&path, 99, Some(at(31)))), "");
    }
}
