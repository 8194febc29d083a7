//! Checks services over HTTP or by a command: is the answer that of a healthy service?
//!
//! | module | what it holds |
//! |---|---|
//! | [`probe`] | [`HealthProbe`]: selects the kind of check |
//! | `http` | one request over a new connection, within limits |
//! | `expect` | pure: evaluates an answer |
//! | `client` | HTTP clients, built on first use |
//! | `exec` | one command, and the end of everything it started |
//! | `leaf` | a separate cgroup for one check |
//! | [`launcher`] | the same program again, as a process that gives up rights and becomes a command |
//! | [`hostile`] | entry points for fuzzers: malformed answers |
//!
//! Scheduling, counting, reporting and requesting are done by `sereno_monitor`.

#![forbid(unsafe_code)]

mod client;
mod exec;
mod expect;
pub mod hostile;
mod http;
pub mod launcher;
mod leaf;
pub mod probe;

pub use probe::HealthProbe;

/// Name of the daemon and of its table.
pub const NAME: &str = "health-monitor";
