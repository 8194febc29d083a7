//! Compares all records with each other after the faults.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::journal;
use super::lines::{Kept, Writer};
use super::setup::{Setup, log_of};

/// Tolerance between the clocks of files and our own.
const AROUND: Duration = Duration::from_millis(500);

/// Result of the comparison.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Number of lines in the logs.
    pub(super) lines: u64,
    /// Number of runs that registered themselves.
    pub(super) runs: usize,
    /// Number of starts and adoptions in the journal.
    pub(super) starts: (u64, u64),
    /// Number of last lines that were lost because no process held the pipe.
    pub(super) unheard: u64,
    /// The errors that were found.
    pub(super) wrong: Vec<String>,
}

/// A run, as it registered itself.
struct Run {
    name: String,
    incarnation: u64,
    pid: u32,
    start: u64,
}

/// Reads and compares all records. `unread` holds the periods without a supervisor.
pub(super) fn find(setup: &Setup, unread: &[(SystemTime, SystemTime)]) -> io::Result<Verdict> {
    let mut found = Verdict::default();
    let runs = runs(&setup.folder)?;
    found.runs = runs.len();
    let complaints = fs::read_to_string(setup.folder.join("complaints")).unwrap_or_default();
    found.wrong.extend(complaints.lines().map(Into::into));
    compare_with_journal(setup, &runs, &mut found)?;
    numbers_grow(&runs, &mut found);

    let mut kept = Kept::default();
    for name in setup.names() {
        for stream in ["out", "err"] {
            let file = format!("{name}.{stream}.log");
            let (text, twice) = log_of(&setup.folder, &file)?;
            found.wrong.extend(twice);
            kept.read(&file, &text);
        }
    }
    found.lines = kept.lines();
    for entry in fs::read_dir(setup.folder.join("counts"))? {
        let entry = entry?;
        let Some(writer) = writer_of(&entry.file_name().to_string_lossy()) else { continue };
        let bytes = fs::read(entry.path())?;
        let wrote = bytes.try_into().map_or(0, u64::from_le_bytes);
        let there = kept.of(&writer);
        let (name, incarnation) = &writer;
        if there > wrote + 1 {
            found.wrong.push(format!("{name} {incarnation}: wrote {wrote} lines, and {there} are kept"));
        } else if there < wrote {
            let last = entry.metadata()?.modified()?;
            if unread.iter().any(|(from, to)| *from < last + AROUND && last < *to + AROUND) {
                found.unheard += wrote - there;
            } else {
                found
                    .wrong
                    .push(format!("{name} {incarnation}: wrote {wrote} lines, and only {there} are kept"));
            }
        }
    }
    found.wrong.extend(kept.wrong());
    Ok(found)
}

fn writer_of(file: &str) -> Option<Writer> {
    let (name, incarnation) = file.rsplit_once('.')?;
    Some((name.into(), incarnation.parse().ok()?))
}

fn runs(folder: &Path) -> io::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(folder.join("runs"))? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?;
        let of = writer_of(&entry.file_name().to_string_lossy());
        // A run that was killed before it had registered left an empty file.
        let numbers = text
            .trim()
            .split_once(' ')
            .and_then(|(pid, start)| Some((pid.parse().ok()?, start.parse().ok()?)));
        if let (Some((name, incarnation)), Some((pid, start))) = (of, numbers) {
            runs.push(Run { name, incarnation, pid, start });
        }
    }
    runs.sort_by(|a, b| (&a.name, a.incarnation).cmp(&(&b.name, b.incarnation)));
    Ok(runs)
}

fn numbers_grow(runs: &[Run], found: &mut Verdict) {
    for pair in runs.windows(2).filter(|pair| pair[0].name == pair[1].name && pair[0].start > pair[1].start) {
        let [older, newer] = pair else { continue };
        found.wrong.push(format!(
            "{}: run {} (pid {}) began before run {} (pid {})",
            newer.name, newer.incarnation, newer.pid, older.incarnation, older.pid
        ));
    }
}

/// Reads all files of the journal, oldest first.
pub(super) fn journal_of(setup: &Setup) -> io::Result<Journal> {
    let folder = setup.folder.join("home/journal");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("events-") {
            files.push(name);
        }
    }
    // Their names are the numbers of their first events, with leading zeros.
    files.sort();
    let mut text = String::new();
    for name in files {
        text += &String::from_utf8_lossy(&fs::read(folder.join(name))?);
    }
    Ok(Journal(text))
}

/// The text of a journal.
pub(super) struct Journal(String);

impl Journal {
    /// Returns number and message of each event.
    pub(super) fn told(&self) -> Vec<(u64, String)> {
        let events = self.0.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        events
            .filter_map(|event| Some((event["seq"].as_u64()?, event["message"].as_str()?.to_owned())))
            .collect()
    }
}

fn compare_with_journal(setup: &Setup, runs: &[Run], found: &mut Verdict) -> io::Result<()> {
    let Journal(text) = journal_of(setup)?;
    let told = journal::read(&text);
    found.starts = (told.starts, told.adoptions);
    found.wrong.extend(told.wrong);
    for run in runs {
        let pid = told.pids.get(&(run.name.clone(), run.incarnation));
        if pid.is_some_and(|pid| *pid != run.pid) {
            let (name, number, own) = (&run.name, run.incarnation, run.pid);
            found.wrong.push(format!("{name} {number}: is pid {own}, and pid {pid:?} in the journal"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, incarnation: u64, start: u64) -> Run {
        Run { name: name.into(), incarnation, pid: 1, start }
    }

    #[test]
    fn a_number_that_went_back_is_seen() {
        let mut found = Verdict::default();
        numbers_grow(&[run("a", 1, 10), run("a", 2, 10), run("a", 3, 30), run("b", 1, 5)], &mut found);
        assert_eq!(found.wrong, [""; 0]);
        numbers_grow(&[run("a", 1, 10), run("a", 2, 9)], &mut found);
        assert_eq!(found.wrong, ["a: run 2 (pid 1) began before run 1 (pid 1)"]);
    }

    #[test]
    fn the_name_of_a_note_names_its_writer() {
        assert_eq!(writer_of("s2+child.17"), Some(("s2+child".into(), 17)));
        assert_eq!(writer_of("s2"), None);
    }
}
