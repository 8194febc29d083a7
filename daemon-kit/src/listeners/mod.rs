//! Who listens on this host, and who has just ceased to.
//!
//! | module | what it holds |
//! |---|---|
//! | `linux` | asks the kernel: it answers for the listeners alone, whatever else is connected |
//! | `linux::diag` | pure: the kernel's messages, as bytes |
//! | `linux::table` | what `/proc/net` says, where the kernel may not be asked |
//! | `none` | systems whose table is not read |
//!
//! The tables of `/proc/net` are the fall-back only: whoever reads them makes the kernel walk through its hash of all
//! connections, which is a millisecond and a half where memory is plenty.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
#[path = "none.rs"]
mod linux;

use std::net::SocketAddr;

pub use linux::{Gone, listeners};

/// One listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// What it is bound to.
    pub local: SocketAddr,
    /// Connections that wait to be accepted.
    pub waiting: u32,
    /// Whose it is.
    pub user: u32,
    /// Its number, as in `/proc/PID/fd`.
    pub inode: u64,
}
