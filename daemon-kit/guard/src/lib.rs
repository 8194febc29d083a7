//! The guard: restarts a supervisor that died or hangs, and keeps the files open that only that supervisor
//! held. It runs in each built-in monitor. If no built-in monitor is managed, the supervisor's own program
//! runs it as a separate process.
//!
//! | file | what it does |
//! |---|---|
//! | `life` | watches one supervisor: its pid, whether it answers, when it dies |
//! | `patience` | pure: the backoff before the next start |
//! | [`launch`] | how the supervisor was started, which it writes down for its guards |
//! | `fd_store` | copies of open files, kept and never read (on Windows the services keep their own) |
//! | [`close_apart`] | closes pipes whose close may wait for ever (Unix) |
//! | [`messages`] | protocol between a supervisor and an fd store (Unix) |
//! | `linux`, `macos`, `windows` | hold a process and wait for its end |
//! | `unix` | starts a supervisor; on Windows that is in `windows` |
//!
//! The lock alone decides which process supervises: of two guards that act at once, one starts a supervisor
//! that finds the lock taken and exits. A supervisor that is told to stop ends its guards first, so that
//! none restarts it.

#![forbid(unsafe_code)]

#[cfg(unix)]
mod close;
#[cfg(unix)]
mod fd_store;
pub mod launch;
mod life;
#[cfg(unix)]
pub mod messages;
#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod os;
mod patience;
#[cfg(unix)]
mod unix;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

#[cfg(unix)]
pub use self::close::close_apart;
use self::launch::Launch;
use self::life::{Holder, Supervisor};
use self::patience::{Life, Patience};
use sereno_config::Home;
use sereno_runtime::Shutdown;

/// Additional delay of each further guard: by then the first guard's supervisor has the lock.
const STAGGER: Duration = Duration::from_millis(40);
/// Maximum time for a new supervisor to take the lock.
const TAKES_LOCK: Duration = Duration::from_secs(5);
/// Interval of checks whether the lock was taken.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Interval of checks while there is nothing to do.
const NOW_AND_THEN: Duration = Duration::from_secs(1);

/// The death of a supervisor, as the next one is told of it.
#[derive(Debug)]
struct Death {
    pid: u32,
    /// When it was noticed; `None` if it died before this guard looked.
    at: Option<SystemTime>,
    /// The guard that noticed.
    by: String,
}

impl Death {
    /// Returns the arguments of the next supervisor.
    fn args(&self) -> Vec<String> {
        let mut args = vec!["--revive".into(), self.pid.to_string(), "--revived-by".into(), self.by.clone()];
        if let Some(since) = self.at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()) {
            args.extend(["--died".into(), since.as_millis().to_string()]);
        }
        args
    }
}

/// A guard of the supervisor of one home.
#[derive(Debug)]
pub struct Guard {
    home: Home,
    name: String,
}

impl Guard {
    /// Creates a guard; `name` is its entry in [`Launch::guards`].
    pub fn new(home: Home, name: &str) -> Self {
        Self { home, name: name.into() }
    }

    /// Guards until the shutdown. The fd store listens when this returns. Needs a tokio runtime.
    pub fn spawn(self, shutdown: Shutdown) {
        #[cfg(unix)]
        self.keep_files(shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = shutdown.triggered() => {}
                () = self.run() => {}
            }
        });
    }

    /// Stores files that only the supervisor holds.
    #[cfg(unix)]
    fn keep_files(&self, over: Shutdown) {
        let path = messages::path(&self.home, &self.name);
        let listener = match fd_store::bind(&path) {
            Ok(listener) => listener,
            Err(error) => return tracing::warn!(%error, "nothing can be kept for the next supervisor"),
        };
        tokio::spawn(async move {
            tokio::select! {
                () = over.triggered() => {}
                () = fd_store::serve(listener) => {}
            }
            // A supervisor must not find the socket of a store that no longer listens.
            let _ = std::fs::remove_file(&path);
        });
    }

    async fn run(self) {
        let mut patience = Patience::default();
        // A supervisor that died before this process looked counts as its first death, without a wait.
        let mut wait = Duration::ZERO;
        loop {
            match Supervisor::find(&self.home) {
                Holder::Alive(supervisor) => {
                    let dead = supervisor.pid();
                    let life = supervisor.watch(&self.home).await;
                    let died = self.death(dead, Some(SystemTime::now()));
                    wait = patience.after(life);
                    self.revive(died, wait).await;
                }
                Holder::Dead(dead) => self.revive(self.death(dead, None), wait).await,
                Holder::Unknown(why) => {
                    tracing::debug!("nobody to guard: {why}");
                    sleep(NOW_AND_THEN).await;
                    continue;
                }
            }
            if let Holder::Dead(_) = Supervisor::find(&self.home) {
                wait = patience.after(Life { answered: false, lasted: Duration::ZERO });
            }
        }
    }

    fn death(&self, pid: u32, at: Option<SystemTime>) -> Death {
        Death { pid, at, by: self.name.clone() }
    }

    /// Starts another supervisor after the dead one. Returns when one is running or the attempt has failed.
    async fn revive(&self, death: Death, wait: Duration) {
        let dead = death.pid;
        let launch = match Launch::read(&self.home) {
            Ok(launch) if launch.is_guarded() => launch,
            Ok(_) => return sleep(NOW_AND_THEN).await,
            Err(error) => {
                tracing::error!(%error, "how the supervisor was started can not be read");
                return sleep(NOW_AND_THEN).await;
            }
        };
        let before_us = launch.guards.iter().take_while(|name| **name != self.name).count();
        sleep(wait + STAGGER * u32::try_from(before_us).unwrap_or(1)).await;
        if !self.is_still(dead) {
            return;
        }
        tracing::warn!(pid = dead, "the supervisor died: starting it again");
        let began = Instant::now();
        let home = self.home.root().to_path_buf();
        let started = tokio::task::spawn_blocking(move || os::start(&launch, &home, &death)).await;
        match started {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return tracing::error!(%error, "the supervisor could not be started"),
            Err(_) => return,
        }
        while self.is_still(dead) && began.elapsed() < TAKES_LOCK {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether no other supervisor has taken the lock since.
    fn is_still(&self, dead: u32) -> bool {
        life::named_in(&self.home.lock()).is_none_or(|pid| pid == dead)
    }
}
