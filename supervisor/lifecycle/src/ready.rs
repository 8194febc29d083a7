//! Decides whether a run is ready, stable, or too late, from marks that the checks, the log and the notify socket
//! leave.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::{Name, REPORT_WHILE_STARTING};
use sereno_config::{Ready, Service};

use super::BootInstant;

/// The settings of a service that decide on readiness.
#[derive(Debug, Clone)]
pub struct ReadyRules {
    /// The conditions, all of which must hold.
    pub conditions: Vec<Ready>,
    /// A run that is not ready in this time has failed, if there is evidence.
    pub timeout: Duration,
    /// A run is stable this long after it was ready, if its checks pass then.
    pub min_uptime: Duration,
    /// Every declared check.
    pub checks: BTreeMap<Name, CheckRule>,
}

/// The settings of a check that decide on readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckRule {
    /// Interval plus timeout. A monitor reports only changes, so a check that was not reported for this long has passed
    /// again.
    pub period: Duration,
    /// Failures before the first success do not count until this time is over.
    pub start_period: Duration,
}

impl ReadyRules {
    /// Returns the rules of a service.
    pub fn of(service: &Service) -> Self {
        let checks = service.checks.iter().map(|(id, check)| {
            let rule = CheckRule { period: check.interval + check.timeout, start_period: check.start_period };
            (id.clone(), rule)
        });
        Self {
            conditions: service.ready.clone(),
            timeout: service.ready_timeout,
            min_uptime: service.restart.min_uptime,
            checks: checks.collect(),
        }
    }
}

/// A monitor's report of a check of the current incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFact {
    /// Whether the check passes; `None` if not known yet.
    pub passing: Option<bool>,
    /// How many failures in a row, also while it still counts as passing.
    pub failures: u32,
    /// The port belongs to another process: no reason to end the run.
    pub foreign: bool,
    /// When the check behind the report ended.
    pub at: BootInstant,
    /// The time from one check to the next, now.
    pub every: Duration,
}

/// The known facts about a check of the current incarnation.
#[derive(Debug, Clone, Default)]
pub struct Mark {
    /// The last report.
    pub last: Option<CheckFact>,
    /// Whether it has passed in this incarnation.
    pub passed: bool,
    /// Since when its monitor is attached and not blind; `None` if it is not.
    pub watched: Option<BootInstant>,
    /// When the last report arrived.
    heard: Option<BootInstant>,
}

impl Mark {
    /// Returns whether its last result was a failure, even if the check still counts as passing.
    pub fn is_bad(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.passing == Some(false) || last.failures > 0)
    }

    fn passes(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.passing == Some(true))
    }

    /// Returns when it vouches for a run that would be stable at `at`, if no more reports come; `None` if it does not.
    /// `period` is the longest time in which a monitor that is attached reports a failure.
    fn vouches(&self, at: BootInstant, period: Duration) -> Option<BootInstant> {
        let last = self.last.as_ref().filter(|_| self.passes() && !self.is_bad())?;
        if last.at >= at || last.at + last.every > at {
            return Some(at);
        }
        // Monitors report each change at once: if nothing has come since the last report, each check has passed. This
        // holds only for the time in which the monitor was watching.
        let watched = self.watched?;
        let silent_since_report = self.heard.is_some_and(|heard| heard >= watched);
        Some(if silent_since_report { at } else { at.max(watched + period) })
    }

    /// Returns whether this is a recent failure, reported by a monitor that is attached and not blind.
    fn is_evidence(&self, now: BootInstant) -> bool {
        // The newest result can be as old as the report that brought it.
        self.watched.is_some()
            && self.last.as_ref().is_some_and(|last| {
                let fresh = now.since(last.at) <= 2 * last.every.max(REPORT_WHILE_STARTING);
                (last.passing == Some(false) || last.failures > 0) && !last.foreign && fresh
            })
    }
}

/// How ready a run is.
#[derive(Debug, Clone)]
pub struct Readiness {
    since: BootInstant,
    /// Conditions that are met once and stay met: notify and log.
    said: Vec<bool>,
    /// When all conditions held for the first time.
    pub ready_at: Option<BootInstant>,
    /// Whether it has been stable, so that the streak is over.
    pub stable: bool,
    /// The time that counts against `ready_timeout`: only while the sources that could report readiness are watching.
    spent: Duration,
    counting: Option<BootInstant>,
    paused: bool,
    /// Whether the timeout is over, so far without evidence.
    pub overdue: bool,
    /// The facts about each check.
    pub marks: BTreeMap<Name, Mark>,
}

impl Readiness {
    /// Begins the readiness of a new run; `watched` are the checks with attached monitors.
    pub fn begin(rules: &ReadyRules, now: BootInstant, watched: &BTreeMap<Name, bool>) -> Self {
        let marks = rules.checks.keys().map(|id| {
            let watched = watched.get(id).copied().unwrap_or(false).then_some(now);
            (id.clone(), Mark { watched, ..Mark::default() })
        });
        let mut readiness = Self {
            since: now,
            said: vec![false; rules.conditions.len()],
            ready_at: None,
            stable: false,
            spent: Duration::ZERO,
            counting: None,
            paused: false,
            overdue: false,
            marks: marks.collect(),
        };
        readiness.recount(rules, now);
        readiness
    }

    /// Returns when the run began.
    pub fn since(&self) -> BootInstant {
        self.since
    }

    /// Sets when the run really began, for an adopted run.
    pub fn began(&mut self, since: BootInstant) {
        self.since = since;
    }

    /// Handles `READY=1` from the run.
    pub fn notified(&mut self, rules: &ReadyRules) {
        self.say(rules, |condition| matches!(condition, Ready::Notify));
    }

    /// Handles a matched line of output.
    pub fn logged(&mut self, rules: &ReadyRules) {
        self.say(rules, |condition| matches!(condition, Ready::Log(_)));
    }

    fn say(&mut self, rules: &ReadyRules, is_said: impl Fn(&Ready) -> bool) {
        for (said, condition) in self.said.iter_mut().zip(&rules.conditions) {
            *said |= is_said(condition);
        }
    }

    /// Handles a monitor's report.
    pub fn reported(&mut self, rules: &ReadyRules, check: &Name, fact: CheckFact, now: BootInstant) {
        let Some(mark) = self.marks.get_mut(check) else { return };
        mark.passed |= fact.passing == Some(true);
        mark.last = Some(fact);
        mark.heard = Some(now);
        self.recount(rules, now);
    }

    /// Handles that a check's monitor attached, detached or became blind.
    pub fn watched(&mut self, rules: &ReadyRules, check: &Name, watched: bool, now: BootInstant) {
        let Some(mark) = self.marks.get_mut(check) else { return };
        if watched != mark.watched.is_some() {
            mark.watched = watched.then_some(now);
            self.recount(rules, now);
        }
    }

    /// Handles a pause or its end: `ready_timeout` stands still during a pause.
    pub fn pause(&mut self, rules: &ReadyRules, paused: bool, now: BootInstant) {
        if paused != self.paused {
            self.paused = paused;
            self.recount(rules, now);
        }
    }

    /// Marks the run ready or stable if it has become so, and returns which.
    pub fn advance(&mut self, rules: &ReadyRules, now: BootInstant) -> Option<Progress> {
        if self.ready_at.is_none() {
            if !self.holds(rules, now) {
                return None;
            }
            self.ready_at = Some(now);
            self.counting = None;
            return Some(Progress::Ready);
        }
        if !self.stable && self.stable_at(rules).is_some_and(|at| at <= now) {
            self.stable = true;
            return Some(Progress::Stable);
        }
        None
    }

    /// Returns whether the run has failed because it is not ready in time; remembers a timeout without evidence.
    pub fn is_too_late(&mut self, rules: &ReadyRules, now: BootInstant) -> bool {
        let over = self.overdue || self.patience_ends(rules).is_some_and(|end| end <= now);
        if self.ready_at.is_some() || self.paused || !over {
            return false;
        }
        self.overdue = true;
        rules.conditions.iter().zip(&self.said).any(|(condition, said)| match condition {
            // The supervisor itself receives these signs, so silence is evidence.
            Ready::Notify | Ready::Log(_) => !said,
            Ready::Check(id) => {
                self.marks.get(id).is_some_and(|mark| !mark.passes() && mark.is_evidence(now))
            }
            Ready::Started | Ready::Delay(_) => false,
        })
    }

    /// Returns what it still waits for, in words.
    pub fn waits_for(&self, rules: &ReadyRules, now: BootInstant) -> Vec<String> {
        let unmet =
            rules.conditions.iter().zip(&self.said).filter(|(c, said)| !self.condition_holds(c, **said, now));
        unmet
            .map(|(condition, _)| match condition {
                Ready::Started => "its start".into(),
                Ready::Notify => "READY=1".into(),
                Ready::Log(regex) => format!("a line matching {:?}", regex.as_str()),
                Ready::Delay(delay) => format!("{:.1} s to pass", delay.as_secs_f32()),
                Ready::Check(id) => match self.marks.get(id) {
                    Some(mark) if mark.watched.is_none() => format!("{id} (no monitor watches it)"),
                    Some(mark) if mark.is_bad() => format!("{id} (failing)"),
                    _ => id.to_string(),
                },
            })
            .collect()
    }

    /// Returns when something may change even if nothing happens.
    pub fn deadline(&self, rules: &ReadyRules) -> Option<BootInstant> {
        if self.ready_at.is_some() {
            return if self.stable { None } else { self.stable_at(rules) };
        }
        let delays = rules.conditions.iter().filter_map(|condition| match condition {
            Ready::Delay(delay) => Some(self.since + *delay),
            _ => None,
        });
        // A delay that is over holds; only future delays are worth waking for.
        let pending = if self.holds_but_delay(rules) { delays.max() } else { None };
        let patience = if self.overdue { None } else { self.patience_ends(rules) };
        [pending, patience].into_iter().flatten().min()
    }

    fn condition_holds(&self, condition: &Ready, said: bool, now: BootInstant) -> bool {
        match condition {
            Ready::Started => true,
            Ready::Notify | Ready::Log(_) => said,
            Ready::Delay(delay) => self.since + *delay <= now,
            Ready::Check(id) => self.marks.get(id).is_some_and(Mark::passes),
        }
    }

    fn holds(&self, rules: &ReadyRules, now: BootInstant) -> bool {
        rules
            .conditions
            .iter()
            .zip(&self.said)
            .all(|(condition, said)| self.condition_holds(condition, *said, now))
    }

    fn holds_but_delay(&self, rules: &ReadyRules) -> bool {
        rules.conditions.iter().zip(&self.said).all(|(condition, said)| {
            matches!(condition, Ready::Delay(_)) || self.condition_holds(condition, *said, self.since)
        })
    }

    /// Returns when the run will be stable if no more reports come; `None` if it will not be as things are.
    fn stable_at(&self, rules: &ReadyRules) -> Option<BootInstant> {
        let at = self.ready_at? + rules.min_uptime;
        rules.checks.iter().try_fold(at, |latest, (id, rule)| {
            Some(latest.max(self.marks.get(id)?.vouches(at, rule.period)?))
        })
    }

    fn patience_ends(&self, rules: &ReadyRules) -> Option<BootInstant> {
        self.counting.map(|since| since + rules.timeout.saturating_sub(self.spent))
    }

    /// Starts or stops the clock of `ready_timeout`.
    fn recount(&mut self, rules: &ReadyRules, now: BootInstant) {
        if let Some(since) = self.counting.take() {
            self.spent += now.since(since);
        }
        let all_watched = rules.conditions.iter().all(|condition| match condition {
            Ready::Check(id) => {
                self.marks.get(id).is_some_and(|mark| mark.passes() || mark.watched.is_some())
            }
            _ => true,
        });
        self.counting = (self.ready_at.is_none() && !self.paused && all_watched).then_some(now);
    }
}

/// What a run has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All readiness conditions hold.
    Ready,
    /// It has been ready for `min_uptime`, and its checks pass.
    Stable,
}
