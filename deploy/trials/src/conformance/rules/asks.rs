//! Rules on when a restart is requested.

use std::time::Duration;

use proto::v1::{CheckState, Decision};

use super::{NO_SICKNESS, OFTEN, Play, SOON, hold, pass, verdict};
use crate::conformance::Verdict;

pub(super) async fn asks(play: &mut Play) -> Verdict {
    play.stage.answer(Decision::Accepted.into(), None);
    let Some(mark) = play.sick(|_| {}).await else { return Verdict::NotTried(NO_SICKNESS) };
    let Some((_, ask)) = play.asked(mark, SOON).await else {
        return Verdict::Broken("a target that is sick is not asked for".into());
    };
    let evidence = ask.evidence.unwrap_or_default();
    pass(OFTEN * 6).await;
    let asks = play.asks_since(mark).len();
    verdict(
        hold(asks == 1, || format!("asked {asks} times, though the first was accepted"))
            .and_then(|()| hold(!evidence.summary.is_empty(), || "asked without evidence.summary".into()))
            .and_then(|()| {
                hold(evidence.failures >= 3, || format!("asked after {} failed checks", evidence.failures))
            }),
    )
}

pub(super) async fn held(play: &mut Play) -> Verdict {
    const WAIT: Duration = Duration::from_secs(3);
    play.stage.answer(Decision::HeldBudget.into(), Some(WAIT));
    let Some(mark) = play.sick(|_| {}).await else { return Verdict::NotTried(NO_SICKNESS) };
    let first = play.asked(mark, SOON).await;
    let told = play.stage.mark();
    let second = play.asked(told, SOON).await;
    play.stage.answer(Decision::Accepted.into(), None);
    let (Some((first, _)), Some((second, _))) = (first, second) else {
        return Verdict::Broken("what was held is not asked for again".into());
    };
    let waited = second.at.duration_since(first.at);
    verdict(hold(waited >= WAIT.mul_f64(0.95), || {
        format!("asked again after {} ms, with retry_after = {} s", waited.as_millis(), WAIT.as_secs())
    }))
}

pub(super) async fn report_only(play: &mut Play) -> Verdict {
    let Some(mark) = play.sick(|target| target.report_only = true).await else {
        return Verdict::NotTried(NO_SICKNESS);
    };
    if play.sees(mark, SOON, |result| result.state() == CheckState::Failing).await.is_none() {
        return Verdict::Broken("it is not reported as failing".into());
    }
    pass(OFTEN * 4).await;
    verdict(hold(play.asks_since(mark).is_empty(), || "a restart is asked for all the same".into()))
}
