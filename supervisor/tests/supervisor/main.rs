//! The logs' threads under a flood, and every decoder fed with spoiled bytes.

#[cfg(target_os = "linux")]
mod flood;
mod fuzz;
#[path = "../../../fuzz/mutate.rs"]
mod mutate;
