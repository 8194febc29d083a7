//! The files of the journal: `events-N.jsonl`, where N is the number of its first event. No file is ever renamed, so a
//! reader finds its place by number.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::read;

/// A file of the journal is ended at this size.
pub(super) const SIZE: u64 = 1024 * 1024;

/// So many files are kept: together 16 MiB.
const KEPT: usize = 16;

/// Files whose last event is older than this are removed.
const AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A file of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// No event in it has a smaller number.
    pub(super) first: u64,
    pub(super) path: PathBuf,
}

impl Segment {
    /// Returns the file that begins with this number.
    pub(super) fn beginning(folder: &Path, first: u64) -> Self {
        Self { first, path: folder.join(format!("events-{first:020}.jsonl")) }
    }
}

/// Returns the files, oldest first; none if the folder cannot be read.
pub(super) fn all(folder: &Path) -> Vec<Segment> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let segment = |entry: io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        Some(Segment { first: first_of(&path)?, path })
    };
    let mut all: Vec<Segment> = entries.filter_map(segment).collect();
    all.sort_by_key(|segment| segment.first);
    all
}

fn first_of(path: &Path) -> Option<u64> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    name.strip_prefix("events-")?.strip_suffix(".jsonl")?.parse().ok()
}

/// Removes the files that are too many or too old. The newest is always kept.
pub(super) fn remove_old(folder: &Path, now: SystemTime) {
    let mut files = all(folder);
    files.pop();
    let many = (files.len() + 1).saturating_sub(KEPT);
    for (place, file) in files.iter().enumerate() {
        let written = fs::metadata(&file.path).and_then(|meta| meta.modified()).ok();
        let is_old = written.and_then(|at| now.duration_since(at).ok()).is_some_and(|age| age > AGE);
        if (place < many || is_old)
            && let Err(error) = fs::remove_file(&file.path)
        {
            tracing::warn!(%error, "removing {} failed", file.path.display());
        }
    }
}

/// Gives the files of version 0.1 (`events.jsonl`, `events.1.jsonl`, …) their present names.
pub(super) fn rename_earlier(folder: &Path) {
    for number in (0..4).rev() {
        let path = match number {
            0 => folder.join("events.jsonl"),
            _ => folder.join(format!("events.{number}.jsonl")),
        };
        let Ok(bytes) = fs::read(&path) else { continue };
        let done = match read::parse(&bytes).next() {
            Some(first) => fs::rename(&path, Segment::beginning(folder, first.seq).path),
            None => fs::remove_file(&path),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "renaming {} failed", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_by_count_and_by_age() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = SystemTime::now();
        for first in (1..=20).map(|number| number * 10) {
            let segment = Segment::beginning(folder.path(), first);
            fs::write(&segment.path, "{}\n").expect("written");
            if first <= 60 || first == 200 {
                let file = fs::File::options().write(true).open(&segment.path).expect("opened");
                file.set_modified(now - AGE - Duration::from_secs(1)).expect("aged");
            }
        }
        fs::write(folder.path().join("next"), "7").expect("written");
        remove_old(folder.path(), now);
        let left: Vec<u64> = all(folder.path()).iter().map(|segment| segment.first).collect();
        assert_eq!(left, (7..=20).map(|number| number * 10).collect::<Vec<u64>>());
    }

    #[test]
    fn files_of_an_earlier_version_keep_their_events() {
        let folder = tempfile::tempdir().expect("a folder");
        let line = |seq| {
            format!(
                "{{\"seq\":{seq},\"cause\":0,\"time\":5,\"source\":\"supervisor\",\"service\":\"\",\"incarnation\":0,\
                 \"kind\":\"daemon\",\"message\":\"m{seq}\"}}\n"
            )
        };
        fs::write(folder.path().join("events.jsonl"), line(8) + &line(9)).expect("written");
        fs::write(folder.path().join("events.1.jsonl"), line(6) + &line(7)).expect("written");
        fs::write(folder.path().join("events.2.jsonl"), "rubbish").expect("written");
        rename_earlier(folder.path());
        let events = read::newest(folder.path(), |_| true, 9, 0);
        assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [6, 7, 8, 9]);
    }
}
