//! Helpers for tests of the core: made-up services and a made-up clock.

use std::time::Duration;

use proto::Name;
use sereno_config::{Ready, RestartPolicy};

use super::super::ready::{CheckFact, CheckRule, ReadyRules};
use super::{Action, BootInstant, Fact, Rules, Unit};

pub(crate) fn policy() -> RestartPolicy {
    RestartPolicy::default()
}

/// Returns rules with these conditions; each check among them has an interval of 10 s and a timeout of 2 s.
pub(crate) fn rules(restart: RestartPolicy, conditions: Vec<Ready>) -> Rules {
    let checks = conditions.iter().filter_map(|condition| match condition {
        Ready::Check(id) => Some((
            id.clone(),
            CheckRule { period: Duration::from_secs(12), start_period: Duration::from_secs(60) },
        )),
        _ => None,
    });
    let ready = ReadyRules {
        timeout: Duration::from_secs(60),
        min_uptime: restart.min_uptime,
        checks: checks.collect(),
        conditions,
    };
    Rules { restart, ready, stop_timeout: Duration::from_secs(10), is_job: false }
}

/// Returns a unit that is ready once started.
pub(crate) fn plain(restart: RestartPolicy) -> Unit {
    Unit::new(rules(RestartPolicy { jitter: 0.0, ..restart }, vec![Ready::Started]), 7)
}

/// Polls it once evidence is taken, which must come first.
pub(crate) fn poll_examined(unit: &mut Unit, now: BootInstant) -> Option<Action> {
    assert!(matches!(unit.poll(now), Some(Action::Examine(_))), "{unit:?}");
    unit.observe(now, Fact::Examined);
    unit.poll(now)
}

/// Returns the instant at this many seconds after boot.
pub(crate) fn at(seconds: f64) -> BootInstant {
    BootInstant::since_boot(Duration::from_secs_f64(seconds))
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// Returns a report of a check that ended just now and runs every second.
pub(crate) fn check(passing: bool, now: BootInstant) -> CheckFact {
    CheckFact {
        passing: Some(passing),
        failures: u32::from(!passing),
        foreign: false,
        at: now,
        every: Duration::from_secs(1),
    }
}
