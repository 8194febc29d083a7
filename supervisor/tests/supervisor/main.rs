//! The logs' threads under a flood, held sockets, and every decoder fed with spoiled bytes.

#[cfg(target_os = "linux")]
mod flood;
mod fuzz;
#[cfg(target_os = "linux")]
mod held;
#[path = "../../../fuzz/mutate.rs"]
mod mutate;
