//! Nothing is stored here: the services themselves keep their outputs (`outlet`), and jobs have names.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use sereno_config::Home;
use sereno_guard::launch::Launch;

use super::handle::Handle;
use super::pipe::Output;
use super::process::Process;
use crate::os::{Identity, NotifySocket};

/// A stand-in that stores nothing.
#[derive(Debug, Clone)]
pub struct FdStores;

impl FdStores {
    /// Never fails: no thread is needed.
    pub fn start(_home: &Home) -> io::Result<Self> {
        Ok(Self)
    }

    /// Does nothing: nothing is stored.
    pub fn process(&self, _service: &str, _process: &Process) {}

    /// Does nothing: nothing is stored.
    pub fn output(&self, _service: &str, _stream: &str, _output: &Output) {}

    /// Does nothing: nothing is stored.
    pub fn socket(&self, _service: &str, _name: &str, _address: SocketAddr, _socket: &Handle) {}

    /// Does nothing: nothing is stored.
    pub fn notify(&self, _service: &str, _socket: &NotifySocket) {}

    /// Does nothing: nothing is stored.
    pub fn forget(&self, _service: &str) {}

    /// Does nothing: nothing is stored.
    pub fn closed(&self, _service: &str) {}

    /// Does nothing: there are no fd stores.
    pub fn connect(&self, _monitor: &str) {}

    /// Does nothing: there are no fd stores.
    pub fn connect_all(&self) {}
}

/// A stand-in that is always empty.
#[derive(Debug, Default)]
pub struct StoredFds {}

impl StoredFds {
    /// Returns an empty set without asking.
    pub fn ask(_home: &Home) -> Self {
        Self {}
    }

    /// Always `None`: nothing was stored.
    pub fn process(&self, _service: &str, _identity: Identity) -> Option<Process> {
        None
    }

    /// Always `None`: nothing was stored.
    pub fn notify(&mut self, _service: &str) -> Option<Handle> {
        None
    }

    /// Always empty: nothing was stored.
    pub fn take_sockets(&mut self) -> BTreeMap<(String, String), (SocketAddr, Handle)> {
        BTreeMap::new()
    }
}

/// Records nothing: another start needs no more.
pub fn surroundings(_launch: &mut Launch) {}

/// Returns this program's path. The file of a running program cannot be replaced here, only renamed.
pub fn own_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "supervisor.exe".into())
}

/// Does nothing: a guard has started this process outside of the guard's job.
pub fn come_back(_launch: &Launch) -> io::Result<bool> {
    Ok(true)
}
