//! End to end: the real binaries, real processes, as a user would meet them.
//!
//! Each story writes a `sereno.toml` into a folder of its own, brings it up with `ctl`, does something to it and waits
//! until what a person would see is what it should be. Nothing sleeps: conditions are polled under a long ceiling, and
//! a story that fails says what it saw last. At its end every process of it is gone, or it fails.

#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the ceiling of a test is real time, and the commands are run as a person runs them"
)]

mod added;
mod adoption;
mod answers;
mod attack;
mod broken_file;
mod checks;
mod completions;
mod conformance;
mod crash_loop;
mod dependencies;
mod evidence;
mod flood;
mod forged_marks;
mod full_disk;
mod guard;
#[path = "../harness/mod.rs"]
mod harness;
mod held_starts;
mod import;
mod incidents;
mod init_system;
mod instances;
mod jammed;
mod judgement;
mod leftovers;
mod locked_outputs;
mod log_folder_bombs;
mod logs;
mod lost_home;
mod memory;
mod metrics;
mod monitors;
mod network;
mod notify;
mod one_home;
mod other_language;
mod other_users;
mod own_guard;
mod pace;
mod refused;
mod remembered;
mod rights;
mod safety;
mod schedule;
mod slow_peers;
mod sockets;
mod spared;
mod spent_ports;
mod stop;
mod stuck_files;
mod upgrade;
mod watch;
mod watchdog;
