//! Checks against endpoints and commands as they really are, good, bad and hostile.

mod common;
#[cfg(unix)]
mod exec;
mod hostile;
mod http;
mod https;
#[path = "../../../fuzz/mutate.rs"]
mod mutate;
