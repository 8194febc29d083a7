//! Systems whose socket table this version does not support.

use std::io;

use super::Listener;

/// Returns no listeners on this system.
pub fn listeners() -> Vec<Listener> {
    Vec::new()
}

/// Reports closed sockets; not supported on this system.
#[derive(Debug)]
pub struct Gone;

impl Gone {
    /// Fails: not supported on this system.
    pub fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never completes on this system.
    pub async fn ports(&self) -> io::Result<Vec<u16>> {
        std::future::pending().await
    }
}
