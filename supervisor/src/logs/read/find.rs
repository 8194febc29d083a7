//! Which files a stream has, and where in them to begin.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Place;
use super::part::Part;
use crate::logs::rotate;
use crate::os::LogDir;

/// How many files of one stream are looked through at most.
const MOST_FILES: u32 = 1000;

/// A rotation that was killed leaves one number empty, and never two.
const GAP: u32 = 2;

/// Every file there is, newest first.
fn newest_first(path: &Path) -> impl Iterator<Item = (PathBuf, Part)> {
    let mut seen = Vec::new();
    let mut missing = 0;
    let log = path.to_path_buf();
    let folder = LogDir::of(path).ok();
    (0..=MOST_FILES)
        .map(move |number| open(folder.as_ref()?, &log, number))
        .take_while(move |found| {
            missing = if found.is_some() { 0 } else { missing + 1 };
            missing < GAP + 1
        })
        .flatten()
        // A rotation while they are opened shows one of them twice.
        .filter(move |(_, part)| {
            let new = !seen.contains(&part.number);
            seen.push(part.number);
            new
        })
}

/// Why the current file cannot be read; none at all is no reason.
pub(super) fn trouble(path: &Path) -> Option<io::Error> {
    let opened = LogDir::of(path).and_then(|folder| Part::plain(&folder, path));
    opened.err().filter(|error| error.kind() != io::ErrorKind::NotFound)
}

fn open(folder: &LogDir, log: &Path, number: u32) -> Option<(PathBuf, Part)> {
    if number == 0 {
        return Part::plain(folder, log).ok().map(|part| (log.into(), part));
    }
    let (plain, zipped) = (rotate::numbered(log, number, false), rotate::numbered(log, number, true));
    let unzip = || Part::zipped(folder, &zipped).ok().map(|part| (zipped.clone(), part));
    // A compressed one is whole, what it was made from may be half removed; and it may appear in between.
    unzip().or_else(|| Part::plain(folder, &plain).ok().map(|part| (plain, part))).or_else(unzip)
}

/// Where the last lines begin.
pub(super) fn tail(path: &Path, lines: u32, since: Option<SystemTime>) -> Option<Part> {
    let mut missing = u64::from(lines);
    let mut first = None;
    for (path, mut part) in newest_first(path) {
        if missing == 0 && first.is_some() {
            break;
        }
        let mut begin = 0;
        if lines != u32::MAX {
            let Ok((position, found)) = part.back(missing) else { continue };
            begin = position;
            missing -= found.min(missing);
        }
        let known = since.map(|since| part.since(&path, since));
        match known {
            // Nothing of it is new enough, nor of what is older; one that is still written to is followed from its end.
            Some(None) => {
                return first.or_else(|| {
                    let (end, _) = part.back(0).ok()?;
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

/// The file of a place, from there.
pub(super) fn at(path: &Path, place: Place) -> Option<Part> {
    let found = newest_first(path).find(|(_, part)| part.number == place.file);
    found.map(|(_, part)| part.at(place.offset)).or_else(|| oldest_whole(path))
}

/// The oldest file that is not compressed.
pub(super) fn oldest_whole(path: &Path) -> Option<Part> {
    newest_first(path).map(|(_, part)| part).take_while(|part| !part.is_zipped()).last()
}

/// The file that was begun after this one; `None`: this is the newest.
#[expect(clippy::unnecessary_wraps, reason = "callers read it as one of the steps of reading")]
pub(super) fn newer(path: &Path, than: &Part) -> io::Result<Option<Part>> {
    let mut newer = None;
    for (_, part) in newest_first(path) {
        if part.number == than.number {
            return Ok(newer);
        }
        newer = Some(part);
    }
    // It is gone, by rotation or by hand: what was written after it is the next.
    let last = than.modified();
    let after = |part: &Part| part.modified() > last && !part.is_zipped();
    Ok(newest_first(path).map(|(_, part)| part).take_while(after).last())
}
