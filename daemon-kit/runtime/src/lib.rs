//! The parts around the work of a daemon, the same for all daemons. Nothing here listens or connects.
//!
//! | module | what it holds |
//! |---|---|
//! | `runtime` | [`runtime()`]: one thread for tasks, and a few for blocking work |
//! | [`settings`] | layers a daemon's own table: defaults < file < environment < flags |
//! | [`logging`] | `tracing` into a rotating file, without ever blocking the daemon |
//! | [`shutdown`] | [`Shutdown`]: a switch that all tasks watch |
//! | `sd_notify` | [`SdNotify`]: tells the init system that a daemon is ready, alive, or stopping |
//! | [`cgroup`] | finds the cgroup (version 2) of a process |

#![forbid(unsafe_code)]

pub mod cgroup;
pub mod logging;
mod runtime;
mod sd_notify;
pub mod settings;
pub mod shutdown;

pub use runtime::runtime;
pub use sd_notify::SdNotify;
pub use shutdown::Shutdown;
