//! Checks TCP ports: is the port open, is it held by the service itself, and does it accept connections?
//!
//! | module | what it holds |
//! |---|---|
//! | [`probe`] | [`PortProbe`]: connects, then evaluates the listener's entry in the system's table |
//! | `connect` | connects to all addresses in parallel; the first success counts |
//! | `closed` | notifications of closed listeners, so that a check need not wait until it is due |
//! | `queue` | pure: whether an accept queue drains |
//! | `sockets` | the system's table of listeners; a separate file on Windows |
//! | `holders` | the process that holds a listener; one file per system |
//!
//! Scheduling, counting, reporting and requesting are done by `sereno_monitor`.

#![forbid(unsafe_code)]

mod closed;
mod connect;
#[cfg(unix)]
#[cfg_attr(target_os = "macos", path = "holders_macos.rs")]
mod holders;
pub mod probe;
mod queue;
#[cfg_attr(windows, path = "sockets_windows.rs")]
mod sockets;

pub use probe::PortProbe;

/// Name of the daemon and of its table.
pub const NAME: &str = "port-monitor";
