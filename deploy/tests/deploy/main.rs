//! What `cargo deploy` does, and the files that it puts on a machine.

mod demo_service;
mod files;
#[cfg(unix)]
mod install;
mod metrics;
#[cfg(target_os = "linux")]
mod trials;
