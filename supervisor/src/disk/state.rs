//! The state of every service, as a checkpoint: a head line with version and checksum, then JSON.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::{replace, set_aside};
use crate::lifecycle::saved::Saved;
use crate::lifecycle::tally::{SavedHostTally, SavedTally};
use crate::os::Identity;

/// The version that is written. All versions up to it can be read.
const VERSION: u32 = 1;

/// Everything that the next supervisor needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// The id of the boot that it belongs to.
    pub boot: String,
    /// The last record of the write-ahead log that it includes.
    pub seq: u64,
    /// What is counted over all services.
    #[serde(default)]
    pub tally: SavedHostTally,
    /// Services by name, including daemons.
    pub services: BTreeMap<String, Entry>,
}

/// The state of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The state of its unit.
    pub unit: Saved,
    /// The process that led its run, if any.
    #[serde(default)]
    pub process: Option<Identity>,
    /// The cgroup that its run is in.
    #[serde(default)]
    pub cgroup: Option<String>,
    /// The pause, if a person paused it.
    #[serde(default)]
    pub paused: Option<Pause>,
    /// The wall-clock time that it waited for, in seconds since the epoch.
    #[serde(default)]
    pub next_run: Option<u64>,
    /// Whether a run waits because its time came during the last run.
    #[serde(default)]
    pub queued: bool,
    /// Whether a person stopped it and it waits until its dependants are down.
    #[serde(default)]
    pub stopping: bool,
    /// What is counted of it.
    #[serde(default)]
    pub tally: SavedTally,
    /// Whether a new run will replace it once that is ready.
    #[serde(default)]
    pub reloading: bool,
}

/// A pause set by a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it ends, since boot; `None` if it has no end.
    pub until: Option<std::time::Duration>,
}

/// Why a state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is no first line.
    #[error("the state has no head line")]
    NoHead,
    /// The first line is not UTF-8.
    #[error("the head line of the state is no text")]
    HeadNoText,
    /// The first line is not that of a state.
    #[error("the file is no state of ours")]
    NotOurs,
    /// A newer program wrote it.
    #[error("the state has version {0}, this program reads up to {VERSION}")]
    Version(String),
    /// The file is damaged.
    #[error("the checksum of the state does not match")]
    Checksum,
    /// The checksum matches, and what was written is not what this program expects.
    #[error("the state can not be read: {0}")]
    Body(#[from] serde_json::Error),
}

/// Reads the state. A file that is damaged or from a newer version is set aside and counts as missing.
pub fn load(path: &Path) -> Option<State> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            set_aside(path, &format!("reading the state failed: {error}"));
            return None;
        }
    };
    match parse(&bytes) {
        Ok(state) => Some(state),
        Err(why) => {
            set_aside(path, &why.to_string());
            None
        }
    }
}

/// Reads the state and changes nothing; `None` if it cannot be read.
pub fn peek(path: &Path) -> Option<State> {
    parse(&fs::read(path).ok()?).ok()
}

/// Returns whether the state can be read; changes nothing.
pub fn check(path: &Path) -> Result<(), StateError> {
    parse(&fs::read(path)?).map(drop)
}

/// Writes the state to disk.
pub fn save(path: &Path, state: &State) -> io::Result<()> {
    replace(path, &render(state))
}

/// Writes states from any thread in order: an older state never replaces a newer one.
#[derive(Debug)]
pub struct Saver {
    path: PathBuf,
    /// The number of the newest state written.
    newest: Mutex<u64>,
}

impl Saver {
    /// Creates a saver for a file.
    pub fn new(path: PathBuf) -> Self {
        Self { path, newest: Mutex::new(0) }
    }

    /// Writes the state with this number, unless a newer state is there.
    pub fn save(&self, number: u64, state: &State) -> io::Result<()> {
        let mut newest = self.newest.lock().expect("nobody panics while holding it");
        if number > *newest {
            save(&self.path, state)?;
            *newest = number;
        }
        Ok(())
    }
}

fn render(state: &State) -> Vec<u8> {
    let body = serde_json::to_vec(state).expect("strings and numbers can be written");
    let mut text = format!("sereno-state {VERSION} {:08x}\n", checksum(&body)).into_bytes();
    text.extend(body);
    text
}

fn parse(bytes: &[u8]) -> Result<State, StateError> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(StateError::NoHead)?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| StateError::HeadNoText)?;
    let fields: Vec<&str> = head.split(' ').collect();
    let ["sereno-state", version, sum] = fields[..] else {
        return Err(StateError::NotOurs);
    };
    match version.parse::<u32>() {
        Ok(version) if version <= VERSION => {}
        _ => return Err(StateError::Version(version.into())),
    }
    let body = &bytes[end + 1..];
    if u32::from_str_radix(sum, 16) != Ok(checksum(body)) {
        return Err(StateError::Checksum);
    }
    Ok(serde_json::from_slice(body)?)
}

/// Parses bytes that may be a state; also with a correct checksum, which chance alone would never produce.
pub(crate) fn fuzz(bytes: &[u8]) {
    let _ = parse(bytes);
    let mut signed = format!("sereno-state {VERSION} {:08x}\n", checksum(bytes)).into_bytes();
    signed.extend_from_slice(bytes);
    if let Ok(state) = parse(&signed) {
        let written = render(&state);
        assert_eq!(parse(&written).ok(), Some(state), "what is read can be written and read again");
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::arbiter::Decision;
    use crate::lifecycle::check_runs::CheckRuns;
    use crate::lifecycle::saved::SavedPhase;
    use crate::lifecycle::tally::HostTally;
    use std::time::Duration;

    fn state() -> State {
        let unit = Saved {
            wanted: true,
            incarnation: 4,
            reserved: 5,
            streak: 1,
            starts: 4,
            last_exit: None,
            phase: SavedPhase::Stopped,
        };
        let entry = Entry {
            unit,
            process: Some(Identity { pid: 12, start: 99 }),
            cgroup: None,
            paused: Some(Pause { until: None }),
            next_run: Some(7),
            queued: true,
            stopping: true,
            reloading: true,
            tally: SavedTally {
                restarts: [("exit".into(), 3)].into(),
                unready: Duration::from_millis(1500),
                checks: [("health".into(), CheckRuns { passed: 8, failed: 1 })].into(),
            },
        };
        let mut counts = HostTally::default();
        counts.decided(Decision::Merged);
        counts.recoveries.add(Duration::from_millis(40));
        State {
            boot: "b".into(),
            seq: 7,
            tally: counts.save(),
            services: [("web".to_string(), entry)].into(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.json");
        assert_eq!(load(&path), None);
        save(&path, &state()).expect("written");
        assert_eq!(load(&path), Some(state()));
    }

    #[test]
    fn an_older_state_never_lies_over_a_newer_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.json");
        let saver = Saver::new(path.clone());
        saver.save(2, &State { seq: 9, ..state() }).expect("written");
        saver.save(1, &State { seq: 8, ..state() }).expect("passed over");
        assert_eq!(load(&path).map(|state| state.seq), Some(9));
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.json");
        let whole = render(&state());
        for at in 0..whole.len() {
            fs::write(&path, &whole[..at]).expect("written");
            assert_eq!(load(&path), None, "cut at {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 0x15;
            fs::write(&path, &flipped).expect("written");
            assert_eq!(load(&path), None, "flipped at {at}");
            assert!(!path.exists(), "set aside");
        }
        let future = String::from_utf8(whole).expect("text").replacen("sereno-state 1", "sereno-state 2", 1);
        assert!(parse(future.as_bytes()).is_err_and(|why| why.to_string().contains("version 2")));
    }

    /// A state as version 0.1.0 wrote it; it must stay readable.
    #[test]
    fn the_first_version_is_still_read() {
        let body = r#"{"boot":"b","seq":3,"services":{"web":{"unit":{"wanted":true,"incarnation":2,"streak":0,"starts":2,"last_exit":{"code":1},"phase":{"is":"alive","since":{"secs":5,"nanos":0},"ready_at":null,"stable":false}},"process":{"pid":41,"start":7}}}}"#;
        let text = format!("sereno-state 1 {:08x}\n{body}", checksum(body.as_bytes()));
        let state = parse(text.as_bytes()).expect("readable");
        assert_eq!(state.services["web"].process, Some(Identity { pid: 41, start: 7 }));
    }
}
