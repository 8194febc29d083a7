//! A request for a restart, and its service as the arbiter sees it at that time.

use std::time::Duration;

use proto::Name;
use sereno_config::Policy;

use super::{BootInstant, Unit};

/// A request for a restart: by a monitor, or by the supervisor itself.
#[derive(Debug, Clone)]
pub struct RestartRequest {
    /// The monitor that asks; `None` for the supervisor itself.
    pub monitor: Option<Name>,
    /// What is wrong with the run.
    pub fault: Fault,
    /// The run that was judged.
    pub incarnation: u64,
}

/// What is wrong with a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// This check fails.
    Check(Name),
    /// The run is frozen.
    Frozen,
    /// The run uses more memory than it may.
    Memory,
}

impl Fault {
    /// Returns the id of the check, `watchdog` or `memory`.
    pub fn word(&self) -> &str {
        match self {
            Self::Check(check) => check.as_str(),
            Self::Frozen => "watchdog",
            Self::Memory => "memory",
        }
    }

    /// Returns the check that fails.
    pub fn check(&self) -> Option<&Name> {
        match self {
            Self::Check(check) => Some(check),
            Self::Frozen | Self::Memory => None,
        }
    }
}

/// The facts about a service that the arbiter needs.
#[derive(Debug, Clone)]
pub struct Case {
    /// The incarnation of the current run.
    pub incarnation: u64,
    /// The incarnation that was judged.
    pub asked: u64,
    /// Why no run is wanted, in words: a person stopped it, it has completed, it was given up, it never restarts, it is
    /// a job that waits, or the supervisor shuts down.
    pub not_wanted: Option<&'static str>,
    /// Whether it is ending to be started again, or waits for its next start.
    pub restarting: bool,
    /// Whether failures of the check are only reported.
    pub report_only: bool,
    /// Why the monitor's reports do not support the request.
    pub no_evidence: Option<&'static str>,
    /// Whether a person paused it.
    pub paused: bool,
    /// The remaining time in which failures do not count: it is not ready yet, or the check's start period runs and the
    /// check has not passed yet.
    pub grace: Option<Duration>,
    /// A dependency that must be restarted first.
    pub suspect: Option<Name>,
}

/// Facts about a service that its unit does not know.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Why it is about to be stopped, in words.
    pub leaving: Option<&'static str>,
    /// Whether a person paused it.
    pub paused: bool,
    /// How long failures of the check do not count before its first success.
    pub start_period: Duration,
    /// A dependency that is unhealthy.
    pub suspect: Option<Name>,
}

impl Case {
    /// Builds the case for a request.
    pub fn of(unit: &Unit, request: &RestartRequest, standing: Standing, now: BootInstant) -> Self {
        let Standing { leaving, paused, start_period, suspect } = standing;
        let not_wanted = leaving.or_else(|| {
            if !unit.is_wanted() {
                Some("stopped by a person")
            } else if unit.is_armed() {
                Some("it waits for its time")
            } else if unit.is_completed() {
                Some("it has completed")
            } else if unit.is_failed() {
                Some("it was given up; `ctl reset` tries it again")
            } else if unit.rules.restart.policy == Policy::Never {
                Some("its policy is never to restart")
            } else {
                None
            }
        });
        Self {
            incarnation: unit.incarnation(),
            asked: request.incarnation,
            not_wanted,
            // It is wanted, and no run can be told to end: a new run follows.
            restarting: !unit.is_started(),
            report_only: false,
            no_evidence: None,
            paused,
            grace: grace(unit, &request.fault, start_period, now),
            suspect,
        }
    }
}

/// Returns for how much longer the fault does not count.
fn grace(unit: &Unit, fault: &Fault, start_period: Duration, now: BootInstant) -> Option<Duration> {
    const NOT_READY: Duration = Duration::from_secs(1);
    if !unit.is_ready() {
        return Some(NOT_READY);
    }
    let mark = unit.marks()?.get(fault.check()?)?;
    let end = unit.began()? + start_period;
    (!mark.passed && end > now).then(|| end.since(now))
}

#[cfg(test)]
mod tests {
    use sereno_config::Ready;

    use super::super::ready::CheckRule;
    use super::super::unit::testing::{at, name, policy, rules};
    use super::super::{Fact, Request};
    use super::*;

    #[test]
    fn only_a_check_has_a_start_period_whatever_it_is_called() {
        let mut rules = rules(policy(), vec![Ready::Started]);
        let check = CheckRule { period: Duration::from_secs(9), start_period: Duration::from_secs(5) };
        rules.ready.checks.insert(name("watchdog"), check);
        let mut unit = Unit::new(rules, 7);
        unit.request(at(1.0), Request::Start);
        unit.poll(at(1.0));
        unit.observe(at(1.0), Fact::Spawned);
        unit.poll(at(1.0));
        let grace = |fault| {
            let request = RestartRequest { monitor: None, fault, incarnation: 1 };
            let standing = Standing { start_period: Duration::from_secs(5), ..Standing::default() };
            Case::of(&unit, &request, standing, at(2.0)).grace
        };
        assert_eq!(grace(Fault::Check(name("watchdog"))), Some(Duration::from_secs(4)));
        assert_eq!(grace(Fault::Frozen), None);
    }
}
