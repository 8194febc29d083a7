//! The program behind `cargo deploy`: puts Sereno on this machine, and shows it at work.
//!
//! | module | what it holds |
//! |---|---|
//! | [`demo`] | `cargo deploy demo`: builds, starts, waits until all is healthy, prints what to try |
//! | [`install`] | `cargo deploy install`, `uninstall` |
//! | [`service`] | the program of the demo's services, and every way to break it |
//! | [`port`] | finds the process that holds a port |
//! | [`progress`] | pure: finds what changed in a status |
//! | `trials` | `cargo deploy chaos`, `stress`, `attack` and `conformance`: runs the program `trials` (Linux) |
//! | [`place`] | paths of the demo, and command lines in a form that can be pasted |
//! | [`binaries`] | builds the programs, and copies them to where later builds do not change them |
//! | `control` | runs `ctl` |
//! | [`failure`] | errors of `cargo deploy` |
//!
//! This crate uses the other programs only as programs and through the contract: it links none of their code.

#![forbid(unsafe_code)]

pub mod binaries;
mod control;
pub mod demo;
pub mod failure;
pub mod install;
pub mod place;
pub mod port;
pub mod progress;
pub mod service;
#[cfg(target_os = "linux")]
pub mod trials;

pub use failure::Failure;
