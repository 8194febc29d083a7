//! Reports that a path no longer names the same file: it was deleted, moved or replaced.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::os::unix::files::{Named, above, named};

/// Watches some paths with inotify, without polling.
#[derive(Debug, Default)]
pub struct PathWatch {
    inotify: Option<AsyncFd<OwnedFd>>,
    paths: Vec<Named>,
}

impl PathWatch {
    /// Watches files and folders, the entries of those folders, and moves of every folder above them. Needs a tokio
    /// runtime.
    pub fn of(paths: &[&Path]) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let itself = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        // Deleting a file that is still open only changes its link count.
        let whole = itself | WatchFlags::ATTRIB | WatchFlags::DELETE;
        for path in above(paths) {
            // A folder that may not be read is not watched.
            let _ = inotify::add_watch(&inotify, path, itself);
        }
        for path in paths {
            inotify::add_watch(&inotify, *path, whole)?;
        }
        // Read after the watch begins: a change in between causes an event.
        let paths = paths.iter().map(|path| named(path)).collect::<io::Result<_>>()?;
        // SAFETY: an owned descriptor stays the same open file until the `AsyncFd` drops it.
        let inotify = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) }?;
        Ok(Self { inotify: Some(inotify), paths })
    }

    /// Returns when something happened to the paths; [`lost`](Self::lost) tells which are gone.
    pub async fn changed(&self) {
        let Some(inotify) = &self.inotify else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = inotify.readable().await else { return std::future::pending().await };
            let mut events = [0; 4096];
            let read = ready.try_io(|inotify| rustix::io::read(inotify, &mut events).map_err(Into::into));
            if read.is_ok() {
                return;
            }
        }
    }

    /// Returns the paths that no longer name the same file.
    pub fn lost(&self) -> impl Iterator<Item = &PathBuf> {
        self.paths.iter().filter(|path| path.is_lost()).map(|named| &named.path)
    }
}
