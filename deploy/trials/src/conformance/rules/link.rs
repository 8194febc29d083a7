//! Rules on a supervisor that is gone, a newer supervisor, and the exit.

use std::time::Duration;

use proto::v1::{CheckState, Decision};
use tokio::time::Instant;
use tonic::Code;

use super::{OFTEN, Play, SERVICE, SOON, hold, pass, verdict};
use crate::conformance::monitor::NAME;
use crate::conformance::stage::{Heard, What};
use crate::conformance::{Complaint, Verdict};

pub(super) async fn attach(play: &mut Play) -> Verdict {
    verdict(says_who_it_is(play).await)
}

async fn says_who_it_is(play: &mut Play) -> Result<(), Complaint> {
    let hello = play.stage.first_hello().await.ok_or("it does not attach")?;
    let ours = play.monitor.is_ours();
    hold(!ours || hello.monitor == NAME, || {
        format!("it calls itself {:?}, and SERENO_MONITOR says {NAME:?}", hello.monitor)
    })?;
    hold(!hello.session.is_empty(), || "its session is empty".into())?;
    let own = play.monitor.endpoint.to_string();
    hold(!ours || hello.endpoint == own, || {
        format!("it says that it serves at {:?}, and SERENO_LISTEN says {own:?}", hello.endpoint)
    })?;
    full_report(play, 0).await.ok_or("no report comes on attach")?;
    let status = play.monitor.status().await.map_err(|error| format!("GetMonitorStatus: {error}"))?;
    hold(status.attached, || "GetMonitorStatus says that it is not attached".into())?;
    hold(status.monitor == hello.monitor && status.kind == hello.kind, || {
        format!("GetMonitorStatus says {:?} of kind {:?}", status.monitor, status.kind)
    })
}

/// Returns a report since a mark, of the session that attached.
async fn full_report(play: &Play, mark: usize) -> Option<Heard> {
    let session = play.stage.first_hello().await?.session;
    let is = |heard: &Heard| match &heard.what {
        What::Report(report) if report.session == session => Some(heard.clone()),
        _ => None,
    };
    play.stage.wait(mark, SOON, is).await
}

pub(super) async fn lost(play: &mut Play) -> Verdict {
    verdict(comes_back(play).await)
}

async fn comes_back(play: &mut Play) -> Result<(), Complaint> {
    const AWAY: Duration = Duration::from_secs(4);
    play.well(Duration::from_secs(1)).await?;
    let (session, looks) = (play.stage.first_hello().await.map(|hello| hello.session), play.world.looks());
    let (mark, from) = (play.stage.mark(), Instant::now());
    play.stage.down(true);
    pass(AWAY).await;
    let status = play.monitor.status().await;
    let attached = status.map_err(|error| format!("GetMonitorStatus while alone: {error}"))?.attached;
    let tries: Vec<Duration> = attempts(play, mark).iter().map(|at| at.duration_since(from)).collect();
    let looked = play.world.looks();
    let back = play.stage.mark();
    play.stage.down(false);
    hold(!attached, || "GetMonitorStatus says attached, and nobody is there".into())?;
    // Expected attempts at 100, 300, 700, 1500, 3100 ms; with jitter at 80 % of that.
    hold((2..=9).contains(&tries.len()), || {
        format!("{} tries in {} s: {tries:?}", tries.len(), AWAY.as_secs())
    })?;
    hold(tries[0] < Duration::from_secs(1), || format!("its first try came after {:?}", tries[0]))?;
    hold(looks.is_none() || looked > looks, || "it does not look while it is alone".into())?;
    let hello = |heard: &Heard| match &heard.what {
        What::Attach(hello, false) => Some(hello.session.clone()),
        _ => None,
    };
    let again = play.stage.wait(back, Duration::from_secs(8), hello).await;
    hold(again.is_some(), || "it does not come back within 8 s".into())?;
    hold(again == session, || "it comes back with another session, though it is the same process".into())?;
    let seen = play.sees(back, SOON, |_| true).await.ok_or("no full report comes when it is back")?;
    hold(seen.1.state() == CheckState::Passing, || {
        format!("what it knew is lost: {} was passing, and is {:?}", seen.1.check, seen.1.state())
    })
}

fn attempts(play: &Play, mark: usize) -> Vec<Instant> {
    let away = |heard: Heard| matches!(heard.what, What::Attach(_, true)).then_some(heard.at);
    play.stage.since(mark).into_iter().filter_map(away).collect()
}

pub(super) async fn newer(play: &mut Play) -> Verdict {
    play.stage.newer(true);
    let survived = play.well(OFTEN).await;
    play.stage.newer(false);
    if survived.is_err() {
        return Verdict::Broken("a set with unknown fields is not answered".into());
    }
    play.stage.answer(99, None);
    let again = match play.sick(|_| {}).await {
        Some(mark) => match play.asked(mark, SOON).await {
            Some(_) => play.asked(play.stage.mark(), SOON).await.is_some(),
            None => false,
        },
        None => true,
    };
    play.stage.answer(Decision::Accepted.into(), None);
    verdict(hold(again, || "an answer that it does not know is taken for a yes: it never asks again".into()))
}

pub(super) fn sets(play: &Play) -> Verdict {
    let sets = play.stage.sets();
    let wrong = play.stage.since(0).into_iter().find_map(|heard| {
        let What::Report(report) = heard.what else { return None };
        let Some(set) = sets.iter().find(|set| set.generation == report.generation) else {
            return Some(format!("a report of generation {}, which there never was", report.generation));
        };
        let known = |result: &proto::v1::CheckResult| {
            set.targets.iter().any(|target| {
                (&target.service, &target.check) == (&result.service, &result.check)
                    && target.incarnation == result.incarnation
            })
        };
        let stranger = report.results.iter().find(|result| !known(result));
        if let Some(stranger) = stranger {
            let (generation, incarnation) = (report.generation, stranger.incarnation);
            return Some(format!("a report of generation {generation} holds incarnation {incarnation}"));
        }
        (report.results.len() < set.targets.len() && !report.results.is_empty())
            .then(|| format!("a report of generation {} lacks targets", report.generation))
    });
    verdict(wrong.map_or(Ok(()), |wrong| Err(wrong.into())))
}

pub(super) async fn end(play: &mut Play) -> Verdict {
    if !play.monitor.is_ours() {
        return Verdict::NotTried("it was not started here");
    }
    verdict(ends(play).await)
}

async fn ends(play: &mut Play) -> Result<(), Complaint> {
    let _ = play.monitor.check_now(SERVICE).await;
    let mut stream = play.monitor.watch().await.map_err(|error| format!("WatchMonitorStatus: {error}"))?;
    let status = play.monitor.terminate(Duration::from_secs(5)).await.ok_or("it is still there after 5 s")?;
    hold(status.success(), || format!("it ended with {status}"))?;
    let last = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Code::Ok,
                Err(status) => return status.code(),
            }
        }
    };
    let code = tokio::time::timeout(SOON, last).await.map_err(|_| "an open stream does not end")?;
    hold(matches!(code, Code::Ok | Code::Unavailable), || format!("an open stream ends with {code:?}"))
}
