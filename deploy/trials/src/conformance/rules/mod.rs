//! The rules, one function each, in the order in which they are tested.
//!
//! | module | rules about |
//! |---|---|
//! | `says` | what is reported, and when |
//! | `asks` | when a restart is requested |
//! | `serves` | what the monitor serves to other clients |
//! | `link` | a supervisor that is gone, a newer supervisor, the exit |

mod asks;
mod link;
mod says;
mod serves;

use std::pin::Pin;
use std::time::Duration;

use proto::time::to_wire;
use proto::v1::{self, CheckState};

use super::monitor::Monitor;
use super::stage::{Heard, Stage, What};
use super::world::{State, World};
use super::{Complaint, Verdict};

/// Service of every target.
pub(super) const SERVICE: &str = "played";
/// Check of every target.
const CHECK: &str = "look";
/// Time limit, longer than a correct monitor needs for anything, even on a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// Interval of frequent checks.
const OFTEN: Duration = Duration::from_millis(300);

/// State of one test run.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) stage: Stage,
    pub(super) world: World,
    pub(super) monitor: Monitor,
    pub(super) incarnation: u64,
}

type Act = for<'a> fn(&'a mut Play) -> Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// Name, rule and function of each test.
pub(super) const ALL: [(&str, &str, Act); 18] = [
    ("attach", "says who it is, and reports every target at once, of the generation it was sent", |p| {
        Box::pin(link::attach(p))
    }),
    ("first", "the first result of an incarnation is reported", |p| Box::pin(says::first(p))),
    ("quiet", "while nothing changes nothing is reported", |p| Box::pin(says::quiet(p))),
    ("starting", "while a target is starting it is checked fast, and reported every 2 s", |p| {
        Box::pin(says::starting(p))
    }),
    (
        "counts",
        "failing means `failures` failed checks in a row; the first of them is reported at once",
        |p| Box::pin(says::counts(p)),
    ),
    ("asks", "a restart is asked for once it is failing, and not again once that is accepted", |p| {
        Box::pin(asks::asks(p))
    }),
    ("held", "what was held is asked again at the next failed check, not before `retry_after`", |p| {
        Box::pin(asks::held(p))
    }),
    ("report-only", "`report_only` is reported, and never asked for", |p| Box::pin(asks::report_only(p))),
    ("grace", "failures before the first success do not count until `start_period` is over", |p| {
        Box::pin(says::grace(p))
    }),
    ("nothing-runs", "incarnation 0 is not probed", |p| Box::pin(says::nothing_runs(p))),
    ("stale", "a probe begun before an incarnation says nothing about it", |p| Box::pin(says::stale(p))),
    ("recovers", "a target that is well again is reported so", |p| Box::pin(says::recovers(p))),
    ("check-now", "CheckNow looks at once and answers with the result; errors have a code", |p| {
        Box::pin(serves::check_now(p))
    }),
    ("watch", "WatchMonitorStatus sends the status at once and after each change", |p| {
        Box::pin(serves::watch(p))
    }),
    (
        "lost",
        "a lost supervisor is looked for from 100 ms doubling to 5 s, probing goes on; then one full report",
        |p| Box::pin(link::lost(p)),
    ),
    ("newer", "fields and answers of a newer supervisor are survived", |p| Box::pin(link::newer(p))),
    ("sets", "a report holds the targets of the generation it names, and no others", |p| {
        Box::pin(std::future::ready(link::sets(p)))
    }),
    ("end", "SIGTERM ends it with code 0 within 5 s; streams end, with UNAVAILABLE if with an error", |p| {
        Box::pin(link::end(p))
    }),
];

/// Returns `Kept` for success, else the first complaint.
fn verdict(found: Result<(), Complaint>) -> Verdict {
    found.map_or_else(Verdict::Broken, |()| Verdict::Kept)
}

fn hold(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), Complaint> {
    if holds { Ok(()) } else { Err(complaint().into()) }
}

impl Play {
    /// Returns a target of a new incarnation with this interval.
    fn target(&mut self, interval: Duration) -> v1::Target {
        self.incarnation += 1;
        v1::Target {
            service: SERVICE.into(),
            incarnation: self.incarnation,
            check: CHECK.into(),
            interval: Some(to_wire(interval)),
            timeout: Some(to_wire(interval.mul_f64(0.9))),
            failures: 3,
            successes: 1,
            spec: Some(self.world.spec()),
            ..v1::Target::default()
        }
    }

    /// Waits for the first report since a mark in which the target satisfies `is`.
    async fn sees(
        &self,
        mark: usize,
        limit: Duration,
        is: impl Fn(&v1::CheckResult) -> bool,
    ) -> Option<(Heard, v1::CheckResult)> {
        let incarnation = self.incarnation;
        let found = |heard: &Heard| {
            let What::Report(report) = &heard.what else { return None };
            let mut of_it = report.results.iter().filter(|result| result.incarnation == incarnation);
            of_it.find(|result| is(result)).map(|result| (heard.clone(), result.clone()))
        };
        self.stage.wait(mark, limit, found).await
    }

    /// Sets up a healthy target of a new incarnation and waits until it passes; returns the mark from before.
    async fn well(&mut self, interval: Duration) -> Result<usize, Complaint> {
        if !self.world.be(State::Well).await {
            return Err("the play itself failed: nothing can be made well".into());
        }
        let target = self.target(interval);
        let mark = self.stage.mark();
        // The target begins as starting, so that the first check does not wait for a long interval.
        self.stage.set(vec![v1::Target { starting: true, ..target.clone() }]);
        let seen = self.sees(mark, SOON, |result| result.state() == CheckState::Passing).await;
        hold(seen.is_some(), || "a target that is well is not reported as passing".into())?;
        self.stage.set(vec![target]);
        Ok(mark)
    }

    /// Sets up a failing target of a new incarnation. Returns `None` if no such target is possible.
    async fn sick(&mut self, change: impl FnOnce(&mut v1::Target)) -> Option<usize> {
        if !self.world.be(State::Sick).await {
            return None;
        }
        let mut target = self.target(OFTEN);
        change(&mut target);
        let mark = self.stage.mark();
        self.stage.set(vec![target]);
        Some(mark)
    }

    fn asks_since(&self, mark: usize) -> Vec<(Heard, v1::RequestRestartRequest)> {
        let of_it = |heard: Heard| match &heard.what {
            What::Ask(ask) if ask.incarnation == self.incarnation => Some((heard.clone(), ask.clone())),
            _ => None,
        };
        self.stage.since(mark).into_iter().filter_map(of_it).collect()
    }

    async fn asked(&self, mark: usize, limit: Duration) -> Option<(Heard, v1::RequestRestartRequest)> {
        let incarnation = self.incarnation;
        let is = |heard: &Heard| match &heard.what {
            What::Ask(ask) if ask.incarnation == incarnation => Some((heard.clone(), ask.clone())),
            _ => None,
        };
        self.stage.wait(mark, limit, is).await
    }
}

/// Waits during a period in which nothing should happen.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Message if no target can be made to fail.
const NO_SICKNESS: &str = "give --failing KEY=VALUE, an option with which a target fails";
