//! What is counted for the metrics, over all runs of a service and over all services. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::arbiter::Decision;
use super::check_runs::{CheckRuns, CheckTally};
use super::recovery::Recoveries;
use super::{BootInstant, State, Unit, WhyEnd};

/// Why a service was started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartCause {
    /// Its run ended by itself, or could not be started.
    Exit,
    /// A monitor or the watchdog asked for a restart, and got it.
    Unhealthy,
    /// It was not ready in time.
    NotReady,
    /// It used more memory than it may.
    Memory,
    /// A job's run took too long.
    Overdue,
    /// A person, a changed file, a dependency or a schedule wanted a new run.
    Requested,
    /// It is not known: the restart is older than these counts.
    Unknown,
}

impl RestartCause {
    /// Every cause, in the order of the counts.
    pub const ALL: [Self; 7] = [
        Self::Exit,
        Self::Unhealthy,
        Self::NotReady,
        Self::Memory,
        Self::Overdue,
        Self::Requested,
        Self::Unknown,
    ];

    /// Returns its word, as a label and in the state.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Unhealthy => "unhealthy",
            Self::NotReady => "not_ready",
            Self::Memory => "memory",
            Self::Overdue => "overdue",
            Self::Requested => "requested",
            Self::Unknown => "unknown",
        }
    }
}

impl From<WhyEnd> for RestartCause {
    fn from(end: WhyEnd) -> Self {
        match end {
            WhyEnd::Exit => Self::Exit,
            WhyEnd::Asked => Self::Unhealthy,
            WhyEnd::NotReady => Self::NotReady,
            WhyEnd::Memory => Self::Memory,
            WhyEnd::Overdue => Self::Overdue,
            WhyEnd::Stop | WhyEnd::Restart => Self::Requested,
        }
    }
}

/// How often a service was started again, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restarts([u64; RestartCause::ALL.len()]);

impl Restarts {
    /// Returns each cause with its count.
    pub fn by_cause(self) -> impl Iterator<Item = (RestartCause, u64)> {
        RestartCause::ALL.into_iter().zip(self.0)
    }

    /// Makes the sum what the unit counts. More restarts have this cause; fewer mean that a person reset the counts.
    fn follow(&mut self, total: u64, cause: RestartCause) {
        let counted = self.0.iter().sum();
        if total < counted {
            self.0 = Default::default();
            self.0[cause as usize] = total;
        } else {
            self.0[cause as usize] += total - counted;
        }
    }
}

/// What is counted of one service.
#[derive(Debug, Clone)]
pub struct Tally {
    restarts: Restarts,
    /// Why the next start, if there is one, will be a restart.
    next: RestartCause,
    /// How long it was wanted up and not ready, without the time since `unready_since`.
    unready: Duration,
    unready_since: Option<BootInstant>,
    /// What monitors count.
    pub checks: CheckTally,
}

impl Default for Tally {
    fn default() -> Self {
        let (next, unready) = (RestartCause::Unknown, Duration::ZERO);
        Self {
            restarts: Restarts::default(),
            next,
            unready,
            unready_since: None,
            checks: CheckTally::default(),
        }
    }
}

/// [`Tally`] in its written form.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SavedTally {
    /// How often it was started again, by the word of the cause.
    #[serde(default)]
    pub restarts: BTreeMap<String, u64>,
    /// How long it was wanted up and not ready.
    #[serde(default)]
    pub unready: Duration,
    /// How many checks ended how, by check.
    #[serde(default)]
    pub checks: BTreeMap<String, CheckRuns>,
}

impl Tally {
    /// Handles the end of a run.
    pub fn run_ended(&mut self, end: WhyEnd, now: BootInstant) {
        self.next = end.into();
        if end != WhyEnd::Stop {
            // The next run may be ready before the turn is over.
            self.unready_since.get_or_insert(now);
        }
    }

    /// Follows the unit.
    pub fn follow(&mut self, unit: &Unit, now: BootInstant) {
        self.restarts.follow(unit.restarts(), self.next);
        let state = unit.state(now);
        let is_missing =
            unit.is_wanted() && !matches!(state, State::Stopped | State::Completed | State::Running);
        if matches!(state, State::Stopped | State::Completed | State::Failed) {
            // It does not start by itself again.
            self.next = RestartCause::Requested;
        }
        match (is_missing, self.unready_since) {
            (true, None) => self.unready_since = Some(now),
            (false, Some(_)) => {
                self.unready = self.unready(now);
                self.unready_since = None;
            }
            _ => {}
        }
    }

    /// Returns how often it was started again, by cause.
    pub fn restarts(&self) -> Restarts {
        self.restarts
    }

    /// Returns how long it was wanted up and not ready.
    pub fn unready(&self, now: BootInstant) -> Duration {
        self.unready + self.unready_since.map(|since| now.since(since)).unwrap_or_default()
    }

    /// Returns its written form.
    pub fn save(&self, now: BootInstant) -> SavedTally {
        let counts = self.restarts.by_cause().filter(|(_, count)| *count > 0);
        SavedTally {
            restarts: counts.map(|(cause, count)| (cause.word().into(), count)).collect(),
            unready: self.unready(now),
            checks: self.checks.save(),
        }
    }

    /// Restores a tally; `total` is what the unit counts. After a crash the file is older than what was last shown: a
    /// counter that goes back a little looks like a new one with all its counts, so all but restarts begin from zero.
    pub fn restore(saved: &SavedTally, total: u64, handed_over: bool) -> Self {
        let count = |cause: RestartCause| saved.restarts.get(cause.word()).copied().unwrap_or(0);
        let mut restarts = Restarts(RestartCause::ALL.map(count));
        restarts.follow(total, RestartCause::Unknown);
        let lost = SavedTally::default();
        let SavedTally { unready, checks, .. } = if handed_over { saved } else { &lost };
        Self { restarts, unready: *unready, checks: CheckTally::restore(checks), ..Self::default() }
    }
}

/// What is counted over all services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostTally {
    decisions: BTreeMap<Decision, u64>,
    /// The outages that ended.
    pub recoveries: Recoveries,
}

/// [`HostTally`] in its written form.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SavedHostTally {
    /// The answers to requests for a restart, by the word of the answer.
    #[serde(default)]
    pub decisions: BTreeMap<String, u64>,
    /// The outages that ended.
    #[serde(default)]
    pub recoveries: Recoveries,
}

impl HostTally {
    /// Counts an answer to a request for a restart.
    pub fn decided(&mut self, decision: Decision) {
        *self.decisions.entry(decision).or_default() += 1;
    }

    /// Returns every answer with its count.
    pub fn decisions(&self) -> impl Iterator<Item = (Decision, u64)> {
        Decision::ALL.iter().map(|decision| (*decision, self.decisions.get(decision).copied().unwrap_or(0)))
    }

    /// Returns its written form.
    pub fn save(&self) -> SavedHostTally {
        let decisions = self.decisions.iter().map(|(decision, count)| (decision.to_string(), *count));
        SavedHostTally { decisions: decisions.collect(), recoveries: self.recoveries.clone() }
    }

    /// Restores what the previous image of this process has just written.
    pub fn restore(saved: &SavedHostTally) -> Self {
        let count = |decision: &Decision| Some((*decision, *saved.decisions.get(&decision.to_string())?));
        let decisions = Decision::ALL.iter().filter_map(count).collect();
        Self { decisions, recoveries: saved.recoveries.clone().restored() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::unit::testing::{at, plain, policy};
    use super::super::{Action, Exit, Fact, Request};
    use super::*;

    /// A service with its tally, followed after each turn as the manager does it.
    struct Story {
        unit: Unit,
        tally: Tally,
    }

    impl Story {
        fn begin() -> Self {
            let unit = plain(sereno_config::RestartPolicy { delay: Duration::ZERO, ..policy() });
            Self { unit, tally: Tally::default() }
        }

        fn turn(&mut self, seconds: f64) {
            let now = at(seconds);
            while let Some(action) = self.unit.poll(now) {
                match action {
                    Action::Spawn(_) => self.unit.observe(now, Fact::Spawned),
                    Action::Examine(_) => self.unit.observe(now, Fact::Examined),
                    Action::Drain => self.unit.observe(now, Fact::Drained),
                    Action::Sweep => {
                        self.tally.run_ended(self.unit.ends_because().expect("it has ended"), now);
                        self.unit.observe(now, Fact::Swept);
                    }
                    Action::Terminate(_) | Action::Kill => {
                        self.unit.observe(now, Fact::Exited(Exit::Code(0)));
                    }
                }
            }
            self.tally.follow(&self.unit, now);
        }

        fn request(&mut self, seconds: f64, request: Request) {
            self.unit.request(at(seconds), request);
            self.turn(seconds);
        }

        fn exit(&mut self, seconds: f64) {
            self.unit.observe(at(seconds), Fact::Exited(Exit::Code(1)));
            self.turn(seconds);
        }

        fn counts(&self) -> Vec<(&'static str, u64)> {
            let counts = self.tally.restarts().by_cause().filter(|(_, count)| *count > 0);
            counts.map(|(cause, count)| (cause.word(), count)).collect()
        }
    }

    #[test]
    fn each_restart_has_the_cause_of_the_end_before_it() {
        let mut story = Story::begin();
        story.request(1.0, Request::Start);
        assert_eq!(story.counts(), []);
        story.exit(100.0);
        story.turn(200.0);
        story.request(300.0, Request::Ask);
        story.turn(400.0);
        story.request(500.0, Request::Unburden);
        story.turn(600.0);
        story.request(700.0, Request::Restart);
        story.request(800.0, Request::Stop);
        story.request(900.0, Request::Start);
        let all = [("exit", 1), ("unhealthy", 1), ("memory", 1), ("requested", 2)];
        assert_eq!((story.counts(), story.unit.restarts()), (all.to_vec(), 5));
        story.request(1000.0, Request::Reset);
        assert_eq!(story.counts(), []);
    }

    #[test]
    fn the_time_in_which_it_is_wanted_and_not_ready_is_counted() {
        let mut story = Story::begin();
        story.request(1.0, Request::Start);
        story.request(120.0, Request::Ask);
        assert_eq!(story.tally.unready(at(121.0)), Duration::ZERO, "started at once");
        let mut given_up = Story::begin();
        given_up.unit.set_rules(super::super::unit::testing::rules(
            sereno_config::RestartPolicy { policy: sereno_config::Policy::Never, ..policy() },
            vec![sereno_config::Ready::Started],
        ));
        given_up.request(1.0, Request::Start);
        given_up.exit(10.0);
        assert_eq!(given_up.tally.unready(at(15.0)), Duration::from_secs(5));
        given_up.request(20.0, Request::Start);
        assert_eq!(given_up.tally.unready(at(99.0)), Duration::from_secs(10));
        assert_eq!(given_up.counts(), [("requested", 1)], "it was at rest");
        let mut quick = Tally::default();
        quick.run_ended(WhyEnd::Exit, at(2.0));
        quick.follow(&given_up.unit, at(2.5));
        assert_eq!(quick.unready(at(9.0)), Duration::from_millis(500), "ready in the same turn");
    }

    #[test]
    fn what_is_written_is_read_and_what_is_older_than_the_counts_has_no_cause() {
        let mut story = Story::begin();
        story.request(1.0, Request::Start);
        story.exit(2.0);
        let saved = story.tally.save(at(2.0));
        let upgraded = Tally::restore(&saved, 1, true);
        assert_eq!((upgraded.restarts(), upgraded.unready(at(9.0))), (story.tally.restarts(), saved.unready));
        let of_an_older_version = Tally::restore(&SavedTally::default(), 57, true);
        assert_eq!(of_an_older_version.save(at(9.0)).restarts, [("unknown".to_string(), 57)].into());
        let long = SavedTally { unready: Duration::from_secs(9), ..SavedTally::default() };
        assert_eq!(Tally::restore(&long, 0, false).unready(at(9.0)), Duration::ZERO, "after a crash");

        let mut host = HostTally::default();
        host.decided(Decision::Accepted);
        host.decided(Decision::HeldBrake);
        host.recoveries.add(Duration::from_secs(1));
        assert_eq!(HostTally::restore(&host.save()), host);
        assert_eq!(host.decisions().filter(|(_, count)| *count == 1).count(), 2);
        assert_eq!(host.decisions().count(), Decision::ALL.len());
    }
}
