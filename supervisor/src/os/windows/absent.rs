//! Stand-ins for what Windows lacks or does not need, with Linux's names, so that no code above depends on the system.

use std::future::Ready;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Borrowed, Handle};
use crate::os::{Born, Ids, Ooms};

fn refused<T>(why: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

/// Not needed here: a process is in its job before it runs, and a job is found by its name.
#[derive(Debug)]
pub struct Birth;

impl Birth {
    /// Always finds an empty record.
    pub fn open(_path: &Path) -> io::Result<(Self, Born)> {
        Ok((Self, Born::default()))
    }

    /// Does nothing: no record is needed.
    pub fn expect(&self, _intent: u64) {}
}

/// Always fails: called for held sockets only, which do not exist here.
pub fn duplicate(_handle: &Handle) -> io::Result<Handle> {
    refused("sockets can not be held for a service on Windows")
}

/// Never exists on Windows: a job does the same.
#[derive(Debug, Clone)]
pub enum Cgroups {}

/// Never exists on Windows.
#[derive(Debug)]
pub enum Cgroup {}

/// Why cgroups are not used.
#[derive(Debug, thiserror::Error)]
#[error("Windows has job objects instead")]
pub struct NoCgroups;

impl Cgroups {
    /// Always fails, with the reason.
    pub fn probe(_instance: &str) -> Result<Self, NoCgroups> {
        Err(NoCgroups)
    }

    /// Never called: there is no value.
    pub fn service(&self, _stem: &str) -> io::Result<Cgroup> {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn of(&self, _pid: u32) -> Option<Cgroup> {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn clean_up(&self) {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn limit_memory(&self, _cgroup: &Cgroup, _limit: Option<u64>) -> bool {
        match *self {}
    }
}

impl Cgroup {
    /// Always fails: there are no cgroups.
    pub fn open(_path: PathBuf) -> io::Result<Self> {
        refused("Windows has no cgroups")
    }

    /// Never called: there is no value.
    pub fn path(&self) -> &Path {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn descriptor(&self) -> Borrowed<'_> {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn is_populated(&self) -> bool {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn is_spent(&self) -> bool {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn pids(&self) -> Vec<u32> {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn ooms(&self) -> Ooms {
        match *self {}
    }
}

/// Does nothing: memory is sampled.
pub fn make_room_for_limits() {}

/// Never exists on Windows: services report readiness in other ways.
#[derive(Debug)]
pub enum NotifySocket {}

impl NotifySocket {
    /// Returns an empty address.
    pub fn address(_folder: &Path, _instance: &str, _stem: &str, _other_user: bool) -> String {
        String::new()
    }

    /// Always fails: there are no notify sockets.
    pub fn bind(_address: &str, _ids: Option<&Ids>) -> io::Result<Self> {
        refused("Windows has no notify socket; use another ready")
    }

    /// Returns `None`, as there are no sockets.
    pub fn identity_at(_address: &str) -> Option<(u64, u64)> {
        None
    }

    /// Does nothing, as there are no sockets.
    pub fn remove(_address: &str) {}

    /// Returns `None`, as there are no sockets.
    pub fn take_over(_socket: Handle, _address: &str) -> Option<Self> {
        None
    }

    /// Never called: there is no value.
    pub fn receive(&self) -> Ready<io::Result<(String, Option<u32>)>> {
        match *self {}
    }
}

/// Always fails: no program here can use a socket that was opened for it.
pub fn listen(_address: SocketAddr) -> io::Result<Handle> {
    refused("held sockets are not in this version on Windows")
}

/// Always fails: there are no held sockets.
pub fn leave_open(handle: Handle) -> io::Result<i32> {
    drop(handle);
    refused("held sockets are not in this version on Windows")
}

/// Always fails: there are no held sockets.
pub fn take_over(_number: i32) -> io::Result<Handle> {
    refused("held sockets are not in this version on Windows")
}

/// Not needed here: an open lock file cannot be deleted, nor a folder above it moved.
#[derive(Debug, Default)]
pub struct PathWatch(());

impl PathWatch {
    /// Watches nothing, successfully.
    pub fn of(_paths: &[&Path]) -> io::Result<Self> {
        Ok(Self(()))
    }

    /// Never returns: nothing is watched.
    pub async fn changed(&self) {
        std::future::pending::<()>().await;
    }

    /// Returns nothing: no path can be lost.
    pub fn lost(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::empty()
    }
}

/// Not needed here: a service can not hold up whoever reads its output.
#[derive(Debug)]
pub struct StallTimer;

impl StallTimer {
    /// Whether a service can hold up a thread of this process on this system.
    pub const IS_NEEDED: bool = false;

    /// Makes the timer.
    pub fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Does nothing: it never rings.
    pub fn set(&self, _after: std::time::Duration) {}

    /// Always `false`: it never rings.
    pub fn rings(&self) -> bool {
        false
    }
}

/// Always `false`: opening a pipe does not wait here.
pub fn is_opening_stuck() -> bool {
    false
}
