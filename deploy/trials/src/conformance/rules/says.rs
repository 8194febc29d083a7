//! Rules on what is reported, and when.

use std::time::Duration;

use proto::v1::{self, CheckState};

use super::{NO_SICKNESS, OFTEN, Play, SOON, hold, pass, verdict};
use crate::conformance::Verdict;
use crate::conformance::stage::What;
use crate::conformance::world::State;

pub(super) async fn first(play: &mut Play) -> Verdict {
    verdict(play.well(Duration::from_secs(1)).await.map(drop))
}

pub(super) async fn quiet(play: &mut Play) -> Verdict {
    const TIME: Duration = Duration::from_secs(4);
    if let Err(complaint) = play.well(Duration::from_secs(1)).await {
        return Verdict::Broken(complaint);
    }
    // A report may have crossed the set in which the target is no longer starting.
    pass(OFTEN).await;
    let mark = play.stage.mark();
    pass(TIME).await;
    let heard = play.stage.since(mark);
    verdict(hold(heard.is_empty(), || {
        format!("{} messages in {} s, though the target was well all the time", heard.len(), TIME.as_secs())
    }))
}

pub(super) async fn starting(play: &mut Play) -> Verdict {
    const TIME: Duration = Duration::from_secs(7);
    if !play.world.be(State::Well).await {
        return Verdict::NotTried("nothing can be made well");
    }
    let looks = play.world.looks();
    let target = play.target(Duration::from_secs(60));
    let mark = play.stage.mark();
    play.stage.set(vec![v1::Target { starting: true, ..target }]);
    pass(TIME).await;
    let is_report = |what: &What| matches!(what, What::Report(report) if report.results.iter().any(|r| r.incarnation == play.incarnation));
    let reports = play.stage.since(mark).iter().filter(|heard| is_report(&heard.what)).count();
    verdict(
        hold((3..=7).contains(&reports), || format!("{reports} reports in {} s", TIME.as_secs())).and_then(
            |()| {
                let looked = play.world.looks().zip(looks).map(|(now, before)| now - before);
                // Expected checks at 0, 250 ms, 750 ms, 1.75 s, 3.75 s.
                hold(looked.is_none_or(|looked| (3..=12).contains(&looked)), || {
                    format!("{} looks in {} s", looked.unwrap_or(0), TIME.as_secs())
                })
            },
        ),
    )
}

pub(super) async fn counts(play: &mut Play) -> Verdict {
    let Some(mark) = play.sick(|_| {}).await else { return Verdict::NotTried(NO_SICKNESS) };
    let Some((_, first)) = play.sees(mark, SOON, |result| result.failures > 0).await else {
        return Verdict::Broken("no failed check is reported".into());
    };
    let Some((_, failing)) = play.sees(mark, SOON, |r| r.state() == CheckState::Failing).await else {
        return Verdict::Broken("a target that is sick is not reported as failing".into());
    };
    let early = first.state() == CheckState::Failing && first.failures < 3;
    verdict(
        hold(!early && failing.failures >= 3, || {
            format!("failing after {} failed checks, with failures = 3", first.failures.min(failing.failures))
        })
        .and_then(|()| {
            hold(first.failures == 1, || {
                format!("the first of them is told only with {} more", first.failures - 1)
            })
        }),
    )
}

pub(super) async fn grace(play: &mut Play) -> Verdict {
    let hour = Some(proto::time::to_wire(Duration::from_secs(3600)));
    let Some(mark) = play.sick(|target| target.start_period = hour).await else {
        return Verdict::NotTried(NO_SICKNESS);
    };
    let failing = play.sees(mark, OFTEN * 10, |result| result.state() == CheckState::Failing).await;
    let asks = play.asks_since(mark);
    verdict(hold(failing.is_none() && asks.is_empty(), || "it is failing in its start period".into()))
}

pub(super) async fn nothing_runs(play: &mut Play) -> Verdict {
    play.world.be(State::Well).await;
    let Some(before) = play.world.looks() else {
        return Verdict::NotTried("whether a target of this kind is looked at can not be seen");
    };
    let target = play.target(OFTEN);
    play.stage.set(vec![v1::Target { incarnation: 0, pid: 0, ..target }]);
    // One check may have been in progress.
    pass(OFTEN * 10).await;
    let looks = play.world.looks().unwrap_or(0) - before;
    verdict(hold(looks <= 1, || format!("{looks} looks at a target of incarnation 0")))
}

pub(super) async fn stale(play: &mut Play) -> Verdict {
    if let Err(complaint) = play.well(OFTEN).await {
        return Verdict::Broken(complaint);
    }
    if !play.world.be(State::Held).await {
        return Verdict::NotTried("an answer of this kind can not be held back");
    }
    let target = v1::Target {
        timeout: Some(proto::time::to_wire(SOON * 2)),
        interval: Some(proto::time::to_wire(SOON * 3)),
        starting: true,
        ..play.target(SOON)
    };
    let looks = play.world.looks();
    play.stage.set(vec![target.clone()]);
    for _ in 0..100 {
        if play.world.looks() > looks {
            break;
        }
        pass(Duration::from_millis(50)).await;
    }
    // The old run's check is in progress; then a new run begins, and the old, failing answer arrives. A check of the new
    // run, whenever it comes, is answered well.
    let old = play.world.looks().unwrap_or(0);
    play.incarnation += 1;
    let mark = play.stage.mark();
    let interval = Some(proto::time::to_wire(SOON));
    play.stage.set(vec![v1::Target { incarnation: play.incarnation, interval, starting: false, ..target }]);
    pass(OFTEN).await;
    play.world.be(State::SickUpTo(old)).await;
    pass(OFTEN).await;
    let seen = play.sees(mark, OFTEN * 5, |result| result.failures > 0).await;
    verdict(hold(seen.is_none(), || "the new run is blamed for what the old one answered".into()))
}

pub(super) async fn recovers(play: &mut Play) -> Verdict {
    if !play.world.changes_by_itself() {
        return Verdict::NotTried("a target of this kind can not be made to change under one incarnation");
    }
    let Some(mark) = play.sick(|target| target.report_only = true).await else {
        return Verdict::NotTried(NO_SICKNESS);
    };
    if play.sees(mark, SOON, |result| result.state() == CheckState::Failing).await.is_none() {
        return Verdict::Broken("a target that is sick is not reported as failing".into());
    }
    play.world.be(State::Well).await;
    let well = play.sees(mark, SOON, |result| result.state() == CheckState::Passing).await;
    verdict(hold(well.is_some_and(|(_, result)| result.failures == 0), || "it stays failing".into()))
}
