//! What stands around the work of a daemon, the same for all of them. Nothing here listens or connects.
//!
//! | module | what it holds |
//! |---|---|
//! | `runtime` | [`runtime()`]: one thread, and a few for what blocks |
//! | [`settings`] | a daemon's own table: defaults < file < environment < flags |
//! | [`logging`] | `tracing` into a file that rotates itself and never blocks the daemon |
//! | [`shutdown`] | [`Shutdown`]: one switch that everything watches |
//! | `init` | [`SdNotify`]: saying to the init system that a daemon is ready, lives, and goes |
//! | [`cgroup`] | where a process is among the cgroups of version 2 |

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
