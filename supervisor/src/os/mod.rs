//! The only module that names operating-system calls, with the same few functions for every system.
//!
//! | what | Linux | macOS | Windows |
//! |---|---|---|---|
//! | [`spawn`] | own `clone3` with vfork semantics, into its own session and cgroup | fork and exec, into a session | suspended, into a job object, resumed |
//! | [`Process`] | pidfd; identity is pid and start time | kqueue; the same identity | process handle; identity is pid and creation time |
//! | [`Tree`] | group, cgroup, orphans by mark | group, orphans by mark and FIFO | the job |
//! | [`scan`] | `/proc/*/environ` and FIFOs | `KERN_PROCARGS2` and FIFOs | the jobs of this home |
//! | [`pipe`] | FIFOs, moved into files by `splice` | FIFOs, by read and write | pipes that the supervisor owns |
//! | [`examine`] | `/proc` of the run's processes and threads | processes and their state | processes |
//! | [`stranger_on`] | `/proc/net/tcp`, `/proc/*/fd` | `pcblist_n` | `GetExtendedTcpTable` |
//! | [`Alarm`] | `timerfd` of the wall clock | a sleep of at most a minute | a sleep of at most a minute |
//! | [`Lock`] | `flock` | `flock` | an exclusively opened file |
//!
//! No code outside uses `cfg(unix)` or `cfg(windows)`; `unsafe` is allowed only in this module.

#![allow(unsafe_code)]

pub mod examination;
pub mod signal;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "linux")]
pub use linux::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub use windows::*;

#[cfg(unix)]
mod unix;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as system;
#[cfg(target_os = "macos")]
pub use macos::*;

#[cfg(not(target_os = "linux"))]
mod absent;
#[cfg(not(target_os = "linux"))]
mod alarm;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
compile_error!(
    "Sereno's supervisor runs on Linux, macOS and Windows in this version; other systems want a folder in supervisor/src/os"
);

use std::ffi::CString;
use std::path::PathBuf;
use std::time::Duration;

/// Identifies a process: the pid alone may belong to another process by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// The process's pid.
    pub pid: u32,
    /// When it started, in the system's own unit.
    pub start: u64,
}

/// Everything about a process to start, ready to use: nothing is looked up or allocated from here to its start.
#[derive(Debug)]
pub struct Launch {
    /// The program's absolute path.
    pub program: CString,
    /// The arguments, from argument 0.
    pub args: Vec<CString>,
    /// The whole environment, as `NAME=value`.
    pub env: Vec<CString>,
    /// The working folder.
    pub cwd: CString,
    /// File mode creation mask; `None`: the supervisor's.
    pub umask: Option<u32>,
    /// Priority; `None`: the supervisor's.
    pub nice: Option<i32>,
    /// Resource limits by number; `None` is unlimited.
    pub limits: Vec<(u32, Option<u64>)>,
    /// User, group and supplementary groups; `None`: the supervisor's own.
    pub ids: Option<Ids>,
    /// Capabilities and privileges that it cannot have or gain.
    pub confine: Confine,
    /// Whether it begins with an empty session keyring, where the system has such, instead of the supervisor's.
    pub own_keyring: bool,
    /// Whether it is given its own pid in `LISTEN_PID`, for sockets handed over from descriptor 3 on.
    pub listens: bool,
}

/// The user and groups that a process runs as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ids {
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
}

/// What a process and everything that it starts cannot have or gain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confine {
    /// The capabilities that it can have at all, by their bits; `None` for all of the supervisor's.
    pub capabilities: Option<u64>,
    /// Whether a setuid program gives it no privileges.
    pub no_new_privileges: bool,
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {cause}")]
pub struct SpawnError {
    /// The step that failed, with its object.
    pub step: String,
    /// The error of the system.
    pub cause: std::io::Error,
    /// Whether it failed before the service had a process of its own.
    pub ours: bool,
}

/// Why a file in a log's folder is not opened.
#[derive(Debug, thiserror::Error)]
pub enum LogPathError {
    /// The path is not a file.
    #[error("{0} is in its place, not a file")]
    NoFile(&'static str),
    /// The file has another name, which may be a file that the service must not open.
    #[error("it has more than one name (hard links): only a file of its own is taken")]
    HardLink,
    /// The file is replaced all the time.
    #[error("it was replaced while it was opened, again and again")]
    Restless,
    /// The path is not a folder.
    #[error("{0} is no folder")]
    NoFolder(PathBuf),
    /// The folder was made by another user, or others can write in it.
    #[error("{0} is not a folder of ours that nobody else can write in")]
    ForeignFolder(PathBuf),
    /// A link on the way to the folder is not followed.
    #[error("{path} {cause}")]
    Link {
        /// The path of the link.
        path: PathBuf,
        /// Why it is not followed.
        cause: sereno_config::LinkRefused,
    },
}

impl From<LogPathError> for std::io::Error {
    fn from(error: LogPathError) -> Self {
        Self::other(error)
    }
}

/// The contents of the file in which a child writes its pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Born {
    /// The number of the intent that it belongs to.
    pub intent: u64,
    /// The child's pid; 0 if it was not started, or did not write its pid.
    pub pid: u32,
}

/// A process that a scan found to belong to a service of this home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The process's identity.
    pub identity: Identity,
    /// The service's name.
    pub service: String,
    /// The run's incarnation; 0 if only a FIFO identified it.
    pub incarnation: u64,
    /// Whether it can be the leader of a run: a child that stayed in its parent's group cannot.
    pub leads: bool,
    /// The user that started it, as the system tells, because any user's process can carry a service's mark. `None`
    /// where no other user's can.
    pub user: Option<u32>,
}

/// What a scan of all processes has found.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// The processes that belong to services of this home.
    pub found: Vec<Marked>,
    /// The processes that did not answer in time, so that nobody knows whose they are.
    pub silent: Vec<Silent>,
}

/// A process whose memory or files could not be looked at in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silent {
    /// The process's identity.
    pub identity: Identity,
    /// The user that started it.
    pub user: Option<u32>,
}

/// A process that listens where a service needs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The process's pid; 0 if it may not be examined.
    pub pid: u32,
    /// The process's command.
    pub command: String,
    /// The user that it runs as.
    pub user: u32,
    /// The service of this home that it belongs to.
    pub service: Option<String>,
    /// How long it has been running.
    pub age: Option<Duration>,
    /// Its working folder.
    pub folder: Option<PathBuf>,
}

impl std::fmt::Display for Stranger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.pid == 0 {
            return write!(f, "a process of another user (uid {})", self.user);
        }
        write!(f, "pid {} `{}`", self.pid, self.command)?;
        if let Some(service) = &self.service {
            write!(f, " of the service {service}")?;
        }
        match self.age {
            Some(age) if age.as_secs() == 0 => f.write_str(", started just now")?,
            Some(age) => write!(f, ", started {} ago", roughly(age))?,
            None => {}
        }
        self.folder.as_ref().map_or(Ok(()), |folder| write!(f, " in {}", folder.display()))
    }
}

/// Formats an age roughly: `3 days`.
fn roughly(age: Duration) -> String {
    let seconds = age.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Facts about the host, read when this process began.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The limits for services: those from before the supervisor raised its own, where the system has any.
    pub limits: Vec<(u32, Option<u64>)>,
}

/// What a round of killing found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing is left.
    Nothing,
    /// This many were still there and have been killed; ask again when they have had time to end.
    Killed(usize),
}

impl Marked {
    /// Kills the process, if it is still the one that was found.
    pub fn kill(&self) {
        if let Some(process) = Process::adopt(self.identity) {
            // A process that is gone is no error, and one that may not be killed is found again by the next scan.
            let _ = process.signal(signal::KILL);
        }
    }
}

/// The result of a look at the processes of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// A digest of the processes and all the CPU time they have used: it changes if any of that does.
    pub used: u64,
    /// Resident memory of all of them, in bytes.
    pub memory: u64,
    /// The processes that are stuck, in words.
    pub stuck: Vec<String>,
}

/// What the kernel killed for lack of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ooms {
    /// Whether the service's own limit was reached, and not only the end of the host's memory.
    pub at_limit: bool,
    /// The number of processes killed.
    pub killed: u64,
}

/// The variable that marks every process of a service: `<instance>/<service>/<incarnation>`.
pub const MARK: &str = "SERENO_UNIT";

/// Returns the value of [`MARK`].
pub fn mark(instance: &str, service: &str, incarnation: u64) -> String {
    format!("{instance}/{service}/{incarnation}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_named_as_a_person_would() {
        let old = Stranger {
            pid: 4711,
            command: "python old.py".into(),
            user: 1000,
            service: None,
            age: Some(Duration::from_secs(3 * 86_400 + 7)),
            folder: Some("/srv/old".into()),
        };
        assert_eq!(old.to_string(), "pid 4711 `python old.py`, started 3 days ago in /srv/old");
        let ours = Stranger { service: Some("api".into()), age: None, folder: None, ..old.clone() };
        assert_eq!(ours.to_string(), "pid 4711 `python old.py` of the service api");
        assert_eq!(Stranger { pid: 0, ..old }.to_string(), "a process of another user (uid 1000)");
        let said = [1, 60, 7_300].map(|seconds| roughly(Duration::from_secs(seconds)));
        assert_eq!(said, ["1 second", "1 minute", "2 hours"]);
    }
}
