//! What shows Sereno at work on this machine: the program behind `cargo deploy`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`demo`] | `cargo deploy demo`: build, start, wait until all is healthy, say what to try |
//! | [`install`] | `cargo deploy install`, `uninstall` |
//! | [`service`] | the program that the demo keeps up, and every way to break it |
//! | [`port`] | who holds a port |
//! | [`progress`] | pure: what is new in a status |
//! | `storm` | `cargo deploy storm`: everything killed at random moments, and nothing lost by it (Linux) |
//! | `press` | `cargo deploy press`: many times the load, and nobody restarted for it (Linux) |
//! | `attack` | `cargo deploy attack`: plays a monitor that means harm, and says what a supervisor gives way to (Linux) |
//! | `conformance` | `cargo deploy conformance`: plays a supervisor against a monitor, and says what it does wrong (Linux) |
//! | `asked` | runs `ctl` of a trial, under a ceiling (Linux) |
//! | [`place`] | where the demo lies, and how its lines are pasted |
//! | `binaries` | builds the programs, and copies them where they may run while the tree is built again |
//! | `control` | runs `ctl` |
//! | [`failure`] | every way to fail |
//!
//! It knows the others only as programs, and by the contract: nothing of theirs is linked in.

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
