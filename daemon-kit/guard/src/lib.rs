//! The guard: starts a supervisor again that died or hangs, and keeps open what only that supervisor held. It runs in
//! each built-in monitor; where none of them is managed, the supervisor's own program runs it as a process of its own.
//!
//! | file | what it does |
//! |---|---|
//! | `life` | one supervisor: who it is, whether it answers, when it dies |
//! | `patience` | pure: how long to wait before the next one |
//! | [`launch`] | how the supervisor was started, which it writes down for its guards |
//! | `fd_store` | copies of open files, kept and never read (on Windows the services keep what is theirs) |
//! | [`messages`] | what a supervisor and an fd store say to each other (Unix) |
//! | `linux`, `macos`, `windows` | a process held, its end heard |
//! | `unix` | how a supervisor is started again; on Windows that is in its file |
//!
//! Who supervises is decided by the lock alone: of two guards that act at once, one starts a supervisor that finds the
//! lock taken and leaves. A supervisor that is told to go ends its guards first, so there is none left to call it back.

#![forbid(unsafe_code)]

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

use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::launch::Launch;
use self::life::{Holder, Supervisor};
use self::patience::{Life, Patience};
use sereno_config::Home;
use sereno_runtime::Shutdown;

/// How much later each further guard tries: by then the first one's supervisor has the lock.
const STAGGER: Duration = Duration::from_millis(40);
/// How long a supervisor that was started may take to take the lock.
const TAKES_LOCK: Duration = Duration::from_secs(5);
/// How soon to look whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How often to look while there is nothing to be done.
const NOW_AND_THEN: Duration = Duration::from_secs(1);

/// A guard of the supervisor of one home.
#[derive(Debug)]
pub struct Guard {
    home: Home,
    name: String,
}

impl Guard {
    /// Makes a guard; `name` is the one that [`Launch::guards`] has for this process.
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

    /// Keeps what only the supervisor holds.
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
            // A supervisor must not look for a store that listens no more.
            let _ = std::fs::remove_file(&path);
        });
    }

    async fn run(self) {
        let mut patience = Patience::default();
        // One that died before this process looked was not seen to die often.
        let mut wait = Duration::ZERO;
        loop {
            match Supervisor::find(&self.home) {
                Holder::Alive(supervisor) => {
                    let dead = supervisor.pid();
                    let life = supervisor.watch(&self.home).await;
                    wait = patience.after(life);
                    self.revive(dead, wait).await;
                }
                Holder::Dead(dead) => self.revive(dead, wait).await,
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

    /// Sees to it that there is another supervisor than the dead one; returns when there is, or when that has failed.
    async fn revive(&self, dead: u32, wait: Duration) {
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
        let started = tokio::task::spawn_blocking(move || os::start(&launch, &home, dead)).await;
        match started {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return tracing::error!(%error, "the supervisor could not be started"),
            Err(_) => return,
        }
        while self.is_still(dead) && began.elapsed() < TAKES_LOCK {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether nobody has taken the lock since.
    fn is_still(&self, dead: u32) -> bool {
        life::named_in(&self.home.lock()).is_none_or(|pid| pid == dead)
    }
}
