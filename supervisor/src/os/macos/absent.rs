//! What macOS has not: the words that Linux has for it, so that nobody above asks which system it is.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use crate::os::Ooms;

/// There are none here: a run is its group, its descendants, and who carries its mark or holds its FIFOs.
#[derive(Debug, Clone)]
pub enum Cgroups {}

/// There is none here.
#[derive(Debug)]
pub enum Cgroup {}

impl Cgroups {
    /// Says why there are none.
    pub fn probe(_instance: &str) -> Result<Self, String> {
        Err("macOS has no cgroups".into())
    }

    /// Never.
    pub fn service(&self, _stem: &str) -> io::Result<Cgroup> {
        match *self {}
    }

    /// Never.
    pub fn of(&self, _pid: u32) -> Option<Cgroup> {
        match *self {}
    }

    /// Never.
    pub fn clean_up(&self) {
        match *self {}
    }

    /// Never.
    pub fn limit_memory(&self, _cgroup: &Cgroup, _limit: Option<u64>) -> bool {
        match *self {}
    }
}

impl Cgroup {
    /// There is none.
    pub fn open(_path: PathBuf) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "macOS has no cgroups"))
    }

    /// Never.
    pub fn path(&self) -> &Path {
        match *self {}
    }

    /// Never.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        match *self {}
    }

    /// Never.
    pub fn is_populated(&self) -> bool {
        match *self {}
    }

    /// Never.
    pub fn is_spent(&self) -> bool {
        match *self {}
    }

    /// Never.
    pub fn pids(&self) -> Vec<u32> {
        match *self {}
    }

    /// Never.
    pub fn ooms(&self) -> Ooms {
        match *self {}
    }
}

/// Needs none: memory is looked at.
pub fn make_room_for_limits() {}

/// Nobody does: memory is looked at.
pub fn hold_memory(_instance: &str, _service: &str, _most: Option<u64>) {}
