//! Rules on what the monitor serves to other clients.

use std::time::Duration;

use proto::v1::CheckState;
use tokio::time::Instant;
use tonic::Code;

use super::{OFTEN, Play, SERVICE, SOON, hold, pass, verdict};
use crate::conformance::{Complaint, Verdict};

pub(super) async fn check_now(play: &mut Play) -> Verdict {
    verdict(looks_at_once(play).await)
}

async fn looks_at_once(play: &mut Play) -> Result<(), Complaint> {
    play.well(Duration::from_secs(600)).await?;
    // Known results are then older than the request by this time.
    pass(OFTEN).await;
    let (looks, asked) = (play.world.looks(), Instant::now());
    let results = play.monitor.check_now(SERVICE).await.map_err(|error| format!("CheckNow: {error}"))?;
    let looked = play.world.looks();
    hold(looks.is_none() || looked > looks, || "it answers without a look".into())?;
    let [result] = &results[..] else {
        return Err(format!("{} results for one target", results.len()).into());
    };
    let right = result.incarnation == play.incarnation && result.state() == CheckState::Passing;
    hold(right, || format!("answers with {result:?}"))?;
    let age = proto::time::from_wire("age", result.age).map_err(|error| error.to_string())?;
    hold(age <= asked.elapsed(), || {
        format!("its result is {} ms old, older than the question", age.as_millis())
    })?;
    for nobody in ["nobody", ""] {
        let code = play.monitor.check_now(nobody).await.map_or_else(|status| status.code(), |_| Code::Ok);
        let known = matches!(code, Code::Ok | Code::NotFound | Code::InvalidArgument);
        hold(known, || format!("service {nobody:?} is answered with {code:?}"))?;
    }
    hold(play.monitor.has_health().await || !play.monitor.is_ours(), || "grpc.health.v1 is not served".into())
}

pub(super) async fn watch(play: &mut Play) -> Verdict {
    verdict(statuses(play).await)
}

async fn statuses(play: &mut Play) -> Result<(), Complaint> {
    let failed = |error: tonic::Status| format!("WatchMonitorStatus: {error}");
    let mut stream = play.monitor.watch().await.map_err(failed)?;
    let first = tokio::time::timeout(SOON, stream.message()).await.map_err(|_| "no status at once")?;
    let first = first.map_err(failed)?.ok_or("the stream ended at once")?;
    hold(first.attached, || "it says that it is not attached".into())?;
    play.well(Duration::from_secs(1)).await?;
    let incarnation = play.incarnation;
    let change = async {
        while let Ok(Some(status)) = stream.message().await {
            if status.results.iter().any(|r| r.incarnation == incarnation && r.state() == CheckState::Passing)
            {
                return true;
            }
        }
        false
    };
    let told = tokio::time::timeout(SOON, change).await.unwrap_or(false);
    hold(told, || "a change does not come".into())
}
