//! Tests Sereno as a whole and from outside, on Linux. `cargo deploy` runs this program for `chaos`, `stress`, `attack`
//! and `conformance`.
//!
//! | module | what it holds |
//! |---|---|
//! | `chaos` | kills everything at random moments, and checks that nothing is lost |
//! | `stress` | many times the load, and no service may be restarted for it |
//! | `attack` | plays a hostile monitor against a supervisor |
//! | `conformance` | plays a supervisor to test a monitor |
//! | `command` | the command line |
//! | `ctl` | runs `ctl`, with a time limit |
//! | `failure` | errors that end a test before its result |
//!
//! This crate uses Sereno's programs only as programs and through the contract: it links none of their code.

#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
pub mod attack;
#[cfg(target_os = "linux")]
pub mod chaos;
#[cfg(target_os = "linux")]
pub mod command;
#[cfg(target_os = "linux")]
pub mod conformance;
#[cfg(target_os = "linux")]
pub mod ctl;
#[cfg(target_os = "linux")]
pub mod failure;
#[cfg(target_os = "linux")]
pub mod stress;

#[cfg(target_os = "linux")]
pub use failure::Failure;
