//! What PM2 was told, told to Sereno: every option is mapped, or listed as dropped with the reason.
//!
//! | module | what it holds |
//! |---|---|
//! | [`source`] | from `.js`, `.json`, `.yml` or `dump.pm2` to a list of apps |
//! | [`options`] | every option of PM2 by all its names, and why some have no place here |
//! | [`pm2`] | one app to one service |
//! | [`restart`], [`script`] | when it is started again; what is run |
//! | [`dump`] | what `pm2 save` wrote, as if somebody had written it |
//! | [`monitors`] | scripts that watched others: they become checks |

mod dump;
mod monitors;
mod options;
pub(crate) mod pm2;
mod restart;
mod script;
pub(crate) mod source;

use std::path::{Path, PathBuf};

use crate::draft::Draft;

/// An option that has no place in `sereno.toml`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Dropped {
    /// Whose; empty: of the file.
    pub(crate) service: String,
    /// Which, with its value where that is short.
    pub(crate) option: String,
    /// Why.
    pub(crate) reason: String,
}

/// What became of a file.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) draft: Draft,
    pub(crate) dropped: Vec<Dropped>,
    /// What is different now, whatever the options.
    pub(crate) notes: Vec<String>,
}

impl Imported {
    fn drop(&mut self, service: &str, option: impl Into<String>, reason: impl Into<String>) {
        self.dropped.push(Dropped { service: service.into(), option: option.into(), reason: reason.into() });
    }
}

/// Where paths begin, there and here.
#[derive(Debug)]
pub(crate) struct Folders {
    /// Of the file that is imported.
    pub(crate) from: PathBuf,
    /// Of the file that is written.
    pub(crate) to: PathBuf,
}

impl Folders {
    /// A path as it is written here: relative where it lies below.
    pub(crate) fn written(&self, path: &Path) -> String {
        let path: PathBuf = tidy(path);
        match path.strip_prefix(&self.to) {
            Ok(below) if below.as_os_str().is_empty() => ".".into(),
            Ok(below) => below.display().to_string(),
            Err(_) => path.display().to_string(),
        }
    }
}

/// Without `.` and `..`, by the text alone.
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
