//! How the supervisor was started, stored beside its state, so that a guard can start it in the same way.
//! It holds an environment, so the supervisor writes it as a file that only its owner can read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use sereno_config::Home;

/// How the supervisor was started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Launch {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Working directory at the start.
    pub cwd: PathBuf,
    /// Environment, without variables meant for a single process.
    pub env: BTreeMap<String, String>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// Folder of the supervisor's cgroup (v2).
    pub cgroup: Option<PathBuf>,
    /// Limit of open files before the supervisor raised it; `None` if it was not raised.
    pub descriptors: Option<u64>,
    /// An init system restarts the supervisor.
    pub under_init: bool,
    /// Whether `[supervisor] guard` is on.
    pub guard: bool,
    /// `[supervisor] guard.hang`, in milliseconds.
    pub hang: u64,
    /// Monitors and guards that may restart the supervisor, in the order in which they try.
    pub guards: Vec<String>,
}

/// Variables meant for a single process, which are not passed on.
const NOT_HANDED_ON: [&str; 5] =
    ["NOTIFY_SOCKET", "SERENO_LISTEN", "SERENO_MONITOR", "SERENO_SUPERVISOR", "SERENO_UNIT"];

impl Launch {
    /// Returns the path of the file.
    pub fn path(home: &Home) -> PathBuf {
        home.state().join("launch.json")
    }

    /// Reads the file of this home.
    pub fn read(home: &Home) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(Self::path(home))?)?)
    }

    /// Returns the content of the file.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// Whether a variable is passed on to the next supervisor.
    pub fn hands_on(name: &str) -> bool {
        !NOT_HANDED_ON.contains(&name) && !name.starts_with("LISTEN_") && !name.starts_with("WATCHDOG_")
    }

    /// Whether a guard restarts a supervisor that died.
    pub fn is_guarded(&self) -> bool {
        self.guard && !self.under_init
    }

    /// Returns how long the supervisor may be silent.
    pub fn hang(&self) -> Duration {
        Duration::from_millis(self.hang)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn is_read_as_it_was_written_also_by_an_older_or_newer_program() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::at(folder.path());
        fs::create_dir(home.state()).expect("made");
        let launch = Launch {
            program: "/usr/bin/supervisor".into(),
            env: [("PATH".to_string(), "/bin".to_string())].into(),
            guard: true,
            hang: 1500,
            ..Launch::default()
        };
        fs::write(Launch::path(&home), launch.to_bytes().expect("text")).expect("written");
        assert_eq!(Launch::read(&home).expect("read"), launch);
        assert!(launch.is_guarded() && !Launch { under_init: true, ..launch.clone() }.is_guarded());
        assert_eq!(launch.hang(), Duration::from_millis(1500));
        fs::write(Launch::path(&home), r#"{"program": "/x", "later": 1}"#).expect("written");
        let read = Launch::read(&home).expect("unknown keys are survived");
        assert_eq!((read.program.as_path(), read.is_guarded()), (Path::new("/x"), false));
    }

    #[test]
    fn what_is_meant_for_one_process_is_not_handed_on() {
        for name in ["SERENO_UNIT", "SERENO_MONITOR", "NOTIFY_SOCKET", "LISTEN_FDS", "WATCHDOG_USEC"] {
            assert!(!Launch::hands_on(name), "{name}");
        }
        for name in ["PATH", "SERENO_CGROUP", "SERENO_HOME", "MY_LISTEN_PORT"] {
            assert!(Launch::hands_on(name), "{name}");
        }
    }
}
