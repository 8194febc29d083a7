//! What is wrong here, and what to do about it. Each look is small, reads and changes nothing.
//!
//! | module | what it looks at |
//! |---|---|
//! | [`mod@file`] | the file: its errors, and what it names that is not there |
//! | [`daemons`] | programs, versions, sockets, monitors |
//! | [`certificates`] | those that have ended, or soon will |
//! | [`ports`] | who holds a port that a service wants |
//! | [`host`] | disk, file system, limits, kernel, cgroups, pipes |

pub(crate) mod certificates;
pub(crate) mod daemons;
pub(crate) mod file;
pub(crate) mod host;
pub(crate) mod ports;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Looked at, and well.
    Ok,
    /// Good to know; nothing has to be done.
    Note,
    /// Something will not work.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Finding {
    /// What was looked at; stable.
    pub(crate) about: &'static str,
    pub(crate) level: Level,
    /// What was found.
    pub(crate) found: String,
    /// What to do; empty where nothing has to be done.
    pub(crate) fix: String,
}

/// It is well.
pub(crate) fn well(about: &'static str, found: impl Into<String>) -> Finding {
    Finding { about, level: Level::Ok, found: found.into(), fix: String::new() }
}

/// Good to know.
pub(crate) fn note(about: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { about, level: Level::Note, found: found.into(), fix: fix.into() }
}

/// It is wrong.
pub(crate) fn wrong(about: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { about, level: Level::Wrong, found: found.into(), fix: fix.into() }
}
