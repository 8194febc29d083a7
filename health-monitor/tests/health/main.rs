//! Checks against endpoints and commands as they really are, good, bad and malicious.

mod common;
#[cfg(unix)]
mod exec;
mod fuzz;
mod http;
mod https;
mod malicious;
#[path = "../../../fuzz/mutate.rs"]
mod mutate;
