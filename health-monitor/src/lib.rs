//! Checks services over HTTP or by a command: is the answer that of a healthy service?
//!
//! | module | what it holds |
//! |---|---|
//! | [`probe`] | [`HealthProbe`]: selects the kind of check |
//! | `http` | one check over HTTP: asks, follows redirects, evaluates the answer |
//! | `expect` | pure: evaluates an answer |
//! | `request` | a request, and what a redirect makes of it |
//! | `connection` | one connection with one request, and a limit on what is read |
//! | `tls` | TLS configurations, built on first use |
//! | `exec` | one command, and the end of everything it started |
//! | `child` | a running command, and how its end is noticed |
//! | `leaf` | a separate cgroup for one check |
//! | [`launcher`] | the same program again, as a process that gives up rights and becomes a command |
//! | [`fuzz`] | entry points for fuzzers: malformed answers |
//!
//! Scheduling, counting, reporting and requesting are done by `sereno_monitor`.

#![forbid(unsafe_code)]

mod child;
mod connection;
mod exec;
mod expect;
pub mod fuzz;
mod http;
pub mod launcher;
mod leaf;
pub mod probe;
mod request;
mod tls;

pub use probe::HealthProbe;

/// Name of the daemon and of its table.
pub const NAME: &str = "health-monitor";
