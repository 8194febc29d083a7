//! Handles a home that is deleted or moved while the supervisor runs. The system reports it; the manager's part of home
//! is made again, and everything continues with the same processes. If that is impossible, nothing could reach this
//! supervisor any more: it stops its services and ends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::Endpoint;

use super::{Command, Manager};
use crate::disk::applied::{self, Applied};
use crate::disk::launch;
use crate::disk::wal::Wal;
use crate::journal::Kind;
use crate::lifecycle::{BootInstant, Request};
use crate::os::{self, Birth, PathWatch};
use crate::service::{Fifos, Role};

/// How long to wait if only a part of home is gone: whatever deletes that part may be about to delete the rest.
const SETTLES: Duration = Duration::from_millis(200);
/// The longest pause before home is made again.
const MOST: Duration = Duration::from_secs(5);
/// A loss counts as the first again after this time without a loss.
const CALM: Duration = Duration::from_secs(10);

/// Watches whether home is still there.
#[derive(Debug, Default)]
pub(super) struct HomeWatch {
    pub(super) watch: PathWatch,
    /// When home will be made again.
    pub(super) due: Option<BootInstant>,
    /// How many recent tries there were, and when the last was.
    tries: u32,
    last: Option<BootInstant>,
    /// Set after home was made again: shown until the next `up` or `apply`.
    pub(super) notice: Option<String>,
}

impl HomeWatch {
    /// Returns how long to wait before home is made again: longer each time, if it is deleted repeatedly.
    fn pause(&self) -> Duration {
        (SETTLES * 2_u32.saturating_pow(self.tries.saturating_sub(1).min(16))).min(MOST)
    }
}

impl Manager {
    /// Begins to watch for the loss of home, or of a folder in it.
    pub(super) fn watch_home(&mut self) {
        let home = &self.world.home;
        let (lock, state, journal, log) = (home.lock(), home.state(), home.journal(), home.log());
        let (fifo, notify) = (home.run().join("fifo"), home.run().join("notify"));
        let paths: [&Path; 8] = [home.root(), home.run(), &lock, &state, &journal, &log, &fifo, &notify];
        match PathWatch::of(&paths) {
            Ok(watch) => {
                self.home.watch = watch;
                // Checks for what was deleted before it was watched.
                self.home_changed();
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.try_home_later(&error),
            Err(error) => {
                tracing::warn!(%error, "home is not watched: that it is deleted would not be noticed");
            }
        }
    }

    /// Handles a change in home.
    pub(super) fn home_changed(&mut self) {
        let root = self.world.home.root();
        let lost: Vec<_> = self.home.watch.lost().collect();
        let is_whole = !root.exists() || lost.iter().any(|path| *path == root);
        if self.going.is_some() || lost.is_empty() && !self.lacks_files() {
            return;
        }
        let now = os::now();
        if self.home.last.is_some_and(|last| now.since(last) > CALM) {
            self.home.tries = 0;
        }
        if self.home.due.is_none() {
            tracing::warn!(home = %root.display(), ?lost, "home, or a part of it, was deleted or moved");
        }
        // Deleting a folder removes the folder itself last, so no deletion is in progress then.
        let due = now + if is_whole && self.home.tries == 0 { Duration::ZERO } else { self.home.pause() };
        self.home.due = Some(self.home.due.map_or(due, |before| before.min(due)));
    }

    /// Returns whether a file is gone that clients need to reach this supervisor, or that the next supervisor needs to
    /// continue.
    fn lacks_files(&self) -> bool {
        let home = &self.world.home;
        let socket = match home.endpoint("supervisor") {
            Endpoint::Unix(path) => Some(path),
            _ => None,
        };
        let state = home.state();
        let kept =
            applied::paths_in(&state).into_iter().chain([state.join("instance"), home.run().join("wal")]);
        kept.chain(socket).any(|path: PathBuf| matches!(path.try_exists(), Ok(false)))
    }

    /// Returns whether home must be made again now.
    pub(super) fn home_is_due(&self) -> bool {
        self.going.is_none() && self.home.due.is_some_and(|due| due <= os::now())
    }

    /// Runs a closure that waits for clients. Requests that arrive meanwhile are refused, so that clients ask again.
    pub async fn refuse_while(&mut self, ending: impl FnOnce() + Send + 'static) {
        let mut ended = tokio::task::spawn_blocking(ending);
        loop {
            tokio::select! {
                _ = &mut ended => return,
                Some(command) = self.commands.recv() => match command {
                    Command::Detach(_) | Command::Shutdown { .. } => self.dispatch(command),
                    // The command is dropped together with its reply channel.
                    _ => {}
                },
            }
        }
    }

    /// Makes the manager's part of home again, in folders that exist again.
    pub fn make_home_anew(&mut self, launch: Option<&[u8]>) -> std::io::Result<()> {
        let home = self.world.home.clone();
        let state = home.state();
        let about = (*self.about).clone();
        applied::save(&state, &Applied { text: self.applied_text.clone(), about })?;
        if !self.added.is_empty() {
            self.added.save(&state)?;
        }
        if let Some(launch) = launch {
            crate::disk::replace(&sereno_guard::launch::Launch::path(&home), launch)?;
            launch::update(&home, &self.config)?;
        }
        (self.world.wal, _) = Wal::open(&home.run().join("wal"), self.world.wal.last())?;
        (self.world.birth, _) = Birth::open(&home.run().join("birth"))?;
        self.save_state().map_err(std::io::Error::other)
    }

    /// Continues after home and everything in it has been made again.
    pub fn home_is_anew(&mut self) {
        let now = os::now();
        self.home.due = None;
        self.home.last = Some(now);
        self.home.tries += 1;
        let message =
            format!("home {} was deleted or moved, and has been made anew", self.world.home.root().display());
        tracing::warn!("{message}");
        self.world.journal.write_again();
        self.world.incidents.write_again();
        self.world.tell_own(Kind::Daemon, message.clone());
        self.home.notice = Some(message);
        // Current runs keep writing to the FIFOs that they have; the next run gets FIFOs that have a path.
        for service in self.services.values_mut() {
            if let Fifos::Open(_) = service.outputs.fifos {
                service.outputs.fifos = Fifos::Nameless;
            }
        }
        self.services.values().for_each(|service| self.world.change_rotation(service));
        self.listen_to_running();
        for service in self.services.values_mut().filter(|service| service.role == Role::Daemon) {
            service.unit.request(now, Request::Restart);
        }
        self.watch_home();
    }

    /// Retries later: home could not be made again for want of space or the like.
    pub fn try_home_later(&mut self, why: &dyn std::fmt::Display) {
        let now = os::now();
        self.home.tries += 1;
        self.home.last = Some(now);
        let pause = self.home.pause();
        self.home.due = Some(now + pause);
        tracing::error!(?pause, "home could not be made anew, which is tried again: {why}");
    }

    /// Gives up: home cannot be made again, so nothing could reach this supervisor.
    pub fn give_up_without_home(&mut self, why: &dyn std::fmt::Display) {
        self.home.due = None;
        self.home.watch = PathWatch::default();
        tracing::error!("home is gone and can not be made anew, so everything is stopped: {why}");
        self.shut_down(false, &format!("the loss of home, which can not be made anew: {why}"));
    }
}
