//! macOS.
//!
//! | file | what it does |
//! |---|---|
//! | `spawn` | a process in its own session, from prepared strings: fork, a dozen calls, exec |
//! | `process` | a process by pid and start time: wait, reap, signal |
//! | `queue` | kqueues: the end of a process, what can be read |
//! | `tree` | what belongs to a run: group, descendants, orphans by mark or FIFO |
//! | `proc` | reading the table of processes: `libproc` and `sysctl` |
//! | `marks` | whose a process is: its mark, the FIFO it holds; scans |
//! | `look` | what a service uses |
//! | `notify` | the socket behind `NOTIFY_SOCKET` |
//! | `ports` | who listens where |
//! | `path_watch` | telling when a path no longer names what it named |
//! | `pipe` | FIFOs, and moving what is in them into files |
//! | `host` | this process and its host: clock, limits, being started again |
//! | `alarm` | waking up at a time of the wall clock: as on Windows |
//! | `absent` | what macOS has not |
//!
//! What Linux has and macOS has not, and what that costs:
//! - no pidfd: a process that is not our child is signalled by its number, right after a look at who has it;
//! - no cgroup: who left the group and shed every mark is not found, and `memory_max` is sampled;
//! - no subreaper: orphans go to launchd and are looked for there, among those younger than the run;
//! - no `splice`: the last few KiB of an output can be lost if the supervisor is killed between a read and a write;
//! - the environment of a program of Apple's own is hidden: such a one is known by the FIFO that it holds.

mod absent;
#[path = "../windows/alarm.rs"]
mod alarm;
mod host;
mod look;
mod marks;
mod notify;
mod path_watch;
pub mod pipe;
mod ports;
mod proc;
mod process;
mod queue;
mod spawn;
mod tree;

pub use absent::{Cgroup, Cgroups, hold_memory, make_room_for_limits};
pub use alarm::Alarm;
pub use host::{
    Host, boot_id, come_back, instance_of, limit_number, now, one_heap, own_program, raise_descriptor_limit,
    random_id, reach_files_as, subreaper, surroundings, trim_heap, trim_text,
};
pub use look::{look, usage_of};
pub use marks::scan;
pub use notify::NotifySocket;
pub use path_watch::PathWatch;
pub use ports::stranger_on;
pub use proc::{descendants, orphans};
pub use process::Process;
pub use spawn::spawn;
pub use tree::{Left, Tree};

pub use super::unix::*;
