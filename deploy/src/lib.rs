//! The program behind `cargo deploy`: shows Sereno at work on this machine.
//!
//! | module | what it holds |
//! |---|---|
//! | [`demo`] | `cargo deploy demo`: builds, starts, waits until all is healthy, prints what to try |
//! | [`install`] | `cargo deploy install`, `uninstall` |
//! | [`service`] | the program of the demo's services, and every way to break it |
//! | [`port`] | finds the process that holds a port |
//! | [`progress`] | pure: finds what changed in a status |
//! | `storm` | `cargo deploy storm`: kills everything at random moments, and checks that nothing is lost (Linux) |
//! | `press` | `cargo deploy press`: many times the load, and no service may be restarted for it (Linux) |
//! | `attack` | `cargo deploy attack`: plays a hostile monitor against a supervisor (Linux) |
//! | `conformance` | `cargo deploy conformance`: plays a supervisor to test a monitor (Linux) |
//! | `asked` | runs `ctl` in a trial, with a time limit (Linux) |
//! | [`place`] | paths of the demo, and command lines in a form that can be pasted |
//! | `binaries` | builds the programs, and copies them to where later builds do not change them |
//! | `control` | runs `ctl` |
//! | [`failure`] | errors of `cargo deploy` |
//!
//! This crate uses the other programs only as programs and through the contract: it links none of their code.

#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
pub mod asked;
#[cfg(target_os = "linux")]
pub mod attack;
mod binaries;
#[cfg(target_os = "linux")]
pub mod conformance;
mod control;
pub mod demo;
pub mod failure;
pub mod install;
pub mod place;
pub mod port;
#[cfg(target_os = "linux")]
pub mod press;
pub mod progress;
pub mod service;
#[cfg(target_os = "linux")]
pub mod storm;

pub use failure::Failure;
