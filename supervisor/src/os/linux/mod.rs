//! Linux.
//!
//! | file | what it does |
//! |---|---|
//! | `alarm` | waking up at a time of the wall clock |
//! | `birth` | a child writes its pid down before it is another program |
//! | `clone` | the two instructions around `clone3` that libc does not offer |
//! | `spawn` | a process in its own session, from prepared strings, without a fork |
//! | `process` | a pidfd: wait, reap, signal |
//! | `tree` | what belongs to a run: group, cgroup, orphans |
//! | `cgroup` | a cgroup v2 for each service, where one can be made |
//! | `look`, `memory` | what a service uses, and what it may |
//! | `notify` | the socket behind `NOTIFY_SOCKET` |
//! | `proc` | reading `/proc` |
//! | `ports` | who listens where |
//! | `pipe` | FIFOs and `splice` |
//! | `again` | how this process was started, and being started again like that |
//! | `keep` | copies of what only this process holds, with the monitors |
//! | `host` | this process and its host: clock, lock, limits, subreaper |

mod again;
mod alarm;
mod birth;
mod cgroup;
mod clone;
mod confine;
mod host;
mod keep;
mod look;
mod memory;
mod notify;
pub mod pipe;
mod ports;
mod proc;
mod process;
mod spawn;
mod tree;

pub use again::{come_back, own_program, surroundings};
pub use alarm::Alarm;
pub use birth::Birth;
pub use cgroup::{Cgroup, Cgroups};
pub use host::{
    Host, Lock, boot_id, create_private_dir, detach, exec, instance_of, leave_open, limit_number, listen,
    now, null_device, one_heap, open_private, own_dir, own_ids, raise_descriptor_limit, random_id, shell,
    subreaper, take_over, trim_heap, trim_text,
};
pub use keep::{Keep, Kept};
pub use look::look;
pub use memory::{hold_memory, make_room_for_limits};
pub use notify::NotifySocket;
pub use ports::stranger_on;
pub use proc::{descendants, orphans, scan, usage_of};
pub use process::{Children, Process, orphans_reaped};
pub use spawn::spawn;
pub use tree::{Left, Tree};

/// An open file, pipe or socket.
pub type Handle = std::os::fd::OwnedFd;

/// One that is lent.
pub type Borrowed<'a> = std::os::fd::BorrowedFd<'a>;

/// Lends one.
pub fn borrow(handle: &Handle) -> Borrowed<'_> {
    std::os::fd::AsFd::as_fd(handle)
}

/// The same open file once more.
pub fn duplicate(handle: &Handle) -> std::io::Result<Handle> {
    handle.try_clone()
}
