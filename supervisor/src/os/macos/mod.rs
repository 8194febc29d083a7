//! The macOS implementation.
//!
//! | file | what it does |
//! |---|---|
//! | `spawn` | starts a process in its own session, from prepared strings: fork, a dozen calls, exec |
//! | `process` | a process by pid and start time: wait, reap, signal |
//! | `queue` | kqueues: the end of a process, readable descriptors |
//! | `tree` | what belongs to a run: members of its group, orphans by mark or FIFO |
//! | `proc` | reads the table of processes: `libproc` and `sysctl` |
//! | `marks` | which service a process belongs to: its mark, the FIFO it holds; scans |
//! | `look` | what a process uses |
//! | `notify` | the socket behind `NOTIFY_SOCKET` |
//! | `ports` | which processes hold a socket |
//! | `path_watch` | reports that a path no longer names the same file |
//! | `pipe` | FIFOs, and moving their contents into files |
//! | `host` | this process and its host: clock, limits, starting again |
//!
//! What macOS lacks compared to Linux, and the consequences:
//! - no pidfd: a process that is not a child is signalled by its pid, right after a check of its identity;
//! - no cgroup: a process that left the group and dropped every mark is not found, and `memory_max` is sampled;
//! - no subreaper: orphans go to launchd and are looked for there, among processes younger than the run;
//! - no `splice`: the last few KiB of an output can be lost if the supervisor is killed between a read and a write;
//! - the environment of Apple's own programs is hidden: such a process is known by the FIFO that it holds.

mod host;
pub(super) mod look;
mod marks;
mod notify;
mod path_watch;
pub mod pipe;
pub(super) mod ports;
pub(super) mod proc;
mod process;
mod queue;
mod spawn;
mod tree;

pub use host::{
    boot_id, come_back, hold_memory, instance_of, limit_number, listens, now, one_heap, own_program,
    raise_descriptor_limit, random_id, reach_files_as, spare_from_oom, subreaper, surroundings, trim_heap,
    trim_text,
};
pub use look::usage_of;
pub use marks::scan;
pub use notify::NotifySocket;
pub use path_watch::PathWatch;
pub use proc::{descendants, orphans};
pub use process::Process;
pub use spawn::spawn;

pub use super::absent::{
    Cgroup, Cgroups, NoCgroups, examine, make_room_for_limits, scan_again, usage_of_tree,
};
pub use super::alarm::Alarm;
pub use super::unix::*;
