//! What is to be checked: the wire's `Target`, checked.

use std::time::Duration;

use proto::time::{DurationError, from_wire};
use proto::{Name, v1};

/// Which check of which service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The service.
    pub service: Name,
    /// The check's id within it.
    pub check: Name,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.service, self.check)
    }
}

/// One check of one service, for one incarnation.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Whom and what.
    pub key: Key,
    /// Of the service; 0: nothing runs, and nothing is probed.
    pub incarnation: u64,
    /// Leader of the run, where known.
    pub pid: Option<u32>,
    /// Not ready yet: checked fast.
    pub starting: bool,
    /// Never a reason to ask for a restart.
    pub report_only: bool,
    /// How often.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// How soon after a failure.
    pub retry_interval: Duration,
    /// Failures before the first success do not count until it is over.
    pub start_period: Duration,
    /// How many failures make it fail, and successes pass.
    pub rule: Rule,
    /// What exactly.
    pub spec: Spec,
}

/// How many failures make a check fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// This many …
    pub failures: u32,
    /// … of the last so many; 0: in a row.
    pub window: u32,
    /// In a row, to recover.
    pub successes: u32,
}

/// What exactly is checked. What is in it is the probe's to judge.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec {
    /// `http`
    Http(v1::HttpCheck),
    /// `tcp`
    Tcp(v1::TcpCheck),
    /// `exec`
    Exec(v1::ExecCheck),
    /// Any other kind.
    Options(v1::Options),
}

/// Why a target can not be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct TargetError {
    /// The field of the wire.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl TargetError {
    /// An error of a field.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

impl From<DurationError> for TargetError {
    fn from(error: DurationError) -> Self {
        Self::new(error.field, error.problem)
    }
}

/// Longer than anybody means, and far from where adding it to a clock would overflow.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);
/// Results that a window may look back on.
const MAX_WINDOW: u32 = 1000;
/// A check more often than this is a mistake, not a wish.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

impl Target {
    /// Whether `newer` asks for the same checks of the same run: what was counted stays.
    pub(super) fn continues_in(&self, newer: &Self) -> bool {
        let live =
            Self { pid: newer.pid, starting: newer.starting, report_only: newer.report_only, ..self.clone() };
        live == *newer
    }
}

/// Whom a target of the wire is about, if it says so properly.
pub(super) fn key(wire: &v1::Target) -> Result<Key, TargetError> {
    let name =
        |field, text: &str| Name::new(text).map_err(|error| TargetError::new(field, error.to_string()));
    Ok(Key { service: name("service", &wire.service)?, check: name("check", &wire.check)? })
}

impl TryFrom<v1::Target> for Target {
    type Error = TargetError;

    fn try_from(wire: v1::Target) -> Result<Self, TargetError> {
        let key = key(&wire)?;
        let interval = bounded("interval", wire.interval)?;
        if interval < MIN_INTERVAL {
            return Err(TargetError::new(
                "interval",
                format!("is {interval:?}, at least {MIN_INTERVAL:?} is needed"),
            ));
        }
        let timeout = bounded("timeout", wire.timeout)?;
        if timeout.is_zero() {
            return Err(TargetError::new("timeout", "is missing or zero"));
        }
        let retry = bounded("retry_interval", wire.retry_interval)?;
        let retry_interval = if retry.is_zero() { interval } else { retry.max(MIN_INTERVAL) };
        let rule = Rule { failures: wire.failures, window: wire.window, successes: wire.successes.max(1) };
        rule.check()?;
        let spec = match wire.spec {
            Some(v1::target::Spec::Http(spec)) => Spec::Http(spec),
            Some(v1::target::Spec::Tcp(spec)) => Spec::Tcp(spec),
            Some(v1::target::Spec::Exec(spec)) => Spec::Exec(spec),
            Some(v1::target::Spec::Options(spec)) => Spec::Options(spec),
            None => return Err(TargetError::new("spec", "is missing, or of a kind newer than this monitor")),
        };
        Ok(Self {
            key,
            incarnation: wire.incarnation,
            pid: (wire.pid != 0).then_some(wire.pid),
            starting: wire.starting,
            report_only: wire.report_only,
            interval,
            timeout,
            retry_interval,
            start_period: bounded("start_period", wire.start_period)?,
            rule,
            spec,
        })
    }
}

impl Rule {
    fn check(self) -> Result<(), TargetError> {
        if self.failures == 0 {
            return Err(TargetError::new("failures", "is missing or zero"));
        }
        if self.window != 0 && self.window < self.failures {
            let problem = format!("{} of the last {} can not happen", self.failures, self.window);
            return Err(TargetError::new("window", problem));
        }
        if self.window > MAX_WINDOW {
            return Err(TargetError::new(
                "window",
                format!("is {}, at most {MAX_WINDOW} is kept", self.window),
            ));
        }
        Ok(())
    }
}

fn bounded(field: &'static str, wire: Option<prost_types::Duration>) -> Result<Duration, TargetError> {
    let duration = from_wire(field, wire)?;
    if duration > MAX_DURATION {
        return Err(TargetError::new(field, "is longer than a year"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::super::testing::wire;
    use super::*;

    fn refused(change: impl FnOnce(&mut v1::Target)) -> String {
        let mut target = wire("web", "port");
        change(&mut target);
        Target::try_from(target).expect_err("refused").to_string()
    }

    #[test]
    fn a_good_target_is_taken_with_its_defaults() {
        let target =
            Target::try_from(v1::Target { retry_interval: None, ..wire("web", "port") }).expect("good");
        assert_eq!(target.retry_interval, target.interval);
        assert_eq!(target.key.to_string(), "web/port");
    }

    #[test]
    fn errors_name_the_field() {
        let forever = Some(prost_types::Duration { seconds: i64::MAX, nanos: 0 });
        assert!(refused(|t| t.service = "../etc".into()).starts_with("service: "));
        assert!(refused(|t| t.check = String::new()).starts_with("check: "));
        assert!(refused(|t| t.interval = None).starts_with("interval: "));
        assert!(refused(|t| t.interval = forever).starts_with("interval: "));
        assert!(
            refused(|t| t.timeout = Some(prost_types::Duration { seconds: -1, nanos: 0 }))
                .starts_with("timeout: ")
        );
        assert!(refused(|t| t.timeout = None).starts_with("timeout: "));
        assert!(refused(|t| t.start_period = forever).starts_with("start_period: "));
        assert!(refused(|t| t.failures = 0).starts_with("failures: "));
        assert!(refused(|t| t.window = 2).starts_with("window: "));
        assert!(refused(|t| t.window = u32::MAX).starts_with("window: "));
        assert!(refused(|t| t.spec = None).starts_with("spec: "));
    }

    #[test]
    fn only_what_is_said_about_the_run_may_change_under_a_count() {
        let old = Target::try_from(wire("web", "port")).expect("good");
        let live = Target { starting: !old.starting, pid: Some(7), report_only: true, ..old.clone() };
        assert!(old.continues_in(&live));
        assert!(!old.continues_in(&Target { incarnation: old.incarnation + 1, ..old.clone() }));
        assert!(!old.continues_in(&Target { timeout: old.timeout * 2, ..old.clone() }));
    }
}
