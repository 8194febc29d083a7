//! Makes a home again that was deleted or moved while the supervisor runs: folders, lock, name, and the manager's
//! files.

use std::io;

use sereno_config::Home;
use sereno_guard::launch::Launch;

use super::{ignored_by_git, make_folders, named_path};
use crate::manager::{Manager, Wanted};
use crate::os::{self, Lock};

/// What is stored only in files of home, kept in memory in case they are lost.
pub(super) struct Remembered {
    /// The random id of home.
    id: String,
    /// The full name of home, as in the marks of all running processes.
    name: String,
    /// The record of how the supervisor was started.
    launch: Option<Vec<u8>>,
}

/// Why home could not be made again.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The folder above home is gone too.
    #[error("the folder above it is gone")]
    Parent,
    /// Another supervisor has taken the lock.
    #[error("another supervisor has taken its place")]
    Taken,
    /// The system refuses a step.
    #[error("{0}")]
    Io(String, Option<io::Error>),
}

impl HomeError {
    /// Returns whether a later try may succeed: the supervisor lacks space or the like, or home was deleted again
    /// meanwhile. Not if something else is in its place, or creating it is forbidden.
    pub(super) fn may_pass(&self) -> bool {
        use io::ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied};
        let stays = [AlreadyExists, NotADirectory, PermissionDenied];
        matches!(self, Self::Io(_, Some(error)) if !stays.contains(&error.kind()))
    }

    fn io(error: io::Error) -> Self {
        Self::Io(error.to_string(), Some(error))
    }
}

impl Remembered {
    /// Reads what is in home now.
    pub(super) fn of(home: &Home, name: &str) -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let id = read(home.state().join("instance")).trim().to_string();
        Self { id, name: name.into(), launch: std::fs::read(Launch::path(home)).ok() }
    }

    /// Makes home again. Locks held before stay held: a home that was only moved still has its lock, and no other
    /// supervisor may adopt from there what runs here.
    pub(super) fn make(
        &self,
        home: &Home,
        locks: &mut Vec<Lock>,
        manager: &mut Manager,
    ) -> Result<(), HomeError> {
        if !home.root().parent().is_some_and(std::path::Path::is_dir) {
            return Err(HomeError::Parent);
        }
        make_folders(home, Wanted::AsBefore).map_err(|error| match error {
            super::StartError::Io(what, error) => HomeError::Io(format!("{what}: {error}"), Some(error)),
            other => HomeError::Io(other.to_string(), None),
        })?;
        let path = home.lock();
        if !locks.last().is_some_and(|lock| lock.is_at(&path)) {
            locks.push(Lock::take(&path).map_err(HomeError::io)?.ok_or(HomeError::Taken)?);
        }
        ignored_by_git(home.root());
        let state = home.state();
        let today = os::instance_of(home.root(), &self.id).map_err(HomeError::io)?;
        crate::disk::replace(&state.join("instance"), self.id.as_bytes()).map_err(HomeError::io)?;
        let names = format!("{today} {}", self.name);
        crate::disk::replace(&named_path(home), names.as_bytes()).map_err(HomeError::io)?;
        manager.make_home_anew(self.launch.as_deref()).map_err(HomeError::io)
    }
}
