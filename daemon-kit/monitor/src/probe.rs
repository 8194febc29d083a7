//! What a monitor brings: how to look at one target, once.

use std::future::Future;
use std::time::Duration;

use super::target::{Target, TargetError};

/// Knows how to check targets of some kinds. Schedule, counting, reporting and asking are the runtime's.
pub trait Probe: Send + Sync + 'static {
    /// The check kinds it serves.
    const KINDS: &'static [&'static str];
    /// One target made ready to be checked, with what its checks remember of each other.
    type Check: Check;

    /// Makes a target ready. Called anew for each incarnation and each change of what is to be checked.
    fn prepare(&self, target: &Target) -> Result<Self::Check, TargetError>;
}

/// Looks at one target. The runtime never has two looks at one target in flight.
pub trait Check: Send + 'static {
    /// Looks once. The runtime drops this future when the target's time-out is over: whatever it holds goes with it.
    fn run(&mut self, target: &Target) -> impl Future<Output = Verdict> + Send;

    /// Ends when something happened that makes a look worth while before it is due. A probe that can not know never does.
    fn news(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Whether all is well.
    pub passing: bool,
    /// For a person, a few words: `200`, `own`, `ECONNREFUSED`.
    pub detail: String,
    /// The port belongs to somebody else: a sure failure, and no reason to restart.
    pub foreign: bool,
    /// It listens, but its accept queue does not drain.
    pub stalled: bool,
    /// The monitor could not look (no descriptor, no memory) and why: says nothing about the target.
    pub own_trouble: Option<String>,
    /// What a restart would be justified by.
    pub evidence: Evidence,
}

/// What a failed check has to show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// One line; empty: the verdict's detail says it all.
    pub summary: String,
    /// Status of an HTTP answer; 0: none.
    pub http_status: u16,
    /// The beginning of its body.
    pub body_head: Vec<u8>,
    /// Name of the system's error, as `ECONNREFUSED`.
    pub errno: String,
    /// Who holds a foreign port.
    pub owner_pid: u32,
    /// Its command.
    pub owner_command: String,
}

impl Verdict {
    /// All is well.
    pub fn passing(detail: impl Into<String>) -> Self {
        Self { passing: true, detail: detail.into(), ..Self::default() }
    }

    /// It is not.
    pub fn failing(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..Self::default() }
    }

    /// It is not, by an error of the system: its name where it has one, else its words.
    pub fn errno(name: &str) -> Self {
        let evidence = Evidence { errno: name.into(), ..Evidence::default() };
        Self { evidence, ..Self::failing(name) }
    }

    /// It failed by an error of the system, or the monitor itself was in trouble.
    pub fn of_error(error: &std::io::Error) -> Self {
        let words = error.to_string();
        match errno_name(error) {
            Some("EAGAIN" | "EMFILE" | "ENFILE" | "ENOMEM") => {
                Self { own_trouble: Some(words.clone()), ..Self::failing(words) }
            }
            Some(name) => Self::errno(name),
            None => Self::failing(words),
        }
    }

    /// The time was over.
    pub(super) fn timed_out(after: Duration) -> Self {
        let mut verdict = Self::errno("ETIMEDOUT");
        verdict.detail = format!("timed out after {after:?}");
        verdict
    }
}

/// The name of a system error, for those that a check meets.
pub fn errno_name(error: &std::io::Error) -> Option<&'static str> {
    use std::io::ErrorKind as Kind;
    Some(match error.kind() {
        Kind::ConnectionRefused => "ECONNREFUSED",
        Kind::ConnectionReset => "ECONNRESET",
        Kind::ConnectionAborted => "ECONNABORTED",
        Kind::TimedOut => "ETIMEDOUT",
        Kind::HostUnreachable => "EHOSTUNREACH",
        Kind::NetworkUnreachable => "ENETUNREACH",
        Kind::NetworkDown => "ENETDOWN",
        Kind::AddrNotAvailable => "EADDRNOTAVAIL",
        Kind::BrokenPipe => "EPIPE",
        Kind::NotConnected => "ENOTCONN",
        Kind::PermissionDenied => "EACCES",
        Kind::NotFound => "ENOENT",
        // No process or thread more.
        Kind::WouldBlock => "EAGAIN",
        Kind::OutOfMemory => "ENOMEM",
        Kind::ArgumentListTooLong => "E2BIG",
        Kind::NotADirectory => "ENOTDIR",
        Kind::ExecutableFileBusy => "ETXTBSY",
        // No stable kind, and the numbers are the system's own.
        _ if cfg!(target_os = "linux") => match error.raw_os_error()? {
            8 => "ENOEXEC",
            23 => "ENFILE",
            24 => "EMFILE",
            97 => "EAFNOSUPPORT",
            _ => return None,
        },
        _ if cfg!(target_os = "macos") => match error.raw_os_error()? {
            8 => "ENOEXEC",
            23 => "ENFILE",
            24 => "EMFILE",
            47 => "EAFNOSUPPORT",
            _ => return None,
        },
        _ => return None,
    })
}
