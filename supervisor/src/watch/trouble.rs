//! Why files are not watched, and what to do about it.

use std::io;
use std::path::PathBuf;

use notify::ErrorKind;

use super::dir_watcher::MOST_FOLDERS;

/// Why some files of a service are not watched. Paths are as its settings name them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The thread cannot take the rights of the service's user.
    #[error("the rights of its user can not be taken: {0}")]
    Rights(String),
    /// A path does not exist.
    #[error("{0} is not there; watched as soon as it is")]
    Missing(String),
    /// A path cannot be looked at.
    #[error("{0} can not be looked at; watched as soon as it is")]
    Hidden(String),
    /// A folder cannot be listed.
    #[error("{0} can not be looked at: {1}")]
    Unlisted(String, String),
    /// The service has too many folders.
    #[error("more than {MOST_FOLDERS} folders at {0}: ignore some")]
    TooManyFolders(String),
    /// A folder is listed, and is missing at each look.
    #[error("{} comes and goes while it is looked at", .0.display())]
    ComesAndGoes(PathBuf),
    /// The user may not watch more folders.
    #[error(
        "too many folders for this system: ignore some, or `sysctl fs.inotify.max_user_watches=524288`, then `ctl apply`"
    )]
    MaxFolders,
    /// The user may not have more watchers.
    #[error(
        "too many watchers on this system: `sysctl fs.inotify.max_user_instances=512`, then restart Sereno"
    )]
    MaxWatchers,
    /// The system's watcher failed in another way.
    #[error("{0}")]
    System(String),
}

impl From<&notify::Error> for Trouble {
    fn from(error: &notify::Error) -> Self {
        /// "Too many open files": the limit of watchers for this user, which is reached first.
        const EMFILE: i32 = 24;
        match &error.kind {
            ErrorKind::MaxFilesWatch => Self::MaxFolders,
            ErrorKind::Io(error) if error.raw_os_error() == Some(EMFILE) => Self::MaxWatchers,
            ErrorKind::Io(error) => Self::System(plain(error)),
            _ => Self::System(error.to_string()),
        }
    }
}

/// Returns an error of the system without its number.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
