//! What survives the supervisor: the state of every service, the write-ahead log that continues it, and the applied
//! file.
//!
//! | file | where | written |
//! |---|---|---|
//! | [`wal`] | `home/run/wal` | around every spawn and before every answer, in blocks that it keeps, without fsync |
//! | `replay` | | the records read back from it |
//! | [`state`] | `home/state/state.json` | its checkpoint, off the hot path: temporary file, fsync, rename |
//! | [`applied`] | `home/state/applied.toml`, `.json` | at `up` and `apply` |
//! | [`added`] | `home/state/added.json` | when a service that no file names is added or removed |
//! | [`launch`] | `home/state/launch.json` | at each start, for the guard that starts it again |
//!
//! The write-ahead log needs no fsync: a SIGKILL does not lose the page cache.

pub mod added;
pub mod applied;
pub mod launch;
mod replay;
pub mod state;
pub mod wal;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::os;

/// Writes a file that only its owner can read, completely or not at all.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    let written = (|| {
        let mut file = os::open_private(&partial)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Renames an unusable file, so that a person can look at it.
pub fn set_aside(path: &Path, why: &str) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    match fs::rename(path, &aside) {
        Ok(()) => tracing::error!(
            path = %path.display(),
            aside = %Path::new(&aside).display(),
            "{why}; set aside, and rebuilt from what runs"
        ),
        Err(error) => tracing::error!(path = %path.display(), %error, "{why}; it could not be set aside"),
    }
}
