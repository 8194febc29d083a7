//! The one module that names operating-system calls, behind the same few functions for every system.
//!
//! | what | Linux | macOS | Windows |
//! |---|---|---|---|
//! | [`spawn`] | own `clone3` with vfork semantics, into a session and a cgroup of its own | fork and exec, into a session | suspended, into a job object, resumed |
//! | [`Process`] | pidfd; identity is pid and start time | kqueue; the same identity | process handle; identity is pid and creation time |
//! | [`Tree`] | group, cgroup, orphans by mark | group, orphans by mark and FIFO | the job |
//! | [`scan`] | `/proc/*/environ` and FIFOs | `KERN_PROCARGS2` and FIFOs | the jobs of this home |
//! | [`pipe`] | FIFOs, moved into files by `splice` | FIFOs, by read and write | pipes that the supervisor owns |
//! | [`stranger_on`] | `/proc/net/tcp`, `/proc/*/fd` | `pcblist_n` | `GetExtendedTcpTable` |
//! | [`Alarm`] | `timerfd` of the wall clock | a sleep of at most a minute | a sleep of at most a minute |
//! | [`Lock`] | `flock` | `flock` | an exclusively opened file |
//!
//! Nothing outside says `cfg(unix)` or `cfg(windows)`; `unsafe` is allowed only below here.

#![allow(unsafe_code)]

pub mod signal;

#[cfg(target_os = "linux")]
mod linux;
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
pub use macos::*;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
compile_error!(
    "Sereno's supervisor runs on Linux, macOS and Windows in this version; other systems want a folder in supervisor/src/os"
);

use std::ffi::CString;
use std::path::PathBuf;
use std::time::Duration;

/// Who a process is: a pid alone may by now be somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// Its pid.
    pub pid: u32,
    /// When it started, in the system's own unit.
    pub start: u64,
}

/// Everything about a process to be, ready to use: nothing is looked up or allocated between here and its start.
#[derive(Debug)]
pub struct Launch {
    /// The program, absolute.
    pub program: CString,
    /// Its arguments, from argument 0.
    pub args: Vec<CString>,
    /// Its whole environment, `NAME=value`.
    pub env: Vec<CString>,
    /// Where it runs.
    pub cwd: CString,
    /// File mode creation mask; `None`: the supervisor's.
    pub umask: Option<u32>,
    /// Priority; `None`: the supervisor's.
    pub nice: Option<i32>,
    /// Resource limits by number; `None` is unlimited.
    pub limits: Vec<(u32, Option<u64>)>,
    /// User, group and supplementary groups; `None`: the supervisor's own.
    pub ids: Option<Ids>,
    /// What it can not have or gain.
    pub confine: Confine,
    /// Whether it is told its own pid as `LISTEN_PID`, for the sockets handed over from descriptor 3 on.
    pub listens: bool,
}

/// Whom a process runs as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// What a process and all that it starts can not have or gain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confine {
    /// The capabilities that it can have at all, by their bits; `None`: all that we have.
    pub capabilities: Option<u64>,
    /// A setuid program gives it nothing.
    pub no_new_privileges: bool,
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {cause}")]
pub struct SpawnError {
    /// What could not be done, with what.
    pub step: String,
    /// Why.
    pub cause: std::io::Error,
    /// It failed before there was a process of the service's own.
    pub ours: bool,
}

/// Why something in the folder of a log is not opened.
#[derive(Debug, thiserror::Error)]
pub enum LogPathError {
    /// Something else stands where a file should.
    #[error("{0} is in its place, not a file")]
    NoFile(&'static str),
    /// The file has another name, which may be one that the service may not open.
    #[error("it has more than one name (hard links): only a file of its own is taken")]
    HardLink,
    /// It is replaced all the time.
    #[error("it was replaced while it was opened, again and again")]
    Restless,
    /// Something else stands where a folder should.
    #[error("{0} is no folder")]
    NoFolder(PathBuf),
    /// The folder was made by somebody else, or others can write in it.
    #[error("{0} is not a folder of ours that nobody else can write in")]
    ForeignFolder(PathBuf),
    /// A link on the way to the folder is not followed.
    #[error("{path} {cause}")]
    Link {
        /// Where it stands.
        path: PathBuf,
        /// Why not.
        cause: sereno_config::LinkRefused,
    },
}

impl From<LogPathError> for std::io::Error {
    fn from(error: LogPathError) -> Self {
        Self::other(error)
    }
}

/// What stands in the file in which a child writes its pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Born {
    /// Which intent it is about.
    pub intent: u64,
    /// The child; 0: it has not come about, or nobody wrote it down.
    pub pid: u32,
}

/// A process that a scan found to belong to a service of this home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Who.
    pub identity: Identity,
    /// Of which service.
    pub service: String,
    /// Of which run; 0 where only a FIFO told.
    pub incarnation: u64,
    /// Whether it can be the leader of a run: whoever it started and that stayed in its group can not.
    pub leads: bool,
    /// Who started it, as the system tells: anybody can carry the mark of a service. `None`: nobody else can.
    pub user: Option<u32>,
}

/// Somebody who listens where a service wants to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Its pid; 0: it may not be looked at.
    pub pid: u32,
    /// Its command.
    pub command: String,
    /// Whose process it is.
    pub user: u32,
    /// The service of this home that it belongs to.
    pub service: Option<String>,
    /// How long it has been there.
    pub age: Option<Duration>,
    /// Where it runs.
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

/// `3 days`: as a person says it who does not need to know exactly.
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

/// One look at the processes of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Stands for who they are and all the CPU time they have used: it changes if any of that does.
    pub used: u64,
    /// Resident memory of all together, in bytes.
    pub memory: u64,
    /// Who of them can not go on, in words.
    pub stuck: Vec<String>,
}

/// What the kernel killed for want of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ooms {
    /// Whether the limit of the service itself was reached, and not only the end of the host's memory.
    pub at_limit: bool,
    /// Processes.
    pub killed: u64,
}

/// The variable that marks every process of a service: `<instance>/<service>/<incarnation>`.
pub const MARK: &str = "SERENO_UNIT";

/// What [`MARK`] is set to.
pub fn mark(instance: &str, service: &str, incarnation: u64) -> String {
    format!("{instance}/{service}/{incarnation}")
}

/// Home's folders and files are only the owner's.
pub fn private_dir(path: &std::path::Path) -> std::io::Result<PathBuf> {
    create_private_dir(path)?;
    Ok(path.to_path_buf())
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
