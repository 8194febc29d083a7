//! What the write-ahead log adds to the checkpoint.
//!
//! A record is a line: a checksum of the rest, a growing number, and what happened. The first line that is incomplete,
//! or has a number that does not grow, ends the log: after it lie records from before the last checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::wal::HEADER;
use crate::lifecycle::saved::SavedEnd;
use crate::os::Identity;

/// The last run of a service in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intended {
    /// The run's incarnation.
    pub incarnation: u64,
    /// The process, if it was started.
    pub identity: Option<Identity>,
    /// When it became ready, since boot.
    pub ready: Option<Duration>,
    /// The number of the record of the intent.
    pub intent: u64,
}

/// Whether a person paused or resumed a service since the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// It was resumed.
    No,
    /// It was paused, until this time since boot, or without an end.
    Until(Option<Duration>),
}

/// What the log adds to the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replay {
    /// The last record number used.
    pub seq: u64,
    /// By service: the last run that was intended.
    pub runs: BTreeMap<String, Intended>,
    /// Runs of the checkpoint that have become ready since.
    pub ready: BTreeMap<String, (u64, Option<Duration>)>,
    /// By service: the last incarnation reserved for a run beside another.
    pub beside: BTreeMap<String, u64>,
    /// By service: whether it was wanted last.
    pub wants: BTreeMap<String, bool>,
    /// Services that a person started and that have no run since.
    pub begins: BTreeSet<String>,
    /// By service: the run that was told to end so that another follows, and why.
    pub ends: BTreeMap<String, (u64, SavedEnd)>,
    /// By service: the run that a new run would replace once that is ready.
    pub reloads: BTreeMap<String, u64>,
    /// Services with cleared counts.
    pub resets: BTreeSet<String>,
    /// By service: whether it was paused last.
    pub pauses: BTreeMap<String, Paused>,
    /// Whether a `down` was under way and must be finished.
    pub down: bool,
}

/// Formats a record as a line of the log.
pub(super) fn line(seq: u64, record: &str) -> String {
    let text = format!("{seq} {record}");
    format!("{:08x} {text}\n", checksum(&text))
}

fn checksum(text: &str) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(text.as_bytes());
    sum.sum()
}

/// The records of a file, by number.
#[derive(Debug, Default)]
pub(super) struct Records<'a> {
    pub(super) all: Vec<(u64, &'a str)>,
    /// The offset after the last record.
    pub(super) end: u64,
    /// Whether the file has the current form. Version 0.1.0 appended lines without a checksum.
    pub(super) in_place: bool,
}

impl<'a> Records<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let Some(rest) = bytes.strip_prefix(HEADER.as_bytes()) else {
            let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
            return Self { all: lines.filter_map(numbered).collect(), ..Self::default() };
        };
        let (mut all, mut end, mut last) = (Vec::new(), HEADER.len(), 0);
        for line in rest.split_inclusive(|byte| *byte == b'\n') {
            match checked(line) {
                Some((seq, record)) if seq > last => {
                    last = seq;
                    all.push((seq, record));
                    end += line.len();
                }
                _ => break,
            }
        }
        Self { all, end: u64::try_from(end).unwrap_or(0), in_place: true }
    }
}

/// Parses a complete line of the current form.
fn checked(line: &[u8]) -> Option<(u64, &str)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, text) = line.split_once(' ')?;
    (sum.len() == 8 && u32::from_str_radix(sum, 16) == Ok(checksum(text))).then(|| numbered(text)).flatten()
}

fn numbered(text: &str) -> Option<(u64, &str)> {
    let (seq, record) = text.split_once(' ')?;
    Some((seq.parse().ok()?, record))
}

pub(super) fn replay(records: &Records<'_>, after: u64) -> Replay {
    let mut replay = Replay { seq: after, ..Replay::default() };
    for (seq, record) in records.all.iter().filter(|(seq, _)| *seq > after) {
        if replay.take(*seq, record).is_some() {
            replay.seq = replay.seq.max(*seq);
        }
    }
    // A used number is never used again, whatever it stood for.
    replay.seq =
        records.all.iter().map(|(seq, _)| *seq).filter(|_| records.in_place).fold(replay.seq, u64::max);
    replay
}

impl Replay {
    /// Applies a record; `None` if it has no meaning.
    fn take(&mut self, seq: u64, record: &str) -> Option<()> {
        let fields: Vec<&str> = record.split(' ').collect();
        match fields[..] {
            ["start", service, incarnation] => self.begun(service, incarnation.parse().ok()?, None, seq),
            ["pid", service, incarnation, pid, start] => {
                let identity = Identity { pid: pid.parse().ok()?, start: start.parse().ok()? };
                self.begun(service, incarnation.parse().ok()?, Some(identity), seq);
            }
            ["beside", service, incarnation] => {
                self.beside.insert(service.into(), incarnation.parse().ok()?);
            }
            ["ready", service, incarnation, at] => {
                // The run itself may already be part of the checkpoint.
                let (incarnation, at) = (incarnation.parse::<u64>().ok()?, at.parse().ok()?);
                let at = Some(Duration::from_millis(at));
                match self.runs.get_mut(service) {
                    Some(run) if run.incarnation == incarnation => run.ready = at,
                    _ => drop(self.ready.insert(service.into(), (incarnation, at))),
                }
            }
            ["want", service, up] => {
                if up != "up" {
                    self.begins.remove(service);
                    self.reloads.remove(service);
                }
                self.wants.insert(service.into(), up == "up");
            }
            ["begin", service] => {
                self.wants.insert(service.into(), true);
                self.begins.insert(service.into());
            }
            ["end", service, incarnation, why] => {
                let end = (incarnation.parse().ok()?, SavedEnd::of_word(why)?);
                self.reloads.remove(service);
                self.ends.insert(service.into(), end);
            }
            ["stays", service, _] => drop(self.ends.remove(service)),
            ["reload", service, incarnation] => {
                self.reloads.insert(service.into(), incarnation.parse().ok()?);
            }
            ["reset", service] => drop(self.resets.insert(service.into())),
            ["pause", service, "-"] => drop(self.pauses.insert(service.into(), Paused::Until(None))),
            ["pause", service, until] => {
                let until = Some(Duration::from_millis(until.parse().ok()?));
                self.pauses.insert(service.into(), Paused::Until(until));
            }
            ["resume", service] => drop(self.pauses.insert(service.into(), Paused::No)),
            ["down"] => self.down = true,
            ["up"] => self.down = false,
            _ => return None,
        }
        Some(())
    }

    /// Records that a run begins, which fulfils the earlier requests.
    fn begun(&mut self, service: &str, incarnation: u64, identity: Option<Identity>, seq: u64) {
        self.begins.remove(service);
        self.reloads.remove(service);
        self.ends.retain(|name, (of, _)| name != service || *of >= incarnation);
        self.runs.insert(service.into(), Intended { incarnation, identity, ready: None, intent: seq });
    }
}

/// Parses bytes that may be a write-ahead log of this or an earlier version; also with correct checksums.
pub(crate) fn fuzz(bytes: &[u8]) {
    let signed = |seq: u64, text: &str| line(seq + 1, text).into_bytes();
    let text = String::from_utf8_lossy(bytes);
    let lines = (0..).zip(text.lines()).flat_map(|(seq, text)| signed(seq, text));
    let whole: Vec<u8> = HEADER.bytes().chain(lines).collect();
    let with_header: Vec<u8> = HEADER.bytes().chain(bytes.iter().copied()).collect();
    for bytes in [bytes, &with_header, &whole] {
        let records = Records::read(bytes);
        let replay = replay(&records, 3);
        assert!(replay.seq >= 3, "numbers only grow");
        assert!(usize::try_from(records.end).is_ok_and(|end| end <= bytes.len()), "within the file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replays a log of the earlier form.
    fn replay(text: &str, after: u64) -> Replay {
        super::replay(&Records::read(text.as_bytes()), after)
    }

    #[test]
    fn what_was_wanted_last_counts() {
        let said = replay("1 want web up\n2 want api up\n3 want web down\n", 1);
        assert_eq!((said.wants.get("web"), said.wants.get("api")), (Some(&false), Some(&true)));
        assert!(replay("1 want web up\n", 1).wants.is_empty(), "the checkpoint holds it");
    }

    #[test]
    fn rubbish_and_half_lines_are_passed_over() {
        let text = "x\n1 start web\n2 start web one\n3 pid web 1 x y\n\u{0}\u{0}\n4 start api 2\n5 sta";
        let replay = replay(text, 0);
        let run = Intended { incarnation: 2, identity: None, ready: None, intent: 4 };
        assert_eq!(replay.runs, BTreeMap::from([("api".to_string(), run)]));
    }

    #[test]
    fn readiness_is_remembered_of_the_run_it_was_said_of() {
        let text =
            "1 start web 2\n2 pid web 2 10 20\n3 ready web 2 5000\n4 ready api 9 6000\n5 ready web 1 7000\n";
        let replay = replay(text, 0);
        assert_eq!(replay.runs["web"].ready, Some(Duration::from_secs(5)));
        assert_eq!(replay.ready["api"], (9, Some(Duration::from_secs(6))));
    }

    #[test]
    fn what_was_asked_for_holds_until_it_has_come_about() {
        let text = "1 begin a\n2 end b 4 restart\n3 reload c 7\n4 reset d\n5 pause e -\n6 pause f 900\n";
        let said = replay(text, 0);
        assert_eq!((said.wants["a"], said.begins.contains("a")), (true, true));
        assert_eq!(said.ends["b"], (4, SavedEnd::Restart));
        assert_eq!((said.reloads["c"], said.resets.contains("d")), (7, true));
        assert_eq!(said.pauses["e"], Paused::Until(None));
        assert_eq!(said.pauses["f"], Paused::Until(Some(Duration::from_millis(900))));
        let later = "7 start a 1\n8 start b 5\n9 start c 8\n10 resume e\n";
        let said = replay(&format!("{text}{later}"), 0);
        assert!(said.begins.is_empty() && said.ends.is_empty() && said.reloads.is_empty(), "{said:?}");
        assert_eq!(said.pauses["e"], Paused::No);
        let said = replay(&format!("{text}7 want a down\n8 stays b 4\n9 want c down\n"), 0);
        assert!(said.begins.is_empty() && said.ends.is_empty() && said.reloads.is_empty(), "{said:?}");
    }

    #[test]
    fn a_line_that_was_cut_or_is_older_ends_the_log() {
        let new = format!("{HEADER}{}{}", line(9, "start web 3"), line(10, "want web down"));
        let stale = format!("want x up\n{}", line(4, "want web up"));
        for rest in [stale.as_str(), "\0\0\0", &line(9, "want web up"), "11 down\n", "999999 down\n"] {
            let whole = format!("{new}{rest}");
            let records = Records::read(whole.as_bytes());
            assert_eq!((records.all.len(), usize::try_from(records.end)), (2, Ok(new.len())), "{rest}");
        }
        let cut = &new[..new.len() - 1];
        assert_eq!(Records::read(cut.as_bytes()).all.len(), 1);
    }
}
