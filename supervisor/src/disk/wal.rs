//! The log of intents: a line before each spawn and one after it, so that a supervisor killed in between leaves neither
//! a process nobody knows nor a number used twice.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::os::Identity;

/// Above this the log is cut even while things happen.
const LARGE: u64 = 1024 * 1024;

/// The open log.
#[derive(Debug)]
pub struct Wal {
    file: File,
    length: u64,
    seq: u64,
}

/// What the log says beyond the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replay {
    /// The last number used.
    pub seq: u64,
    /// By service: the last incarnation that was intended, and its process if it came about.
    pub runs: BTreeMap<String, (u64, Option<Identity>)>,
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
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut length = file.metadata()?.len();
        if text.last().is_some_and(|byte| *byte != b'\n') {
            // The end of a line that was cut off; what follows must not be taken for a part of it.
            length += 1;
            (&file).write_all(b"\n")?;
        }
        Ok((Self { file, length, seq: replay.seq }, replay))
    }

    /// The last number used.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// A process of this incarnation is about to be started.
    pub fn intend(&mut self, service: &str, incarnation: u64) -> io::Result<()> {
        self.append(format_args!("start {service} {incarnation}"))
    }

    /// It was.
    pub fn started(&mut self, service: &str, incarnation: u64, identity: Identity) -> io::Result<()> {
        self.append(format_args!("pid {service} {incarnation} {} {}", identity.pid, identity.start))
    }

    /// All services are to go, and the supervisor after them.
    pub fn down(&mut self) -> io::Result<()> {
        self.append(format_args!("down"))
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
                    replay.runs.insert(service.into(), (incarnation, None));
                }
            }
            ["pid", service, incarnation, pid, start] => {
                if let (Ok(incarnation), Ok(pid), Ok(start)) = (incarnation.parse(), pid.parse(), start.parse()) {
                    replay.runs.insert(service.into(), (incarnation, Some(Identity { pid, start })));
                }
            }
            ["down"] => replay.down = true,
            _ => continue,
        }
        replay.seq = replay.seq.max(seq);
    }
    replay
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
        assert_eq!(replay.runs["web"], (1, Some(identity)));
        assert_eq!(replay.runs["api"], (7, None));
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
    fn rubbish_and_half_lines_are_passed_over() {
        let text = "x\n1 start web\n2 start web one\n3 pid web 1 x y\n\u{0}\u{0}\n4 start api 2\n5 sta";
        let replay = super::replay(text, 0);
        assert_eq!(replay.runs, BTreeMap::from([("api".to_string(), (2, None))]));
    }
}
