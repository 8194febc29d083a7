//! A service as the arbiter sees it at the time of a request.

use std::time::Duration;

use proto::Name;
use sereno_config::Policy;

use super::{BootInstant, Unit};

/// The facts about a service that the arbiter needs.
#[derive(Debug, Clone)]
pub struct Case {
    /// The incarnation of the current run.
    pub incarnation: u64,
    /// The incarnation that the monitor judged.
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
    /// Builds the case for a request about the run `asked`, because of a check.
    pub fn of(unit: &Unit, asked: u64, check: &Name, standing: Standing, now: BootInstant) -> Self {
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
            asked,
            not_wanted,
            // It is wanted, and no run can be told to end: a new run follows.
            restarting: !unit.is_started(),
            report_only: false,
            no_evidence: None,
            paused,
            grace: grace(unit, check, start_period, now),
            suspect,
        }
    }
}

/// Returns for how much longer failures of the check do not count.
fn grace(unit: &Unit, check: &Name, start_period: Duration, now: BootInstant) -> Option<Duration> {
    const NOT_READY: Duration = Duration::from_secs(1);
    if !unit.is_ready() {
        return Some(NOT_READY);
    }
    let mark = unit.marks()?.get(check)?;
    let end = unit.began()? + start_period;
    (!mark.passed && end > now).then(|| end.since(now))
}
