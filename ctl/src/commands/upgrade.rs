//! `upgrade`: replaces the supervisor's program within the same process. Succeeds when the new program answers.

use std::time::Duration;

use proto::time::lenient;
use proto::v1::{Status, UpgradeRequest};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::args::Upgrade;
use crate::client::{Supervisor, reconnect};
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::Place;

/// The new program must answer within this time.
const WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

fn pid(status: &Status) -> u32 {
    status.supervisor.as_ref().map_or(0, |supervisor| supervisor.pid)
}

pub(super) async fn run(upgrade: Upgrade, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let binary = upgrade.binary.map(|path| std::path::absolute(&path).unwrap_or(path));
    let binary = binary.map(|path| path.display().to_string()).unwrap_or_default();
    let endpoint = &place.located.supervisor;
    let asked = Instant::now();
    let supervisor = Supervisor::connect(endpoint).await?;
    let before = pid(&supervisor.status(false, WITHIN).await?);
    let version = supervisor.upgrade(UpgradeRequest { binary }).await?.version;
    let until = Instant::now() + WITHIN;
    let after = loop {
        // The old program has been up for longer than this command waits; its successor has not.
        let supervisor = reconnect(endpoint).await?;
        if let Ok(status) = supervisor.status(false, WITHIN).await
            && let after = pid(&status)
            && let Some(uptime) = status.supervisor.and_then(|supervisor| lenient(supervisor.uptime))
            && uptime < asked.elapsed()
        {
            break after;
        }
        if Instant::now() >= until {
            let why = "the new program was started and does not answer; see log/supervisor.log";
            return Err(Failure::Refused(why.into()));
        }
        sleep(LOOK_AGAIN).await;
    };
    if out.json {
        out.document(&json!({ "version": version }))?;
    } else {
        let took = asked.elapsed().as_secs_f64() * 1e3;
        let place = if after == before {
            "in the same process".into()
        } else {
            format!("as pid {after} in place of pid {before}, as this system has no exec")
        };
        out.line(&format!("supervisor  version {version} runs now, {place} ({took:.0} ms)"))?;
    }
    Ok(Done::Well)
}
