//! Who listens on this host, and who has just ceased to.
//!
//! | module | what it holds |
//! |---|---|
//! | `linux` | asks the kernel: it answers for the listeners alone, whatever else is connected |
//! | `linux::diag` | pure: the kernel's messages, as bytes |
//! | `linux::table` | what `/proc/net` says, where the kernel may not be asked |
//! | `macos` | asks the kernel, whose table names all sockets and who used each last |
//! | `pcblist`, `kinfo` | pure: what macOS says of sockets and processes, as bytes |
//! | `none` | systems whose table is not read |
//!
//! The tables of `/proc/net` are the fall-back only: whoever reads them makes the kernel walk through its hash of all
//! connections, which is a millisecond and a half where memory is plenty.

#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(windows)]
mod none;

// Bytes are read everywhere alike, and tried where tests run.
#[cfg(any(target_os = "macos", test))]
mod kinfo;
#[cfg(any(target_os = "macos", test))]
mod pcblist;

use std::net::SocketAddr;

#[cfg(target_os = "linux")]
pub use linux::{Gone, listeners};
#[cfg(target_os = "macos")]
pub use macos::{Gone, Holder, listeners, users};
#[cfg(windows)]
pub use none::{Gone, listeners};

/// One listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// What it is bound to.
    pub local: SocketAddr,
    /// Connections that wait to be accepted.
    pub waiting: u32,
    /// Whose it is.
    pub user: u32,
    /// Its number: on Linux as in `/proc/PID/fd`.
    pub inode: u64,
}
