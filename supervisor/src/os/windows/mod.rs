//! The Windows implementation.
//!
//! | file | what it does |
//! |---|---|
//! | `handle` | owned, borrowed and duplicated handles |
//! | `wait` | a callback when a handle is signalled |
//! | `command_line` | arguments → one line that the program splits back unchanged |
//! | `spawn` | starts a process suspended, puts it into its job, resumes it |
//! | `process` | a process handle: wait, exit code, terminate |
//! | `console` | Ctrl-Break, the closest to SIGTERM |
//! | `job` | the job object of a service: all its processes |
//! | `log_dir` | the folder of a log |
//! | `fd_stores` | stand-ins for the fd stores, which store nothing here |
//! | `tree` | what belongs to a run: its job; scans |
//! | `pipe` | the outputs of services, and moving their contents into files |
//! | `ports` | which process listens on which port |
//! | `private` | access rights of the objects that the supervisor makes |
//! | `outlet` | the pipe behind an output, and how it outlives the supervisor |
//! | `usage` | descendants, CPU time and memory |
//! | `absent` | stand-ins for what Windows lacks or does not need |
//! | `host` | this process and its host: clock, lock, folders |

mod absent;
mod command_line;
mod console;
mod fd_stores;
mod handle;
mod host;
mod job;
mod log_dir;
mod outlet;
pub mod pipe;
mod ports;
mod private;
mod process;
mod spawn;
mod tree;
pub(super) mod usage;
mod wait;

pub use super::absent::{
    Cgroup, Cgroups, NoCgroups, examine, make_room_for_limits, scan_again, usage_of_tree,
};
pub use super::alarm::Alarm;
pub use absent::{Birth, NotifySocket, PathWatch, duplicate, leave_open, listen, listens, take_over};
pub use fd_stores::{FdStores, StoredFds, come_back, own_program, surroundings};
pub use handle::{Borrowed, Handle, borrow, output_pipe};
pub use host::{
    Lock, boot_id, close_inherited_files, create_private_dir, descriptor_limit, detach, exec, instance_of,
    is_out_of_descriptors, is_shortage, limit_number, now, null_device, one_heap, open_append, open_in_place,
    open_private, own_dir, own_ids, raise_descriptor_limit, random_id, reach_files_as, shell, spare_from_oom,
    subreaper, trim_heap, trim_text,
};
pub use job::hold_memory;
pub use log_dir::{LogDir, LogRights};
pub use ports::stranger_on;
pub use process::{Children, Process, orphans_reaped};
pub use spawn::spawn;
pub use tree::{Tree, scan};
pub use usage::{descendants, look, orphans, usage_of};
