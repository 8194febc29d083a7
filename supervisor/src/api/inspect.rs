//! Looks at what a file names (programs, folders, `env_file`s), on a thread of its own: the users of services own some
//! of that, and can make a look wait for ever. The manager never waits for it.

use std::time::Duration;

use sereno_config::{Config, Env};
use tokio::sync::{Semaphore, oneshot};

use crate::manager::command::{ConfigError, ReadFile, Source};

/// How long a look may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Looks at the same time: what is stuck does not add up.
const AT_ONCE: usize = 4;

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Reads a file and checks its form and what it needs of the host.
pub(super) async fn read(source: Source) -> Result<ReadFile, ConfigError> {
    look(&TURNS, WITHIN, move || ReadFile::read(source)).await?
}

/// Checks what a configuration needs of the host.
pub(super) async fn check(config: Config, env: Env) -> Result<(), ConfigError> {
    let problems = look(&TURNS, WITHIN, move || sereno_config::check_world(&config, &env)).await?;
    if problems.0.is_empty() { Ok(()) } else { Err(ConfigError::Problems(problems)) }
}

async fn look<T: Send + 'static>(
    turns: &'static Semaphore,
    within: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ConfigError> {
    let found = async {
        let turn = turns.acquire().await.ok()?;
        let (tell, found) = oneshot::channel();
        let thread = std::thread::Builder::new().name("inspect".into()).spawn(move || {
            let turn = turn;
            let seen = look();
            drop(turn);
            drop(tell.send(seen));
        });
        if let Err(error) = thread {
            return Some(Err(ConfigError::Disk(error)));
        }
        found.await.ok().map(Ok)
    };
    tokio::time::timeout(within, found).await.ok().flatten().unwrap_or(Err(ConfigError::NoAnswer(within)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn looks_that_are_stuck_do_not_add_up_and_are_given_up() {
        static TWO: Semaphore = Semaphore::const_new(2);
        let short = Duration::from_millis(50);
        let (held, released) = std::sync::mpsc::channel::<()>();
        let released = std::sync::Arc::new(std::sync::Mutex::new(released));
        let stuck = || {
            let released = std::sync::Arc::clone(&released);
            move || {
                let _ = released.lock().expect("whole").recv();
            }
        };
        for _ in 0..2 {
            let refused = look(&TWO, short, stuck()).await.expect_err("it is stuck").to_string();
            assert!(refused.contains("do not answer within"), "{refused}");
        }
        let third = look(&TWO, short, || 3).await;
        assert!(matches!(third, Err(ConfigError::NoAnswer(_))), "a third thread was started");
        drop(held);
        assert_eq!(look(&TWO, Duration::from_secs(10), || 4).await.expect("they have ended"), 4);
    }
}
