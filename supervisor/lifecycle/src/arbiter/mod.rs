//! Decides on a request for a restart: of a monitor, or of the supervisor itself. Monitors count failures; the arbiter
//! decides.
//!
//! The order of the rules is part of the contract: the first rule that applies gives the answer.

mod decision;
#[cfg(test)]
mod walk;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto::Name;
use sereno_config::{Brake, Budget};

use super::BootInstant;
pub use super::case::{Case, Fault, RestartRequest, Standing};
pub use decision::Decision;

/// An answer with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The answer that the monitor receives.
    pub decision: Decision,
    /// The reason, for the operator.
    pub message: String,
    /// When asking again makes sense.
    pub retry_after: Option<Duration>,
}

impl Ruling {
    /// Creates an answer without a time.
    pub fn new(decision: Decision, message: String) -> Self {
        Self { decision, message, retry_after: None }
    }
}

/// The restarts that monitors were granted for a service, to enforce its budget.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    granted: VecDeque<BootInstant>,
}

impl Ledger {
    /// Forgets the granted restarts.
    pub fn clear(&mut self) {
        self.granted.clear();
    }

    fn spent(&mut self, budget: Budget, now: BootInstant) -> u32 {
        while self.granted.front().is_some_and(|at| now.since(*at) >= budget.within) {
            self.granted.pop_front();
        }
        u32::try_from(self.granted.len()).unwrap_or(u32::MAX)
    }
}

/// Suspects the host when many services become unhealthy at once.
#[derive(Debug, Clone, Default)]
pub struct HostBrake {
    /// When each checked service last became unhealthy: its first failed check after a good one.
    went_bad: BTreeMap<Name, BootInstant>,
    /// When a restart was let through although the brake held.
    let_through: Option<BootInstant>,
}

impl HostBrake {
    /// Records that a service became unhealthy. The run that was unhealthy before may have ended without recovering.
    pub fn bad(&mut self, service: &Name, now: BootInstant) {
        self.went_bad.insert(service.clone(), now);
    }

    /// Returns whether a service became unhealthy and has not recovered since.
    pub fn has(&self, service: &Name) -> bool {
        self.went_bad.contains_key(service)
    }

    /// Records that a service has recovered, or is gone.
    pub fn well(&mut self, service: &Name) {
        self.went_bad.remove(service);
    }

    /// Returns why restarts are held now; `None` if they are not held.
    pub fn holds(
        &self,
        brake: &Brake,
        checked: usize,
        longest: Duration,
        now: BootInstant,
    ) -> Option<String> {
        let window = brake.window.max(longest);
        let bad = self.went_bad.values().filter(|at| now.since(**at) <= window).count();
        let enough = checked >= usize::try_from(brake.min).unwrap_or(usize::MAX);
        #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52 services")]
        let many = bad as f64 > brake.share * checked as f64;
        (enough && many).then(|| {
            format!(
                "{bad} of {checked} checked services went bad within {}: suspecting the host",
                words(window)
            )
        })
    }

    /// Lets one restart per window through, so that a real outage still heals. The error is the time to wait.
    fn lets_through(&mut self, window: Duration, now: BootInstant) -> Result<(), Duration> {
        match self.let_through {
            Some(at) if now.since(at) < window => Err(window.saturating_sub(now.since(at))),
            _ => {
                self.let_through = Some(now);
                Ok(())
            }
        }
    }
}

/// Decides on a request; an accepted request is entered into the ledger.
pub fn decide(
    case: &Case,
    ledger: &mut Ledger,
    budget: Budget,
    brake: (&mut HostBrake, Option<(String, Duration)>),
    now: BootInstant,
) -> Ruling {
    let ruling = |decision, message: String, retry_after| Ruling { decision, message, retry_after };
    if case.asked != case.incarnation {
        let message = format!("incarnation {} is gone, {} is current", case.asked, case.incarnation);
        return ruling(Decision::Stale, message, None);
    }
    if let Some(why) = case.not_wanted {
        return ruling(Decision::NotWanted, why.into(), None);
    }
    if case.restarting {
        let message = format!("incarnation {} is already being restarted", case.incarnation);
        return ruling(Decision::Merged, message, None);
    }
    if case.report_only {
        return Ruling::new(Decision::ReportOnly, "this check is only reported (on_failure)".into());
    }
    if case.paused {
        return ruling(Decision::Paused, "paused by a person; `ctl resume` ends that".into(), None);
    }
    if let Some(left) = case.grace {
        return ruling(Decision::InGrace, "still within its time to start".into(), Some(left));
    }
    if let Some(why) = case.no_evidence {
        return Ruling::new(Decision::NoEvidence, why.into());
    }
    if let Some(dependency) = &case.suspect {
        let message = format!(
            "its dependency {dependency} is not well, or only just back: that one first, this one if it still fails then"
        );
        return ruling(Decision::HeldDependency, message, None);
    }
    let spent = ledger.spent(budget, now);
    if spent >= budget.max {
        let oldest =
            ledger.granted.front().map_or(Duration::ZERO, |at| budget.within.saturating_sub(now.since(*at)));
        let message = format!(
            "budget of {} in {} is spent; `ctl reset` gives a new one",
            budget.max,
            words(budget.within)
        );
        return ruling(Decision::HeldBudget, message, Some(oldest));
    }
    let (host, holds) = brake;
    if let Some((why, window)) = holds
        && let Err(left) = host.lets_through(window, now)
    {
        let message = format!("{why}; one restart is let through every {}", words(window));
        return ruling(Decision::HeldBrake, message, Some(left));
    }
    ledger.granted.push_back(now);
    let message = format!(
        "restart accepted (incarnation {}), budget {} of {} in {}",
        case.incarnation,
        spent + 1,
        budget.max,
        words(budget.within)
    );
    ruling(Decision::Accepted, message, None)
}

/// Formats a duration for people: `1h`, `90s`, `1h 30m`.
pub fn words(duration: Duration) -> String {
    let total = duration.as_secs();
    if total == 0 {
        return format!("{}ms", duration.as_millis());
    }
    let parts = [(total / 86_400, "d"), (total / 3_600 % 24, "h"), (total / 60 % 60, "m"), (total % 60, "s")];
    let shown: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).take(2).map(|(n, unit)| format!("{n}{unit}")).collect();
    shown.join(" ")
}

/// Formats how long something took, for people: `0.3 s`, `17 s`, `2h 4m`.
pub fn took(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        _ => words(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::super::unit::testing::{at, name};
    use super::*;

    const BUDGET: Budget = Budget { max: 2, within: Duration::from_secs(3600) };

    fn case() -> Case {
        Case {
            incarnation: 4,
            asked: 4,
            not_wanted: None,
            restarting: false,
            report_only: false,
            no_evidence: None,
            paused: false,
            grace: None,
            suspect: None,
        }
    }

    fn ask(case: &Case, ledger: &mut Ledger, now: BootInstant) -> Ruling {
        decide(case, ledger, BUDGET, (&mut HostBrake::default(), None), now)
    }

    #[test]
    fn a_cleared_ledger_grants_again() {
        let mut ledger = Ledger::default();
        let decided = |ledger: &mut Ledger| ask(&case(), ledger, at(9.0)).decision;
        let twice = [decided(&mut ledger), decided(&mut ledger)];
        assert_eq!((twice, decided(&mut ledger)), ([Decision::Accepted; 2], Decision::HeldBudget));
        ledger.clear();
        assert_eq!(decided(&mut ledger), Decision::Accepted);
    }

    #[test]
    fn who_is_well_again_is_no_longer_counted_against_the_host() {
        let mut host = HostBrake::default();
        host.bad(&name("a"), at(1.0));
        assert!(host.has(&name("a")) && !host.has(&name("b")));
        let brake = Brake { share: 0.5, min: 1, window: Duration::from_secs(30) };
        assert!(host.holds(&brake, 1, Duration::ZERO, at(2.0)).is_some());
        host.well(&name("a"));
        assert!(!host.has(&name("a")));
        assert_eq!(host.holds(&brake, 1, Duration::ZERO, at(2.0)), None);
    }

    #[test]
    fn the_first_rule_that_holds_answers() {
        use Decision::{
            Accepted, HeldDependency, InGrace, Merged, NoEvidence, NotWanted, Paused, ReportOnly, Stale,
        };
        let mut all = Case {
            asked: 3,
            not_wanted: Some("stopped"),
            restarting: true,
            report_only: true,
            no_evidence: Some("nothing was reported"),
            paused: true,
            grace: Some(Duration::from_secs(9)),
            suspect: Some(name("db")),
            ..case()
        };
        let mut ledger = Ledger::default();
        let mut answers = Vec::new();
        for step in 0..9 {
            answers.push(ask(&all, &mut ledger, at(1.0)).decision);
            match step {
                0 => all.asked = 4,
                1 => all.not_wanted = None,
                2 => all.restarting = false,
                3 => all.report_only = false,
                4 => all.paused = false,
                5 => all.grace = None,
                6 => all.no_evidence = None,
                _ => all.suspect = None,
            }
        }
        assert_eq!(
            answers,
            [Stale, NotWanted, Merged, ReportOnly, Paused, InGrace, NoEvidence, HeldDependency, Accepted]
        );
        assert_eq!(
            ask(&Case { asked: 5, ..case() }, &mut ledger, at(1.0)).decision,
            Stale,
            "from the future"
        );
    }

    #[test]
    fn the_budget_is_a_sliding_window() {
        let mut ledger = Ledger::default();
        let first = ask(&case(), &mut ledger, at(0.0));
        assert_eq!(first.message, "restart accepted (incarnation 4), budget 1 of 2 in 1h");
        ask(&case(), &mut ledger, at(600.0));
        let held = ask(&case(), &mut ledger, at(1_200.0));
        assert_eq!(held.decision, Decision::HeldBudget);
        assert_eq!(held.retry_after, Some(Duration::from_secs(2_400)));
        assert_eq!(ask(&case(), &mut ledger, at(3_600.0)).decision, Decision::Accepted);
    }

    #[test]
    fn the_brake_holds_when_half_the_host_goes_bad_and_lets_one_through_per_window() {
        let brake = Brake { share: 0.5, min: 4, window: Duration::from_secs(30) };
        let mut host = HostBrake::default();
        let holds = |host: &HostBrake, now| {
            host.holds(&brake, 4, Duration::from_secs(10), now).map(|why| (why, brake.window))
        };
        for service in ["a", "b"] {
            host.bad(&name(service), at(0.0));
        }
        assert_eq!(holds(&host, at(1.0)), None, "half is not more than half");
        host.bad(&name("c"), at(2.0));
        let why = holds(&host, at(2.0));
        assert!(why.is_some());
        let mut ledger = Ledger::default();
        let mut ask = |host: &mut HostBrake, now| {
            decide(&case(), &mut ledger, Budget { max: 99, ..BUDGET }, (host, why.clone()), now).decision
        };
        assert_eq!(ask(&mut host, at(2.0)), Decision::Accepted);
        assert_eq!(ask(&mut host, at(3.0)), Decision::HeldBrake);
        assert_eq!(ask(&mut host, at(33.0)), Decision::Accepted);
        assert_eq!(holds(&host, at(40.0)), None, "no longer within the window");
        assert_eq!(host.holds(&brake, 3, Duration::ZERO, at(2.0)), None, "too few to judge");
        // Restarted, never reported healthy again, and unhealthy once more.
        for service in ["a", "b", "c"] {
            host.bad(&name(service), at(100.0));
        }
        assert!(holds(&host, at(101.0)).is_some());
    }

    #[test]
    fn durations_read_well() {
        for (seconds, text) in [(3600, "1h"), (90, "1m 30s"), (7_440, "2h 4m"), (90_061, "1d 1h")] {
            assert_eq!(words(Duration::from_secs(seconds)), text);
        }
        assert_eq!(words(Duration::from_millis(250)), "250ms");
        let took = [300, 9_900, 17_400, 7_440_000].map(|millis| super::took(Duration::from_millis(millis)));
        assert_eq!(took, ["0.3 s", "9.9 s", "17 s", "2h 4m"]);
    }
}
