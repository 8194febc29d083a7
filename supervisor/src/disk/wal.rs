//! The log of intents: a line before each spawn and one after it, so that a supervisor killed in between leaves neither
//! a process nobody knows nor a number used twice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::os::Identity;

/// Above this the log is cut even while things happen.
const LARGE: u64 = 1024 * 1024;

/// The open log.
#[derive(Debug)]
pub struct Wal {
    file: File,
    length: u64,
    seq: u64,
    /// The last number before `down`, while that is under way.
    before_down: Option<u64>,
}

/// The last run of a service that the log knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intended {
    /// Its number.
    pub incarnation: u64,
    /// Its process, if it came about.
    pub identity: Option<Identity>,
    /// When it became ready, since boot.
    pub ready: Option<Duration>,
    /// The number of the intent.
    pub intent: u64,
}

/// What the log says beyond the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replay {
    /// The last number used.
    pub seq: u64,
    /// By service: the last run that was intended.
    pub runs: BTreeMap<String, Intended>,
    /// Runs of the checkpoint that have become ready since.
    pub ready: BTreeMap<String, (u64, Option<Duration>)>,
    /// By service: the last number taken out for a run beside another.
    pub beside: BTreeMap<String, u64>,
    /// By service: whether it was wanted up in the end.
    pub wants: BTreeMap<String, bool>,
    /// A `down` was under way: it is to be finished.
    pub down: bool,
}

impl Wal {
    /// Reads what is beyond `seq`, and opens the log for more.
    pub fn open(path: &Path, seq: u64) -> io::Result<(Self, Replay)> {
        let text = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let replay = replay(&String::from_utf8_lossy(&text), seq);
        let file = crate::os::open_append(path, 0o600)?;
        let mut length = file.metadata()?.len();
        if text.last().is_some_and(|byte| *byte != b'\n') {
            // The end of a line that was cut off; what follows must not be taken for a part of it.
            length += 1;
            (&file).write_all(b"\n")?;
        }
        Ok((Self { file, length, seq: replay.seq, before_down: None }, replay))
    }

    /// The last number that a checkpoint may hold: while a `down` is under way it stays in the log.
    pub fn seq(&self) -> u64 {
        self.before_down.unwrap_or(self.seq)
    }

    /// The last number used.
    pub fn last(&self) -> u64 {
        self.seq
    }

    /// A process of this incarnation is about to be started.
    pub fn intend(&mut self, service: &str, incarnation: u64) -> io::Result<()> {
        self.append(format_args!("start {service} {incarnation}"))
    }

    /// A number is taken out for a run beside the one that is there: until it takes its place, that one counts.
    pub fn beside(&mut self, service: &str, incarnation: u64) -> io::Result<()> {
        self.append(format_args!("beside {service} {incarnation}"))
    }

    /// It was.
    pub fn started(&mut self, service: &str, incarnation: u64, identity: Identity) -> io::Result<()> {
        self.append(format_args!("pid {service} {incarnation} {} {}", identity.pid, identity.start))
    }

    /// The current run became ready. Readiness that is said once would else be lost with the supervisor.
    pub fn ready(&mut self, service: &str, incarnation: u64, at: Duration) -> io::Result<()> {
        self.append(format_args!("ready {service} {incarnation} {}", at.as_millis()))
    }

    /// From now on it is wanted up, or no longer: what a person was told to be so must not be forgotten.
    pub fn wanted(&mut self, service: &str, up: bool) -> io::Result<()> {
        self.append(format_args!("want {service} {}", if up { "up" } else { "down" }))
    }

    /// All services are to go, and the supervisor after them.
    pub fn down(&mut self) -> io::Result<()> {
        self.before_down.get_or_insert(self.seq);
        self.append(format_args!("down"))
    }

    /// They are gone: the next checkpoint holds it all.
    pub fn is_down(&mut self) {
        self.before_down = None;
    }

    /// A person wants them up again: a `down` that was interrupted is not finished.
    pub fn up(&mut self) -> io::Result<()> {
        self.append(format_args!("up"))
    }

    /// Whether it is time to make a checkpoint although things go on happening.
    pub fn is_large(&self) -> bool {
        self.length > LARGE
    }

    /// A checkpoint holds everything up to `seq`: what is older can go.
    pub fn checkpointed(&mut self, seq: u64) -> io::Result<()> {
        if seq == self.seq && self.length > 0 {
            self.file.set_len(0)?;
            self.length = 0;
        }
        Ok(())
    }

    fn append(&mut self, record: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.seq += 1;
        let line = format!("{} {record}\n", self.seq);
        self.file.write_all(line.as_bytes())?;
        self.length += u64::try_from(line.len()).unwrap_or(0);
        Ok(())
    }
}

fn replay(text: &str, after: u64) -> Replay {
    let mut replay = Replay { seq: after, ..Replay::default() };
    for line in text.lines() {
        let mut fields = line.split(' ');
        let Some(seq) = fields.next().and_then(|seq| seq.parse::<u64>().ok()) else { continue };
        if seq <= after {
            continue;
        }
        let fields: Vec<&str> = fields.collect();
        match fields[..] {
            ["start", service, incarnation] => {
                if let Ok(incarnation) = incarnation.parse() {
                    let run = Intended { incarnation, identity: None, ready: None, intent: seq };
                    replay.runs.insert(service.into(), run);
                }
            }
            ["pid", service, incarnation, pid, start] => {
                if let (Ok(incarnation), Ok(pid), Ok(start)) =
                    (incarnation.parse(), pid.parse(), start.parse())
                {
                    let identity = Some(Identity { pid, start });
                    let run = Intended { incarnation, identity, ready: None, intent: seq };
                    replay.runs.insert(service.into(), run);
                }
            }
            ["beside", service, incarnation] => {
                if let Ok(incarnation) = incarnation.parse() {
                    replay.beside.insert(service.into(), incarnation);
                }
            }
            ["ready", service, incarnation, at] => {
                // The run itself may already be part of the checkpoint.
                if let (Ok(incarnation), Ok(at)) = (incarnation.parse::<u64>(), at.parse()) {
                    let at = Some(Duration::from_millis(at));
                    match replay.runs.get_mut(service) {
                        Some(run) if run.incarnation == incarnation => run.ready = at,
                        _ => drop(replay.ready.insert(service.into(), (incarnation, at))),
                    }
                }
            }
            ["want", service, up] => drop(replay.wants.insert(service.into(), up == "up")),
            ["down"] => replay.down = true,
            ["up"] => replay.down = false,
            _ => continue,
        }
        replay.seq = replay.seq.max(seq);
    }
    replay
}

/// Bytes that may be a log of intents.
pub(crate) fn hostile(bytes: &[u8]) {
    let replay = replay(&String::from_utf8_lossy(bytes), 3);
    assert!(replay.seq >= 3, "numbers only grow");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_without_a_pid_is_remembered_and_a_checkpoint_empties_the_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wal");
        let (mut wal, replay) = Wal::open(&path, 0).expect("opened");
        assert_eq!(replay, Replay::default());
        let identity = Identity { pid: 12, start: 34 };
        wal.intend("web", 1).expect("written");
        wal.started("web", 1, identity).expect("written");
        wal.intend("api", 7).expect("written");
        drop(wal);

        let (mut wal, replay) = Wal::open(&path, 0).expect("opened");
        let run = |incarnation, identity, intent| Intended { incarnation, identity, ready: None, intent };
        assert_eq!(replay.runs["web"], run(1, Some(identity), 2));
        assert_eq!(replay.runs["api"], run(7, None, 3));
        let (_, later) = Wal::open(&path, 2).expect("opened");
        assert_eq!(later.runs.len(), 1, "what the checkpoint holds is not replayed");

        wal.checkpointed(2).expect("kept");
        assert!(path.metadata().expect("there").len() > 0, "not all of it is in the checkpoint");
        wal.checkpointed(wal.seq()).expect("cut");
        wal.down().expect("written");
        let (_, replay) = Wal::open(&path, 3).expect("opened");
        assert_eq!((replay.down, replay.seq, replay.runs.len()), (true, 4, 0));
    }

    #[test]
    fn a_down_outlives_checkpoints_until_it_is_done_or_called_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wal");
        let (mut wal, _) = Wal::open(&path, 0).expect("opened");
        wal.intend("web", 1).expect("written");
        wal.down().expect("written");
        let seq = wal.seq();
        wal.checkpointed(seq).expect("kept");
        assert!(Wal::open(&path, seq).expect("opened").1.down, "killed now, it is to be finished");
        let (mut next, _) = Wal::open(&path, seq).expect("opened");
        next.up().expect("written");
        assert!(!Wal::open(&path, seq).expect("opened").1.down, "a person has changed their mind");
        wal.is_down();
        wal.checkpointed(wal.seq()).expect("cut");
        assert_eq!(path.metadata().expect("there").len(), 0);
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
        let replay = super::replay(text, 0);
        let run = Intended { incarnation: 2, identity: None, ready: None, intent: 4 };
        assert_eq!(replay.runs, BTreeMap::from([("api".to_string(), run)]));
    }

    #[test]
    fn readiness_is_remembered_of_the_run_it_was_said_of() {
        let text =
            "1 start web 2\n2 pid web 2 10 20\n3 ready web 2 5000\n4 ready api 9 6000\n5 ready web 1 7000\n";
        let replay = super::replay(text, 0);
        assert_eq!(replay.runs["web"].ready, Some(Duration::from_secs(5)));
        assert_eq!(replay.ready["api"], (9, Some(Duration::from_secs(6))));
    }
}
