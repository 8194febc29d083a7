//! The part that each monitor implements: how to check one target once.

use std::future::Future;
use std::time::Duration;

use super::target::{Target, TargetError};

/// Checks targets of certain kinds. The runtime does the scheduling, counting, reporting and requesting.
pub trait Probe: Send + Sync + 'static {
    /// Check kinds that this probe serves.
    const KINDS: &'static [&'static str];
    /// A target prepared for checks, with the state that is kept between checks.
    type Check: Check;

    /// Prepares a target. Called again for each incarnation and each change of what to check.
    fn prepare(&self, target: &Target) -> Result<Self::Check, TargetError>;
}

/// Checks one target. The runtime never runs two checks of one target at once.
pub trait Check: Send + 'static {
    /// Checks once. The runtime drops this future at the target's time-out, and with it all that it holds.
    fn run(&mut self, target: &Target) -> impl Future<Output = Verdict> + Send;

    /// Completes when an event makes a check worthwhile before it is due. Never completes if the probe has
    /// no such events.
    fn news(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Whether the check passed.
    pub passing: bool,
    /// A few words for display: `200`, `own`, `ECONNREFUSED`.
    pub detail: String,
    /// The port belongs to a foreign process: a sure failure, and no reason to restart.
    pub foreign: bool,
    /// The port listens, but its accept queue does not drain.
    pub stalled: bool,
    /// Why the monitor itself could not check (no descriptor, no memory). Says nothing about the target.
    pub own_trouble: Option<String>,
    /// Evidence for a restart.
    pub evidence: Evidence,
}

/// Evidence of a failed check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Summary in one line; if empty, the verdict's detail is used.
    pub summary: String,
    /// Status of an HTTP answer; 0 without an answer.
    pub http_status: u16,
    /// Beginning of the HTTP body.
    pub body_head: Vec<u8>,
    /// Name of the system error, for example `ECONNREFUSED`.
    pub errno: String,
    /// Pid of the process that holds a foreign port.
    pub owner_pid: u32,
    /// Command of that process.
    pub owner_command: String,
}

impl Verdict {
    /// Creates a passing verdict.
    pub fn passing(detail: impl Into<String>) -> Self {
        Self { passing: true, detail: detail.into(), ..Self::default() }
    }

    /// Creates a failing verdict.
    pub fn failing(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..Self::default() }
    }

    /// Creates a failing verdict with the name of a system error.
    pub fn errno(name: &str) -> Self {
        let evidence = Evidence { errno: name.into(), ..Evidence::default() };
        Self { evidence, ..Self::failing(name) }
    }

    /// Creates a failing verdict from a system error, or reports trouble of the monitor itself.
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

    pub(super) fn timed_out(after: Duration) -> Self {
        let mut verdict = Self::errno("ETIMEDOUT");
        verdict.detail = format!("timed out after {after:?}");
        verdict
    }
}

/// Returns the name of a system error, for the errors that a check meets.
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
        // `fork` or thread creation failed for lack of processes or threads.
        Kind::WouldBlock => "EAGAIN",
        Kind::OutOfMemory => "ENOMEM",
        Kind::ArgumentListTooLong => "E2BIG",
        Kind::NotADirectory => "ENOTDIR",
        Kind::ExecutableFileBusy => "ETXTBSY",
        // These have no stable kind, and the numbers depend on the system.
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
