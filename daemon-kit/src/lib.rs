//! What every daemon does the same way, in rooms that can be had apart.
//!
//! | room | feature | what it holds |
//! |---|---|---|
//! | `home` | always | where everything of one Sereno lies on disk |
//! | `cgroup` | always | where a process is among the cgroups of version 2 |
//! | `access` | `access` | who somebody is: tokens, certificates, secrets on disk |
//! | `file` | `file` | the whole `sereno.toml`: parse, defaults, errors with positions |
//! | `chassis` | `chassis` | settings, logging, shutdown, serving, connecting |
//! | `guard` | `guard` | starting a supervisor again that died, and keeping what it held |
//! | `listeners` | `listeners` | who listens on this host, and who has just ceased to |
//! | `monitor` | `monitor` | schedule, flip counter, report, ask: a monitor is a probe and this |
//! | `hostile` | `file` and `monitor` | bytes from outside, each with the code that takes them: for fuzzers |
//!
//! `ctl` takes only `file`; the supervisor takes `file`, `chassis`, `guard` and `listeners`; a monitor takes `monitor`, which
//! brings `guard`. The chassis never looks into either of them, and none of these rooms knows HTTP or TCP probes.

#![forbid(unsafe_code)]

#[cfg(feature = "access")]
pub mod access;
pub mod cgroup;
#[cfg(feature = "chassis")]
pub mod chassis;
#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "guard")]
pub mod guard;
pub mod home;
#[cfg(all(feature = "file", feature = "monitor"))]
pub mod hostile;
#[cfg(feature = "listeners")]
pub mod listeners;
#[cfg(feature = "monitor")]
pub mod monitor;

pub use home::Home;
