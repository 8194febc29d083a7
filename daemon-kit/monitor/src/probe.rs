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
    /// Why this check could not be made, although others may be: a lack or a rule of this host. Nothing is known of the
    /// target then.
    pub hindered: Option<String>,
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
            Some("EAGAIN" | "EMFILE" | "ENFILE" | "ENOMEM" | "ENOBUFS") => {
                Self { own_trouble: Some(words.clone()), ..Self::failing(words) }
            }
            // No port is left for a connection, or a rule of this host forbids it.
            Some(name @ ("EADDRNOTAVAIL" | "EADDRINUSE" | "EPERM")) => {
                Self::hindered(format!("{name}: {words}"))
            }
            Some(name) => Self::errno(name),
            None => Self::failing(words),
        }
    }

    /// Creates a verdict that says nothing about the target, with the reason.
    pub fn hindered(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { hindered: Some(why.clone()), ..Self::failing(format!("not checked: {why}")) }
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
    /// The same number on every Unix. Its kind is that of `EACCES` too, which is the target's fault.
    const EPERM: i32 = 1;
    if cfg!(unix) && error.raw_os_error() == Some(EPERM) {
        return Some("EPERM");
    }
    Some(match error.kind() {
        Kind::ConnectionRefused => "ECONNREFUSED",
        Kind::ConnectionReset => "ECONNRESET",
        Kind::ConnectionAborted => "ECONNABORTED",
        Kind::TimedOut => "ETIMEDOUT",
        Kind::HostUnreachable => "EHOSTUNREACH",
        Kind::NetworkUnreachable => "ENETUNREACH",
        Kind::NetworkDown => "ENETDOWN",
        Kind::AddrNotAvailable => "EADDRNOTAVAIL",
        Kind::AddrInUse => "EADDRINUSE",
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
            105 => "ENOBUFS",
            _ => return None,
        },
        _ if cfg!(target_os = "macos") => match error.raw_os_error()? {
            8 => "ENOEXEC",
            23 => "ENFILE",
            24 => "EMFILE",
            47 => "EAFNOSUPPORT",
            55 => "ENOBUFS",
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_this_host_lacks_is_no_failure_of_a_target() {
        let of = |number| {
            let verdict = Verdict::of_error(&io::Error::from_raw_os_error(number));
            (verdict.own_trouble.is_some(), verdict.hindered.is_some())
        };
        // EAGAIN, ENOMEM, ENFILE, EMFILE, ENOBUFS.
        for lacks in [11, 12, 23, 24, 105] {
            assert_eq!(of(lacks), (true, false), "{lacks}");
        }
        // EPERM, EADDRINUSE, EADDRNOTAVAIL.
        for hinders in [1, 98, 99] {
            assert_eq!(of(hinders), (false, true), "{hinders}");
        }
        // ENOENT, ENOEXEC, EACCES, ENETUNREACH, ECONNRESET, ECONNREFUSED.
        for fault in [2, 8, 13, 101, 104, 111] {
            assert_eq!(of(fault), (false, false), "{fault}");
        }
    }
}
