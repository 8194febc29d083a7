//! Reports that a path no longer names the same file: it was deleted, moved or replaced.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::queue::Queue;
use crate::os::unix::files::{Named, above, named};

/// Watches some paths with a kqueue, without polling.
#[derive(Debug, Default)]
pub struct PathWatch {
    queue: Option<AsyncFd<Queue>>,
    /// The watched files, which must stay open while they are watched.
    _open: Vec<OwnedFd>,
    paths: Vec<Named>,
}

impl PathWatch {
    /// Watches files and folders, the entries of those folders, and every folder above them. Needs a tokio runtime.
    pub fn of(paths: &[&Path]) -> io::Result<Self> {
        let queue = Queue::new()?;
        let mut open = Vec::new();
        for (path, whole) in
            above(paths).into_iter().map(|path| (path, false)).chain(paths.iter().map(|path| (*path, true)))
        {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            match rustix::fs::open(path, flags, Mode::empty()) {
                Ok(file) => {
                    queue.watch_file(&file, whole)?;
                    open.push(file);
                }
                Err(error) if whole => return Err(error.into()),
                // A folder that may not be read is not watched.
                Err(_) => {}
            }
        }
        let paths = paths.iter().map(|path| named(path)).collect::<io::Result<_>>()?;
        // SAFETY: an owned descriptor stays the same open file until the `AsyncFd` drops it.
        let queue = unsafe { AsyncFd::register_with_interest(queue, Interest::READABLE) }?;
        Ok(Self { queue: Some(queue), _open: open, paths })
    }

    /// Returns when something happened to the paths; [`lost`](Self::lost) tells which are gone.
    pub async fn changed(&self) {
        let Some(queue) = &self.queue else { return std::future::pending().await };
        let Ok(mut ready) = queue.readable().await else { return std::future::pending().await };
        // Takes the events out of the queue, so that the next event is a new one.
        let _ = queue.get_ref().wait(Some(std::time::Duration::ZERO), &mut Vec::new());
        ready.clear_ready();
    }

    /// Returns the paths that no longer name the same file.
    pub fn lost(&self) -> impl Iterator<Item = &PathBuf> {
        self.paths.iter().filter(|path| path.is_lost()).map(|named| &named.path)
    }
}
