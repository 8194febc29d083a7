//! What Windows has not, or needs not: the words that Linux has for it, so that nobody above asks which system it is.

use std::future::Ready;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Borrowed, Handle};
use crate::os::{Born, Ids, Ooms};

fn refused<T>(why: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

/// Nobody needs it here: a process is in its job before it runs, and a job is found by its name.
#[derive(Debug)]
pub struct Birth;

impl Birth {
    /// Finds nothing.
    pub fn open(_path: &Path) -> io::Result<(Self, Born)> {
        Ok((Self, Born::default()))
    }

    /// Does nothing.
    pub fn expect(&self, _intent: u64) {}
}

/// Asked for held sockets only, of which there are none here.
pub fn duplicate(_handle: &Handle) -> io::Result<Handle> {
    refused("sockets can not be held for a service on Windows")
}

/// There are none here: a job does the same.
#[derive(Debug, Clone)]
pub enum Cgroups {}

/// There is none here.
#[derive(Debug)]
pub enum Cgroup {}

impl Cgroups {
    /// Says why there are none.
    pub fn probe(_instance: &str) -> Result<Self, String> {
        Err("Windows has job objects instead".into())
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
        refused("Windows has no cgroups")
    }

    /// Never.
    pub fn path(&self) -> &Path {
        match *self {}
    }

    /// Never.
    pub fn descriptor(&self) -> Borrowed<'_> {
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

/// Where a service says that it is ready: not here, where `ready` has other ways.
#[derive(Debug)]
pub enum NotifySocket {}

impl NotifySocket {
    /// Nowhere.
    pub fn address(_folder: &Path, _instance: &str, _stem: &str, _other_user: bool) -> String {
        String::new()
    }

    /// There is none.
    pub fn bind(_address: &str, _ids: Option<&Ids>) -> io::Result<Self> {
        refused("Windows has no notify socket; use another ready")
    }

    /// Nothing is there.
    pub fn identity_at(_address: &str) -> Option<(u64, u64)> {
        None
    }

    /// There is nothing to remove.
    pub fn remove(_address: &str) {}

    /// There is none.
    pub fn take_over(_socket: Handle, _address: &str) -> Option<Self> {
        None
    }

    /// Never.
    pub fn receive(&self) -> Ready<io::Result<(String, Option<u32>)>> {
        match *self {}
    }
}

/// No program here knows what to do with a socket that was opened for it.
pub fn listen(_address: SocketAddr) -> io::Result<Handle> {
    refused("held sockets are not in this version on Windows")
}

/// There is none to leave open.
pub fn leave_open(handle: Handle) -> io::Result<i32> {
    drop(handle);
    refused("held sockets are not in this version on Windows")
}

/// None was left open.
pub fn take_over(_number: i32) -> io::Result<Handle> {
    refused("held sockets are not in this version on Windows")
}

/// Nobody needs it here: a lock file that is open can not be deleted, nor a folder above it moved.
#[derive(Debug, Default)]
pub struct PathWatch(());

impl PathWatch {
    /// Watches nothing.
    pub fn of(_paths: &[&Path]) -> io::Result<Self> {
        Ok(Self(()))
    }

    /// Never returns.
    pub async fn changed(&self) {
        std::future::pending::<()>().await;
    }

    /// None.
    pub fn lost(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::empty()
    }
}
