//! Nobody is asked to keep anything here: outputs are kept by the services themselves (`outlet`), and jobs have names.

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

/// Keeps nothing.
#[derive(Debug, Clone)]
pub struct FdStores;

impl FdStores {
    /// Never fails.
    pub fn start(_home: &Home) -> io::Result<Self> {
        Ok(Self)
    }

    /// Nothing to keep.
    pub fn process(&self, _service: &str, _process: &Process) {}

    /// Nothing to keep.
    pub fn output(&self, _service: &str, _stream: &str, _output: &Output) {}

    /// Nothing to keep.
    pub fn socket(&self, _service: &str, _name: &str, _address: SocketAddr, _socket: &Handle) {}

    /// Nothing to keep.
    pub fn notify(&self, _service: &str, _socket: &NotifySocket) {}

    /// Nothing is kept.
    pub fn forget(&self, _service: &str) {}

    /// Nothing is kept.
    pub fn closed(&self, _service: &str) {}

    /// Nobody keeps.
    pub fn connect(&self, _monitor: &str) {}

    /// Nobody keeps.
    pub fn connect_all(&self) {}
}

/// Nothing.
#[derive(Debug, Default)]
pub struct StoredFds {}

impl StoredFds {
    /// Nobody is asked.
    pub fn ask(_home: &Home) -> Self {
        Self {}
    }

    /// Nobody knows.
    pub fn process(&self, _service: &str, _identity: Identity) -> Option<Process> {
        None
    }

    /// None.
    pub fn notify(&mut self, _service: &str) -> Option<Handle> {
        None
    }

    /// None.
    pub fn take_sockets(&mut self) -> BTreeMap<(String, String), (SocketAddr, Handle)> {
        BTreeMap::new()
    }
}

/// Nothing that another start would need.
pub fn surroundings(_launch: &mut Launch) {}

/// This program. A file that runs can not be replaced here, only renamed.
pub fn own_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "supervisor.exe".into())
}

/// A guard has started it outside of its own job: there is nothing left to leave.
pub fn come_back(_launch: &Launch) -> io::Result<bool> {
    Ok(true)
}
