//! Makes home anew that was deleted or moved while the supervisor runs: folders, lock, name, and what the manager keeps.

use std::io;

use sereno_config::Home;
use sereno_guard::launch::Launch;

use super::{ignored_by_git, make_folders, named_path};
use crate::manager::{Manager, Wanted};
use crate::os::{self, Lock};

/// What only stands in files of home, kept for the day when they are gone.
pub(super) struct Remembered {
    /// The random id of home.
    id: String,
    /// Its full name, which is in the marks of everything that runs.
    name: String,
    /// How the supervisor was started.
    launch: Option<Vec<u8>>,
}

/// Why home is not there again.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The folder that it was in is gone too.
    #[error("the folder above it is gone")]
    Parent,
    /// Another supervisor was faster.
    #[error("another supervisor has taken its place")]
    Taken,
    /// The system refuses.
    #[error("{0}")]
    Io(String, Option<io::Error>),
}

impl HomeError {
    /// Whether it may work later: the supervisor lacks space or the like, or home was deleted again meanwhile. Not where
    /// something else stands in its place, or nothing may be made there.
    pub(super) fn may_pass(&self) -> bool {
        use io::ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        let stays = [AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem];
        matches!(self, Self::Io(_, Some(error)) if !stays.contains(&error.kind()))
    }

    fn io(error: io::Error) -> Self {
        Self::Io(error.to_string(), Some(error))
    }
}

impl Remembered {
    /// As it stands in home now.
    pub(super) fn of(home: &Home, name: &str) -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let id = read(home.state().join("instance")).trim().to_string();
        Self { id, name: name.into(), launch: std::fs::read(Launch::path(home)).ok() }
    }

    /// Makes home anew. A lock that was held is still held afterwards: a home that was only moved has it, and nobody may
    /// take up there what runs here.
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
