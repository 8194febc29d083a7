//! Code that Linux and macOS share.
//!
//! | file | what it does |
//! |---|---|
//! | `birth` | a child writes its pid down before it becomes another program |
//! | `children` | hears of children that ended, and reaps those that lead no run |
//! | `files` | open files: their number, whether they still have a name |
//! | `host` | this process and its host: lock, folders, descriptors that are passed over an exec |
//! | `log_dir` | the folder of a log, and everything that is opened in it |
//! | `service_end` | what the runs of a service write to |
//! | `look` | what a service uses |
//! | `marks` | which service a process belongs to: its mark |
//! | `ports` | which process listens on which port |
//! | `tree` | what belongs to a run: group, descendants |
//! | `fd_stores` | copies of what only this process holds, in the monitors' fd stores |

mod birth;
mod children;
mod fd_stores;
pub(super) mod files;
mod host;
mod log_dir;
#[cfg(test)]
mod log_dir_tests;
mod look;
pub(super) mod marks;
mod ports;
pub(super) mod service_end;
pub(super) mod tree;

pub use birth::Birth;
pub use children::{Children, orphans_reaped};
pub(super) use children::{exit_of_wait_status, pid};
pub use fd_stores::{FdStores, StoredFds};
pub use host::{
    Lock, close_inherited_files, create_private_dir, descriptor_limit, detach, exec, is_out_of_descriptors,
    is_shortage, leave_open, listen, null_device, open_append, open_in_place, open_private, own_dir, own_ids,
    shell, take_over,
};
pub use log_dir::{LogDir, LogRights};
pub use look::look;
pub use ports::stranger_on;
pub use tree::Tree;

/// The highest incarnation that a mark is believed to have.
pub(super) const MOST_INCARNATIONS: u64 = 1 << 53;

/// An open file, pipe or socket.
pub type Handle = std::os::fd::OwnedFd;

/// A borrowed open file.
pub type Borrowed<'a> = std::os::fd::BorrowedFd<'a>;

/// Borrows an open file.
pub fn borrow(handle: &Handle) -> Borrowed<'_> {
    std::os::fd::AsFd::as_fd(handle)
}

/// Makes a pipe for what a command writes: the end to read from, and the end for the command.
pub fn output_pipe() -> std::io::Result<(std::io::PipeReader, Handle)> {
    let (reader, writer) = std::io::pipe()?;
    Ok((reader, writer.into()))
}

/// Duplicates a handle of the same open file.
pub fn duplicate(handle: &Handle) -> std::io::Result<Handle> {
    handle.try_clone()
}
