//! The last lines of one run, for whoever asks why it ended.

use std::collections::VecDeque;
use std::path::Path;
use std::time::SystemTime;

use super::Reader;

/// Lines of the runs after it that may stand behind.
const NEWER: u32 = 500;
/// Characters of a line that are kept.
const LONGEST: usize = 190;

/// The last lines that were written between two times; none, where times are not known.
pub fn last_lines(path: &Path, since: SystemTime, until: SystemTime, count: usize) -> Vec<String> {
    let mut reader = Reader::tail(path, NEWER, Some(since));
    let mut text = Vec::new();
    // What can not be read is not there: the exit is told without it.
    while let Ok(Some(chunk)) = reader.step() {
        if chunk.time.is_none_or(|time| time > until) {
            break;
        }
        text.extend(chunk.data);
    }
    let mut lines = VecDeque::with_capacity(count);
    for line in String::from_utf8_lossy(&text).lines().filter(|line| !line.trim().is_empty()) {
        if lines.len() == count {
            lines.pop_front();
        }
        let clean = line.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c });
        lines.push_back(clean.take(LONGEST).collect());
    }
    lines.into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::index::Index;
    use super::*;

    #[test]
    fn only_what_one_run_wrote_and_only_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.log");
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(last_lines(&path, at(0), at(99), 3).is_empty(), "no file");
        fs::write(&path, "before\none\ntwo\n\nthr\x1bee\nafter\n").expect("written");
        let mut index = Index::open(&path);
        index.note(0, at(10));
        index.note(7, at(20));
        index.note(23, at(30));
        assert_eq!(last_lines(&path, at(15), at(25), 9), ["one", "two", "thr ee"]);
        assert_eq!(last_lines(&path, at(15), at(25), 2), ["two", "thr ee"]);
        assert!(last_lines(&path, at(40), at(50), 2).is_empty());
    }
}
