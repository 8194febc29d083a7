//! `down`: stops the services and the supervisor, and waits until both are gone.

use std::time::Duration;

use proto::Endpoint;
use proto::v1::{ServiceState, ShutdownRequest, Status, WatchStatusRequest, WatchStatusResponse};
use serde::Serialize;
use sereno_connect::ConnectError;
use tokio::time::{Instant, sleep};

use super::spawn;
use crate::client::{Feed, Supervisor, unreachable};
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::Place;
use crate::render::one_line;

/// How long to wait for the supervisor's exit after its last streams have ended.
const LEAVE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const NOW_AND_THEN: Duration = Duration::from_millis(200);

#[derive(Serialize)]
struct DownJson {
    /// Whether a supervisor was running.
    running: bool,
    stopped: Vec<String>,
    kept: Vec<String>,
}

/// Stops everything, or only the daemons.
pub(super) async fn run(keep_services: bool, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let endpoint = &place.located.supervisor;
    let until = Instant::now() + LEAVE;
    let (mut feed, before) = loop {
        match shut_down(keep_services, place).await {
            Ok(Shutdown::Begun(told)) => break *told,
            Ok(Shutdown::NotRunning { ended }) => return nobody(ended, out),
            // The supervisor died during the request; its successor is told too.
            Err(Failure::NoSupervisor { .. }) if Instant::now() < until => sleep(LOOK_AGAIN).await,
            Err(failure) => return Err(failure),
        }
    };
    let had = alive(&before);
    let width = had.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut left = had.clone();
    let mut stopped = Vec::new();
    let mut say = |name: String, out: &mut Out| {
        if !out.json {
            out.line(&format!("{:<width$}  stopped", one_line(&name)))?;
            out.flush()?;
        }
        stopped.push(name);
        Ok::<(), Failure>(())
    };
    loop {
        let status = tokio::select! {
            next = feed.next_status() => match next {
                Ok(Some(status)) => status,
                Ok(None) | Err(_) => break,
            },
            // The supervisor is gone, although the stream has not ended.
            () = deserted(endpoint) => break,
        };
        let now = alive(&status);
        for name in left.extract_if(.., |name| !keep_services && !now.contains(name)) {
            say(name, out)?;
        }
    }
    drop(feed);
    gone(endpoint).await?;
    // If a supervisor is killed meanwhile, the rest is left to another one, no matter which process starts it.
    while !keep_services
        && spawn::end_what_is_left(&place.located.home, endpoint).await? == spawn::Left::Supervised
    {
        gone(endpoint).await?;
    }
    let kept = if keep_services {
        left
    } else {
        // The last state may have been too short to be seen. The supervisor does not exit before all
        // services are stopped.
        for name in left {
            say(name, out)?;
        }
        Vec::new()
    };
    if out.json {
        out.document(&DownJson { running: true, stopped, kept })?;
    } else {
        for name in &kept {
            out.line(&format!("{:<width$}  kept running", one_line(name)))?;
        }
        out.line("the supervisor and its monitors have ended")?;
    }
    Ok(Done::Well)
}

/// Result of the shutdown request.
enum Shutdown {
    /// A supervisor is shutting down; with the status before.
    Begun(Box<(Feed<WatchStatusResponse>, Status)>),
    /// No supervisor is running; `ended` tells whether leftovers had to be stopped.
    NotRunning { ended: bool },
}

async fn shut_down(keep_services: bool, place: &Place) -> Result<Shutdown, Failure> {
    let endpoint = &place.located.supervisor;
    let supervisor = match Supervisor::try_connect(endpoint).await {
        // Without a supervisor the services keep running anyway.
        Err(ConnectError::Nobody(_)) if keep_services => return Ok(Shutdown::NotRunning { ended: false }),
        Err(ConnectError::Nobody(_)) => match spawn::end_what_is_left(&place.located.home, endpoint).await? {
            spawn::Left::Nothing(ended) => return Ok(Shutdown::NotRunning { ended }),
            spawn::Left::Supervised => Supervisor::connect(endpoint).await?,
        },
        Err(error) => return Err(unreachable(endpoint, error)),
        Ok(supervisor) => supervisor,
    };
    let mut feed = supervisor.watch_status(WatchStatusRequest { usage: false }).await?;
    let before = feed.next_status().await?.unwrap_or_default();
    supervisor.shutdown(ShutdownRequest { keep_services }).await?;
    Ok(Shutdown::Begun(Box::new((feed, before))))
}

fn nobody(ended: bool, out: &mut Out) -> Result<Done, Failure> {
    if out.json {
        out.document(&DownJson { running: ended, stopped: Vec::new(), kept: Vec::new() })?;
    } else if ended {
        out.line("the supervisor had died; what it left running has been stopped")?;
    } else {
        out.line("the supervisor is not running")?;
    }
    Ok(Done::Well)
}

/// Returns the services that have a running process.
fn alive(status: &Status) -> Vec<String> {
    let runs = status.services.iter().filter(|service| {
        service.pid != 0
            || matches!(
                service.state(),
                ServiceState::Starting | ServiceState::Running | ServiceState::Stopping
            )
    });
    runs.map(|service| service.name.clone()).collect()
}

/// Returns once no supervisor listens. Polls at long intervals, because usually the end of the stream comes first.
async fn deserted(endpoint: &Endpoint) {
    loop {
        sleep(NOW_AND_THEN).await;
        if let Err(ConnectError::Nobody(_)) = Supervisor::try_connect(endpoint).await {
            return;
        }
    }
}

/// Waits until no supervisor listens any more.
async fn gone(endpoint: &Endpoint) -> Result<(), Failure> {
    let until = Instant::now() + LEAVE;
    while let Ok(supervisor) = Supervisor::try_connect(endpoint).await {
        drop(supervisor);
        if Instant::now() >= until {
            let why = format!("{endpoint}: somebody still listens {} s after the end", LEAVE.as_secs());
            return Err(Failure::Refused(why));
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
