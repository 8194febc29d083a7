//! The whole `sereno.toml`: what a file says, and every way in which it can be wrong.

mod applied;
mod cases;
#[cfg(unix)]
mod common;
mod contract;
mod file;
mod fuzz;
mod guard;
mod instances;
#[path = "../../../../fuzz/mutate.rs"]
mod mutate;
mod problems;
mod walk;
mod world;
