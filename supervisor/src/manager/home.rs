//! Home is deleted or moved while everything runs. The system tells; home is made anew, as far as it is the manager's, and
//! everything goes on with the same processes. Where that can not be done, nobody could reach this supervisor any more:
//! it stops its services and ends.

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

/// Only a part of it is gone: whoever deletes that may be about to delete the rest.
const SETTLES: Duration = Duration::from_millis(200);
/// The longest pause before home is made anew once more.
const MOST: Duration = Duration::from_secs(5);
/// After this time without a loss the next one is the first again.
const CALM: Duration = Duration::from_secs(10);

/// Whether home is still there.
#[derive(Debug, Default)]
pub(super) struct HomeWatch {
    pub(super) watch: PathWatch,
    /// When it is to be made anew.
    pub(super) due: Option<BootInstant>,
    /// How often it was tried of late, and when last.
    tries: u32,
    last: Option<BootInstant>,
    /// It was made anew: what a person is told until the next `up` or `apply`.
    pub(super) notice: Option<String>,
}

impl HomeWatch {
    /// How long to wait before it is made anew: longer each time, if it is deleted again and again.
    fn pause(&self) -> Duration {
        (SETTLES * 2_u32.saturating_pow(self.tries.saturating_sub(1).min(16))).min(MOST)
    }
}

impl Manager {
    /// From now on the loss of home, or of a folder of it, is heard.
    pub(super) fn watch_home(&mut self) {
        let home = &self.world.home;
        let (lock, state, journal, log) = (home.lock(), home.state(), home.journal(), home.log());
        let (fifo, notify) = (home.run().join("fifo"), home.run().join("notify"));
        let paths: [&Path; 8] = [home.root(), home.run(), &lock, &state, &journal, &log, &fifo, &notify];
        match PathWatch::of(&paths) {
            Ok(watch) => {
                self.home.watch = watch;
                // What was deleted before it was watched.
                self.home_changed();
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.try_home_later(&error),
            Err(error) => {
                tracing::warn!(%error, "home is not watched: that it is deleted would not be noticed");
            }
        }
    }

    /// Something happened to home.
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
        // What deletes a folder deletes the folder itself last: nobody is in the middle of it then.
        let due = now + if is_whole && self.home.tries == 0 { Duration::ZERO } else { self.home.pause() };
        self.home.due = Some(self.home.due.map_or(due, |before| before.min(due)));
    }

    /// Whether a file is gone without which nobody reaches this supervisor, or nothing goes on after it.
    fn lacks_files(&self) -> bool {
        let home = &self.world.home;
        let socket = match home.endpoint("supervisor") {
            Endpoint::Unix(path) => Some(path),
            _ => None,
        };
        let state = home.state();
        let kept =
            applied::paths_in(&state).into_iter().chain([state.join("instance"), home.run().join("wal")]);
        kept.chain(socket).any(|path: PathBuf| !path.exists())
    }

    /// Whether home is to be made anew now.
    pub(super) fn home_is_due(&self) -> bool {
        self.going.is_none() && self.home.due.is_some_and(|due| due <= os::now())
    }

    /// Does something that waits for clients, who are told meanwhile to ask again.
    pub async fn refuse_while(&mut self, ending: impl FnOnce() + Send + 'static) {
        let mut ended = tokio::task::spawn_blocking(ending);
        loop {
            tokio::select! {
                _ = &mut ended => return,
                Some(command) = self.commands.recv() => match command {
                    Command::Detach(_) | Command::Shutdown { .. } => self.dispatch(command),
                    // Dropped with where its answer would go.
                    _ => {}
                },
            }
        }
    }

    /// Makes of home what is the manager's, in folders that are there again.
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

    /// Home is there again, and so is everything in it: goes on.
    pub fn home_is_anew(&mut self) {
        let now = os::now();
        self.home.due = None;
        self.home.last = Some(now);
        self.home.tries += 1;
        let message =
            format!("home {} was deleted or moved, and has been made anew", self.world.home.root().display());
        tracing::warn!("{message}");
        self.world.journal.write_again();
        self.world.tell_own(Kind::Daemon, message.clone());
        self.home.notice = Some(message);
        // What runs writes to the FIFOs that it has; the next run gets those that have a name.
        for service in self.services.values_mut().filter(|service| service.fifos == Fifos::Open) {
            service.fifos = Fifos::Nameless;
        }
        self.services.values().for_each(|service| self.world.keep_differently(service));
        self.listen_to_running();
        for service in self.services.values_mut().filter(|service| service.role == Role::Daemon) {
            service.unit.request(now, Request::Restart);
        }
        self.watch_home();
        self.changes.grow();
        self.targets.grow();
    }

    /// It could not be made anew for want of space or the like: that is tried again.
    pub fn try_home_later(&mut self, why: &dyn std::fmt::Display) {
        let now = os::now();
        self.home.tries += 1;
        self.home.last = Some(now);
        let pause = self.home.pause();
        self.home.due = Some(now + pause);
        tracing::error!(?pause, "home could not be made anew, which is tried again: {why}");
    }

    /// It can not be made anew: nobody could reach this supervisor.
    pub fn give_up_without_home(&mut self, why: &dyn std::fmt::Display) {
        self.home.due = None;
        self.home.watch = PathWatch::default();
        tracing::error!("home is gone and can not be made anew, so everything is stopped: {why}");
        self.shut_down(false, &format!("the loss of home, which can not be made anew: {why}"));
    }
}
