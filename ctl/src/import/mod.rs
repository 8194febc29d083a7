//! Converts a PM2 setup to Sereno: every option is mapped, or listed as dropped with the reason.
//!
//! | module | what it holds |
//! |---|---|
//! | [`source`] | from `.js`, `.json`, `.yml` or `dump.pm2` to a list of apps |
//! | [`options`] | all options of PM2 with all their names, and why some have no equivalent |
//! | [`pm2`] | converts one app to one service |
//! | [`restart`], [`script`] | restart options; the command |
//! | [`dump`] | the output of `pm2 save` in the form of a hand-written file |
//! | [`monitors`] | scripts that watched other apps become checks |

mod dump;
mod monitors;
mod options;
pub(crate) mod pm2;
mod restart;
mod script;
pub(crate) mod source;

use std::path::{Path, PathBuf};

use crate::draft::Draft;

/// An option that has no equivalent in `sereno.toml`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Dropped {
    /// Name of the service; empty for an option of the file.
    pub(crate) service: String,
    /// Name of the option, with its value if that is short.
    pub(crate) option: String,
    /// Why it was dropped.
    pub(crate) reason: String,
}

/// Result of an import.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) draft: Draft,
    pub(crate) dropped: Vec<Dropped>,
    /// Differences that do not depend on the options.
    pub(crate) notes: Vec<String>,
}

impl Imported {
    fn drop(&mut self, service: &str, option: impl Into<String>, reason: impl Into<String>) {
        self.dropped.push(Dropped { service: service.into(), option: option.into(), reason: reason.into() });
    }
}

/// Base folders of relative paths.
#[derive(Debug)]
pub(crate) struct Folders {
    /// Folder of the imported file.
    pub(crate) from: PathBuf,
    /// Folder of the written file.
    pub(crate) to: PathBuf,
}

impl Folders {
    /// Returns a path for the written file: relative if it is below that file's folder.
    pub(crate) fn written(&self, path: &Path) -> String {
        let path: PathBuf = tidy(path);
        match path.strip_prefix(&self.to) {
            Ok(below) if below.as_os_str().is_empty() => ".".into(),
            Ok(below) => below.display().to_string(),
            Err(_) => path.display().to_string(),
        }
    }
}

/// Removes `.` and `..` from a path, without looking at the file system.
pub(crate) fn tidy(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(tidy.pop()),
            part => tidy.push(part),
        }
    }
    tidy
}
