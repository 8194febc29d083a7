//! Owns the processes of Sereno's services; only the supervisor decides about them.
//!
//! ```text
//!  sereno.toml ─▶ start ─▶ manager (one task, one thread)          os: every system call
//!                             │  ├─ lifecycle: pure decisions
//!                             │  ├─ service: spawn, stop, sweep
//!                             │  └─ disk, journal: what survives
//!                             ├─▶ logs, watch, evidence (threads of their own)
//!                 clients ─▶ api (a thread of its own)
//! ```
//!
//! Allowed dependencies: `lifecycle <- evidence <- service <- manager <- api <- metrics <- start <- main`. [`lifecycle`] is pure, and
//! a crate of its own; [`os`] is the only module that names system calls, and the only one where `unsafe` is allowed.

pub mod api;
pub mod disk;
pub mod evidence;
#[doc(hidden)]
pub mod fuzz;
mod guard;
pub mod incidents;
pub mod journal;
pub mod logs;
pub mod manager;
mod metrics;
pub mod os;
pub mod service;
mod serving;
pub mod snapshot;
pub mod start;
pub mod watch;

pub use sereno_lifecycle as lifecycle;
pub use start::{Args, run};
