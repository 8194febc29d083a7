//! Lists the listening sockets of this host, and reports those that were just closed.
//!
//! | module | what it holds |
//! |---|---|
//! | `linux` | queries the kernel, which returns only listeners, however many connections exist |
//! | `linux::diag` | pure: encodes and decodes the kernel's messages |
//! | `linux::table` | reads `/proc/net` where the kernel may not be queried |
//! | `macos` | queries the kernel, whose table lists all sockets and the last process to use each |
//! | `pcblist`, `kinfo` | pure: decode macOS's data about sockets and processes |
//! | [`patience`] | looks at other processes, which may never answer |
//! | `none` | systems whose socket table is not supported |
//!
//! The tables of `/proc/net` are only a fallback: reading them makes the kernel walk its hash of all
//! connections, which takes 1.5 ms on a machine with much memory.

#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(windows)]
mod none;

// These parsers are portable and compiled for tests on every system.
#[cfg(any(target_os = "macos", test))]
mod kinfo;
#[cfg(any(target_os = "macos", test))]
mod pcblist;

pub mod patience;

use std::net::SocketAddr;

#[cfg(target_os = "linux")]
pub use linux::{Gone, listeners};
#[cfg(target_os = "macos")]
pub use macos::{Gone, Holder, listeners, users};
#[cfg(windows)]
pub use none::{Gone, listeners};

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Address that it is bound to.
    pub local: SocketAddr,
    /// Number of connections that wait to be accepted.
    pub waiting: u32,
    /// User id of its owner.
    pub user: u32,
    /// Number of the socket: on Linux the inode, as in `/proc/PID/fd`.
    pub inode: u64,
}
