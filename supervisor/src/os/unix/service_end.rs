//! What the runs of a service write to.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::OFlags;

/// The end of an output that the runs of a service write to. Each has a copy, and the last copy is closed by the threads
/// of the logs, because closing a pipe can take as long as a service wants.
#[derive(Debug)]
pub struct ServiceEnd(OwnedFd);

impl ServiceEnd {
    pub(crate) fn new(end: OwnedFd) -> Self {
        Self(end)
    }

    /// Returns a copy for a run, with the flags as at the beginning: they are those of all copies.
    pub fn hand_out(&self) -> io::Result<OwnedFd> {
        rustix::fs::fcntl_setfl(&self.0, OFlags::empty())?;
        self.0.try_clone()
    }

    /// Returns another copy of this end.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }
}
