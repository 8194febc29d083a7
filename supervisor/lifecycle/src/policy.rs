//! How long to wait before the next start, and whether an end was a success.

use std::fmt;
use std::time::Duration;

use sereno_config::{Policy, RestartPolicy, Success};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was ended by a signal, such as `"SIGKILL"`.
    Signal(String),
    /// Its exit was not seen: the kernel no longer gave the status of an adopted process.
    Unknown,
    /// It could not be started, for this reason.
    NotSpawned(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "{signal}"),
            Self::Unknown => write!(f, "exit unknown"),
            Self::NotSpawned(reason) => write!(f, "could not start: {reason}"),
        }
    }
}

/// What the restart policy decides after an end that was not requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It must run again.
    Again,
    /// It ended well and will not run again.
    Completed,
    /// It ended badly and will not run again.
    Failed,
}

/// Returns whether an end counts as a success.
pub fn is_success(policy: &RestartPolicy, exit: &Exit) -> bool {
    policy.success.iter().any(|success| match (success, exit) {
        (Success::Code(good), Exit::Code(code)) => good == code,
        (Success::Signal(good), Exit::Signal(signal)) => good == signal,
        _ => false,
    })
}

/// Returns what follows an end that was not requested.
pub fn verdict(policy: &RestartPolicy, exit: &Exit) -> Verdict {
    match (policy.policy, exit) {
        (Policy::Always, _) | (Policy::OnFailure, Exit::NotSpawned(_)) => Verdict::Again,
        // A job that may have done its work must not do it twice.
        (Policy::OnFailure | Policy::Never, Exit::Unknown) => Verdict::Failed,
        (Policy::OnFailure | Policy::Never, exit) if is_success(policy, exit) => Verdict::Completed,
        (Policy::OnFailure, _) => Verdict::Again,
        (Policy::Never, _) => Verdict::Failed,
    }
}

/// Returns the wait before the next start, counted from the end of the last run.
///
/// `chance`, from -1 to 1, scales how much jitter is added or taken. The result is at most `max_wait`, jitter included, and
/// at least `delay`.
pub fn wait(policy: &RestartPolicy, streak: u32, chance: f64) -> Duration {
    if streak < 2 {
        return policy.delay;
    }
    let exponent = i32::try_from(streak - 2).unwrap_or(i32::MAX);
    let plain = policy.initial.as_secs_f64() * policy.factor.powi(exponent);
    let capped = plain.min(policy.max_wait.as_secs_f64());
    let jittered = capped * (1.0 + policy.jitter * chance.clamp(-1.0, 1.0));
    let backoff = Duration::try_from_secs_f64(jittered.max(0.0)).unwrap_or(policy.max_wait);
    backoff.min(policy.max_wait).max(policy.delay)
}

#[cfg(test)]
mod tests {
    use super::super::unit::testing::policy;
    use super::*;

    #[test]
    fn the_series_is_the_one_of_the_contract() {
        let policy = RestartPolicy { jitter: 0.0, ..policy() };
        let series: Vec<u64> = (0..11)
            .map(|streak| u64::try_from(wait(&policy, streak, 0.0).as_millis()).expect("short"))
            .collect();
        assert_eq!(series, [0, 0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    }

    #[test]
    fn delay_is_a_floor_and_jitter_stays_within_its_share() {
        let floor = RestartPolicy { delay: Duration::from_secs(5), ..policy() };
        assert_eq!(wait(&floor, 0, 1.0), Duration::from_secs(5));
        assert_eq!(wait(&floor, 2, 1.0), Duration::from_secs(5));
        assert_eq!(wait(&policy(), 2, 1.0), Duration::from_millis(550));
        assert_eq!(wait(&policy(), 2, -1.0), Duration::from_millis(450));
    }

    #[test]
    fn no_streak_and_no_factor_can_overflow() {
        let wild = RestartPolicy { factor: 100.0, ..policy() };
        assert_eq!(wait(&wild, u32::MAX, 1.0), wild.max_wait);
    }

    #[test]
    fn no_wait_is_longer_than_max_wait_jitter_included() {
        for streak in 2..40 {
            for chance in [-1.0, -0.5, 0.0, 0.5, 1.0] {
                let policy = RestartPolicy { jitter: 0.99, ..policy() };
                assert!(wait(&policy, streak, chance) <= policy.max_wait, "streak {streak}, {chance}");
            }
        }
        let slow = RestartPolicy { delay: Duration::from_secs(300), ..policy() };
        assert_eq!(wait(&slow, 20, 1.0), slow.delay, "the floor of every wait");
    }

    #[test]
    fn policies_judge_ends_as_the_contract_says() {
        use Verdict::{Again, Completed, Failed};
        let (ok, bad, unknown) = (Exit::Code(0), Exit::Code(3), Exit::Unknown);
        let term = Exit::Signal("SIGTERM".into());
        for (kind, expected) in [
            (Policy::Always, [Again, Again, Again, Again]),
            (Policy::OnFailure, [Completed, Again, Failed, Again]),
            (Policy::Never, [Completed, Failed, Failed, Failed]),
        ] {
            let policy = RestartPolicy { policy: kind, ..policy() };
            let got = [&ok, &bad, &unknown, &term].map(|exit| verdict(&policy, exit));
            assert_eq!(got, expected, "{kind:?}");
        }
        let polite = RestartPolicy {
            policy: Policy::OnFailure,
            success: vec![Success::Code(0), Success::Signal("SIGTERM".into())],
            ..policy()
        };
        assert_eq!(verdict(&polite, &term), Completed, "a signal that success_codes names");
    }
}
