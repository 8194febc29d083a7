//! How fast and how small, against the bare system calls in the same run: `cargo bench -p ctl --bench speed`;
//! one part of it: `… -- restart`, or `many`, `storm`, `flood`.
//!
//! Measures the release binaries (built first: `cargo build --release --workspace --bins`). Prints a table and never
//! fails on a number: ratios belong into a note, not into a test.

#[cfg(target_os = "linux")]
#[path = "speed/linux.rs"]
mod linux;

fn main() {
    #[cfg(target_os = "linux")]
    linux::main();
}
