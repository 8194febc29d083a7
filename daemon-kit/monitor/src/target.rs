//! What to check: the validated form of the wire's `Target`.

use std::time::Duration;

use proto::time::{DurationError, from_wire};
use proto::{Name, v1};

/// Identifies one check of one service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Name of the service.
    pub service: Name,
    /// Id of the check within the service.
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
    /// Service and check that this target is about.
    pub key: Key,
    /// Incarnation of the service; 0 means that nothing runs, so nothing is probed.
    pub incarnation: u64,
    /// Pid of the leader of the run, if known.
    pub pid: Option<u32>,
    /// The service is not ready yet: checks run faster.
    pub starting: bool,
    /// Failures never lead to a restart request.
    pub report_only: bool,
    /// Time between two checks.
    pub interval: Duration,
    /// Maximum duration of one check.
    pub timeout: Duration,
    /// Time to the next check after a failure.
    pub retry_interval: Duration,
    /// Failures before the first success do not count during this time.
    pub start_period: Duration,
    /// Number of failures that make the check fail, and of successes that make it pass.
    pub rule: Rule,
    /// Kind and options of the check.
    pub spec: Spec,
}

/// Number of failures that make a check fail, and of successes that make it pass again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Failures needed within the window.
    pub failures: u32,
    /// Number of last results in the window; 0 means that `failures` must come in a row.
    pub window: u32,
    /// Successes in a row needed to recover.
    pub successes: u32,
}

/// Kind and options of a check. The probe validates its content.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec {
    /// An `http` check.
    Http(v1::HttpCheck),
    /// A `tcp` check.
    Tcp(v1::TcpCheck),
    /// An `exec` check.
    Exec(v1::ExecCheck),
    /// A check of any other kind.
    Options(v1::Options),
}

/// Why a target can not be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct TargetError {
    /// Name of the wire field.
    pub field: &'static str,
    /// Problem with its value.
    pub problem: String,
}

impl TargetError {
    /// Creates an error about a field.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

impl From<DurationError> for TargetError {
    fn from(error: DurationError) -> Self {
        Self::new(error.field, error.problem)
    }
}

/// Longest accepted duration. It exceeds any sensible setting and is far from overflowing a clock.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);
/// Largest accepted window, in results.
const MAX_WINDOW: u32 = 1000;
/// Shortest accepted interval: a smaller value is taken as a mistake.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

impl Target {
    /// Whether `newer` describes the same checks of the same run, so that the counters are kept.
    pub(super) fn continues_in(&self, newer: &Self) -> bool {
        let live =
            Self { pid: newer.pid, starting: newer.starting, report_only: newer.report_only, ..self.clone() };
        live == *newer
    }
}

/// Reads service and check from a wire target.
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
