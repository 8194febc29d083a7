//! Finds the files of a stream, and where to begin in them.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::part::Part;
use super::{Limits, Log, Place};
use crate::logs::rotate;
use crate::os::LogDir;

/// The most files of a stream that are searched.
const MOST_FILES: u32 = 1000;

/// A rotation that was killed leaves at most one number empty, never two.
const GAP: u32 = 2;

/// Returns every existing file, newest first.
fn newest_first(log: &Log) -> impl Iterator<Item = (PathBuf, Part)> {
    let mut seen = HashSet::new();
    let mut missing = 0;
    let log = log.clone();
    let folder = LogDir::of(&log.path).ok();
    (0..=MOST_FILES)
        .map(move |place| open(folder.as_ref()?, &log, place))
        .take_while(move |found| {
            missing = if found.is_some() { 0 } else { missing + 1 };
            missing < GAP + 1
        })
        .flatten()
        // A rotation while they are opened shows a file twice.
        .filter(move |(_, part)| seen.insert(part.number))
}

/// Returns why the current file cannot be read; a missing file is no error.
pub(super) fn trouble(log: &Path) -> Option<io::Error> {
    let opened = LogDir::of(log).and_then(|folder| Part::plain(&folder, log, Limits::NONE));
    opened.err().filter(|error| error.kind() != io::ErrorKind::NotFound)
}

fn open(folder: &LogDir, log: &Log, place: u32) -> Option<(PathBuf, Part)> {
    let Log { path: log, limits } = log;
    if place == 0 {
        return Part::plain(folder, log, *limits).ok().map(|part| (log.into(), part));
    }
    let (plain, zipped) = (rotate::numbered(log, place, false), rotate::numbered(log, place, true));
    let unzip = || Part::zipped(folder, &zipped, *limits).ok().map(|part| (zipped.clone(), part));
    // A compressed file is complete, while its source may be half removed. The compressed file may also appear in
    // between.
    let found = unzip()
        .or_else(|| Part::plain(folder, &plain, *limits).ok().map(|part| (plain, part)))
        .or_else(unzip);
    found.map(|(path, mut part)| {
        part.place = place;
        (path, part)
    })
}

/// Returns where the last lines begin, and whether some of them lie farther back than is searched.
pub(super) fn tail(log: &Log, lines: u32, since: Option<SystemTime>) -> (Option<Part>, bool) {
    let mut look_back = log.limits.all;
    let first = tail_within(log, lines, since, &mut look_back);
    (first, look_back == 0)
}

fn tail_within(log: &Log, lines: u32, since: Option<SystemTime>, look_back: &mut u64) -> Option<Part> {
    let mut missing = u64::from(lines);
    let mut first = None;
    for (path, mut part) in newest_first(log) {
        if (missing == 0 && first.is_some()) || *look_back == 0 {
            break;
        }
        let mut begin = 0;
        if lines != u32::MAX {
            let Ok((position, found)) = part.back(missing, look_back) else { continue };
            begin = position;
            missing -= found.min(missing);
        }
        let known = since.map(|since| part.since(&path, since));
        match known {
            // Neither this file nor older files have anything new enough; the current file is followed from its end.
            Some(None) => {
                return first.or_else(|| {
                    let (end, _) = part.back(0, look_back).ok()?;
                    Some(part.at(end))
                });
            }
            Some(Some(offset)) => begin = begin.max(offset),
            None => {}
        }
        let is_whole = begin == 0;
        first = Some(part.at(begin));
        if !is_whole {
            break;
        }
    }
    first
}

/// Returns the file of a place, positioned there.
pub(super) fn at(log: &Log, place: Place) -> Option<Part> {
    let found = newest_first(log).find(|(_, part)| part.number == place.file);
    found.map(|(_, part)| part.at(place.offset)).or_else(|| oldest_whole(log))
}

/// Returns the oldest file that is not compressed.
pub(super) fn oldest_whole(log: &Log) -> Option<Part> {
    newest_first(log).map(|(_, part)| part).take_while(|part| !part.is_zipped()).last()
}

/// Returns the file that was begun after this one; `None` if this is the newest.
pub(super) fn newer(log: &Log, than: &Part) -> Option<Part> {
    if let Some(newer) = next_to(log, than) {
        return Some(newer);
    }
    let mut newer = None;
    for (_, part) in newest_first(log) {
        if part.number == than.number {
            return newer;
        }
        newer = Some(part);
    }
    // It is gone, by rotation or by hand: the first file written after it is the next.
    let last = than.modified();
    let after = |part: &Part| part.modified() > last && !part.is_zipped();
    newest_first(log).map(|(_, part)| part).take_while(after).last()
}

/// Returns the file with the preceding number, if nothing was rotated since: searching a thousand files a thousand
/// times takes minutes. The newer file is opened first, so that a rotation in between skips none.
fn next_to(log: &Log, than: &Part) -> Option<Part> {
    let folder = LogDir::of(&log.path).ok()?;
    let (_, newer) = open(&folder, log, than.place.checked_sub(1)?)?;
    let (_, still) = open(&folder, log, than.place)?;
    (still.number == than.number && newer.number != than.number).then_some(newer)
}
