//! Watches services over HTTP, or by a command: is the answer the one that a healthy service gives?
//!
//! | module | what it holds |
//! |---|---|
//! | [`probe`] | [`HealthProbe`]: which kind is whose |
//! | `http` | one check over HTTP: asks, follows redirects, judges the answer |
//! | `expect` | pure: is this answer good |
//! | `request` | what is asked for, and what a redirect makes of it |
//! | `connection` | one connection with one request, and a bound on what is read |
//! | `tls` | configurations of TLS, built when they are first needed |
//! | `exec` | one command, and the end of everything it started |
//! | `child` | a command that runs, and its end |
//! | `leaf` | a cgroup of its own for one check |
//! | [`launcher`] | the same program once more, as what gives up rights and becomes a command |
//! | [`hostile`] | answers that nobody meant: for fuzzers |
//!
//! When to check, count, report and ask is the runtime's: `daemon_kit::monitor`.

#![forbid(unsafe_code)]

mod child;
mod connection;
mod exec;
mod expect;
pub mod hostile;
mod http;
pub mod launcher;
mod leaf;
pub mod probe;
mod request;
mod tls;

pub use probe::HealthProbe;

/// The daemon's name, and its table's.
pub const NAME: &str = "health-monitor";
