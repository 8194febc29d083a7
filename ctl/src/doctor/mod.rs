//! Diagnoses problems on this machine, with remedies. Each check is small and read-only.
//!
//! | module | what it checks |
//! |---|---|
//! | [`mod@file`] | the file: its errors, and what it refers to but does not exist |
//! | [`daemons`] | programs, versions, sockets, monitors |
//! | [`certificates`] | certificates that have expired or will expire soon |
//! | [`ports`] | the process that holds a port that a service needs |
//! | [`host`] | disk, file system, limits, kernel, cgroups, pipes |

pub(crate) mod certificates;
pub(crate) mod daemons;
pub(crate) mod file;
pub(crate) mod host;
pub(crate) mod ports;

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Checked, without a problem.
    Ok,
    /// Information that needs no action.
    Note,
    /// Something will not work.
    Wrong,
}

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Finding {
    /// Subject of the check; stable.
    pub(crate) about: &'static str,
    pub(crate) level: Level,
    /// What was found.
    pub(crate) found: String,
    /// The remedy; empty if no action is needed.
    pub(crate) fix: String,
}

/// Creates a finding without a problem.
pub(crate) fn well(about: &'static str, found: impl Into<String>) -> Finding {
    Finding { about, level: Level::Ok, found: found.into(), fix: String::new() }
}

/// Creates a finding that is only information.
pub(crate) fn note(about: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { about, level: Level::Note, found: found.into(), fix: fix.into() }
}

/// Creates a finding with a problem.
pub(crate) fn wrong(about: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { about, level: Level::Wrong, found: found.into(), fix: fix.into() }
}
