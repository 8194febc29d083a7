//! The other half of a managed monitor: it starts a supervisor that died, and keeps what only that supervisor held.
//!
//! | file | what it does |
//! |---|---|
//! | `life` | one supervisor: who it is, whether it answers, when it dies |
//! | `patience` | pure: how long to wait before the next one |
//! | `keep` | copies of open files, kept and never read (on Windows the services keep what is theirs) |
//! | `linux`, `macos`, `windows` | a process held, its end heard |
//! | `unix` | how a supervisor is started again; on Windows that is in its file |
//!
//! Who supervises is decided by the lock alone: of two guards that act at once, one starts a supervisor that finds the
//! lock taken and leaves. A supervisor that is told to go ends its monitors first, so there is no guard left to call it
//! back.

#[cfg(unix)]
mod keep;
mod life;
#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod os;
mod patience;
#[cfg(unix)]
mod unix;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use proto::Endpoint;
use tokio::time::{Instant, sleep};

use self::life::{Holder, Supervisor};
use self::patience::{Life, Patience};
use super::Identity;
use crate::Home;
use crate::chassis::Shutdown;
use crate::chassis::launch::Launch;

/// How much later each further guard tries: by then the first one's supervisor has the lock.
const STAGGER: Duration = Duration::from_millis(40);
/// How long a supervisor that was started may take to take the lock.
const TAKES_LOCK: Duration = Duration::from_secs(5);
/// How soon to look whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How often to look while there is nothing to be done.
const NOW_AND_THEN: Duration = Duration::from_secs(1);

/// A monitor that guards.
#[derive(Debug)]
pub(super) struct Guard {
    home: Home,
    monitor: String,
    supervisor: Endpoint,
}

impl Guard {
    /// Of a monitor that a supervisor on this host started; no other guards.
    pub(super) fn of(identity: &Identity, env: &BTreeMap<OsString, OsString>) -> Option<Self> {
        let var = |name: &str| env.get(OsStr::new(name)).filter(|value| !value.is_empty());
        var("SERENO_MONITOR")?;
        let home = Home::at(Path::new(var("SERENO_HOME")?));
        let own = home.endpoint("supervisor") == identity.supervisor;
        own.then(|| Self {
            home,
            monitor: identity.name.to_string(),
            supervisor: identity.supervisor.clone(),
        })
    }

    /// Guards and keeps until the shutdown. Needs a tokio runtime.
    pub(super) fn spawn(self, shutdown: Shutdown) {
        #[cfg(unix)]
        self.keep(shutdown.clone());
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
    fn keep(&self, over: Shutdown) {
        let place = crate::chassis::keep::path(&self.home, &self.monitor);
        tokio::spawn(async move {
            tokio::select! {
                () = over.triggered() => {}
                ended = keep::serve(&place) => {
                    if let Err(error) = ended {
                        tracing::warn!(%error, "nothing can be kept for the next supervisor");
                    }
                }
            }
            // One that listens no more is not to be looked for.
            let _ = std::fs::remove_file(&place);
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
                    let life = supervisor.watch(&self.home, &self.supervisor).await;
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
        let before_us = launch.guards.iter().take_while(|name| **name != self.monitor).count();
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

#[cfg(test)]
mod tests {
    use proto::Name;

    use super::*;

    fn identity(home: &Home) -> Identity {
        Identity {
            name: Name::new("health-monitor").expect("a name"),
            kinds: &["http"],
            version: "1",
            session: "s".into(),
            supervisor: home.endpoint("supervisor"),
            credentials: crate::chassis::Credentials::default(),
            endpoint: home.endpoint("health-monitor"),
        }
    }

    #[test]
    fn only_a_managed_monitor_of_this_home_guards() {
        let home = Home::at(Path::new("/tmp/x/.sereno"));
        let env = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.into(), v.into())).collect();
        let managed = [("SERENO_MONITOR", "health-monitor"), ("SERENO_HOME", "/tmp/x/.sereno")];
        assert!(Guard::of(&identity(&home), &env(&managed)).is_some());
        assert!(Guard::of(&identity(&home), &env(&managed[1..])).is_none(), "started by a person");
        assert!(Guard::of(&identity(&home), &env(&managed[..1])).is_none(), "knows no home");
        let elsewhere = Identity {
            supervisor: Endpoint::parse("unix:///tmp/y/supervisor.sock").expect("an endpoint"),
            ..identity(&home)
        };
        assert!(Guard::of(&elsewhere, &env(&managed)).is_none(), "attached to another supervisor");
    }
}
