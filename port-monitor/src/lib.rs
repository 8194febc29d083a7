//! Watches TCP ports: does somebody listen, is it the service itself, and does it accept?
//!
//! | module | what it holds |
//! |---|---|
//! | [`probe`] | [`PortProbe`]: connect, then judge what the system's table says of the listener |
//! | `connect` | all addresses side by side, the first success counts |
//! | `closed` | the kernel says that a listener was closed: no waiting for the next check |
//! | `queue` | pure: does an accept queue drain |
//! | `sockets` | the system's table of listeners; a file of its own on Windows |
//! | `holders` | who holds a listener; one file for each system |
//!
//! When to check, count, report and ask is the runtime's: `sereno_monitor`.

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

/// The daemon's name, and its table's.
pub const NAME: &str = "port-monitor";
