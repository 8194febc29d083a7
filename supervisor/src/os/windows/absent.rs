//! Stand-ins for what Windows lacks or does not need, with Linux's names, so that no code above depends on the system.

use std::future::Ready;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Handle;
use crate::os::{Born, Ids};

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

/// Never called: held sockets do not exist here.
pub fn listens(_handle: &Handle) -> bool {
    true
}

/// Always fails: called for held sockets only, which do not exist here.
pub fn duplicate(_handle: &Handle) -> io::Result<Handle> {
    refused("sockets can not be held for a service on Windows")
}

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
    pub fn receive(&self) -> Ready<io::Result<(String, Option<u32>, std::time::Duration)>> {
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
