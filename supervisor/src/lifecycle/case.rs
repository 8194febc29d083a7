//! One service as the arbiter sees it, at the moment of a request.

use std::time::Duration;

use proto::Name;
use sereno_config::Policy;

use super::{BootInstant, Unit};

/// What the arbiter needs to know of a service, now.
#[derive(Debug, Clone)]
pub struct Case {
    /// Of the run that is current.
    pub incarnation: u64,
    /// Of the run that the monitor judged.
    pub asked: u64,
    /// A person wants it down, it ended well, was given up, never restarts, or the supervisor shuts down; in words.
    pub not_wanted: Option<&'static str>,
    /// It ends in order to be started again, or waits for its next start.
    pub restarting: bool,
    /// The check is only to be reported.
    pub report_only: bool,
    /// Why what the monitor reported does not bear the request out.
    pub no_evidence: Option<&'static str>,
    /// A person paused it.
    pub paused: bool,
    /// It is not ready yet, or this check has not passed yet and its start period runs: until then.
    pub grace: Option<Duration>,
    /// A dependency that is to be restarted first.
    pub suspect: Option<Name>,
}

/// What a unit does not know of itself.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// It is about to be stopped, in words.
    pub leaving: Option<&'static str>,
    /// A person paused it.
    pub paused: bool,
    /// How long failures of the check do not count before its first success.
    pub start_period: Duration,
    /// A dependency that is not well.
    pub suspect: Option<Name>,
}

impl Case {
    /// Of a request about the run `asked`, because of a check.
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
            // Wanted up, and no run that could be asked to go: a new one is on its way.
            restarting: !unit.is_started(),
            report_only: false,
            no_evidence: None,
            paused,
            grace: grace(unit, check, start_period, now),
            suspect,
        }
    }
}

/// How much longer a run has to start, as far as one of its checks goes.
fn grace(unit: &Unit, check: &Name, start_period: Duration, now: BootInstant) -> Option<Duration> {
    const NOT_READY: Duration = Duration::from_secs(1);
    if !unit.is_ready() {
        return Some(NOT_READY);
    }
    let mark = unit.marks()?.get(check)?;
    let end = unit.began()? + start_period;
    (!mark.passed && end > now).then(|| end.since(now))
}
