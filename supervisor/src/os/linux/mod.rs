//! The Linux implementation.
//!
//! | file | what it does |
//! |---|---|
//! | `alarm` | wakes up at a wall-clock time |
//! | `clone` | the two instructions around `clone3` that libc does not offer |
//! | `spawn` | starts a process in its own session, from prepared strings |
//! | `start_failure` | why a start failed, as its child reports it |
//! | `process` | a pidfd: wait, reap, signal |
//! | `tree` | what belongs to a run: cgroup, orphans |
//! | `cgroup` | a cgroup v2 for each service, where the system allows it |
//! | `examine` | what the processes of a run do at the moment it is judged |
//! | `look`, `memory` | what a process uses, and what a service may use |
//! | `oom` | keeps the OOM killer from the supervisor |
//! | `notify` | the socket behind `NOTIFY_SOCKET` |
//! | `proc` | reads `/proc` |
//! | `ports` | which processes hold a socket |
//! | `path_watch` | reports that a path no longer names the same file |
//! | `pipe` | FIFOs and `splice` |
//! | `again` | how this process was started, and starting it again the same way |
//! | `host` | this process and its host: clock, limits, subreaper, memory |

mod again;
mod alarm;
mod cgroup;
mod clone;
mod confine;
mod examine;
mod host;
pub(super) mod look;
mod memory;
mod notify;
mod oom;
mod path_watch;
pub mod pipe;
pub(super) mod ports;
pub(super) mod proc;
mod process;
mod spawn;
mod start_failure;
mod tree;

pub use again::{come_back, own_program, surroundings};
pub use alarm::Alarm;
pub use cgroup::{Cgroup, Cgroups, NoCgroups};
pub use examine::examine;
pub use host::{
    boot_id, instance_of, limit_number, listens, now, one_heap, raise_descriptor_limit, random_id,
    reach_files_as, subreaper, trim_heap, trim_text,
};
pub use memory::{hold_memory, make_room_for_limits};
pub use notify::NotifySocket;
pub use oom::spare_from_oom;
pub use path_watch::PathWatch;
pub use proc::{descendants, orphans, scan, scan_again, usage_of, usage_of_tree};
pub use process::Process;
pub use spawn::spawn;

pub use super::unix::*;
