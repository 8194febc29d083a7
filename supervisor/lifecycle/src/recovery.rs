//! How long a service did not serve: from the first evidence of a failure until it is ready again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::BootInstant;

/// The upper bounds of the histogram's buckets, in seconds: from a restart without delay to an outage of an hour.
pub const BOUNDS: [f64; 12] = [0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0];

/// The failure that a service has not recovered from yet.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// When the first evidence of the failure was seen.
    since: Option<BootInstant>,
    /// Whether the failure is certain: a run ended unasked, or a check failed as often as it may.
    certain: bool,
}

/// How well a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is not wanted up, or has completed: nothing is missing.
    AtRest,
    /// It is wanted up and is not ready.
    NotReady,
    /// It is ready, and the last result of one of its checks was a failure.
    Doubtful,
    /// It is ready, and one of its checks is failing.
    Failing,
    /// It is ready, and no check says otherwise.
    Ready,
}

impl Recovery {
    /// Handles the end of a run that nobody asked for.
    pub fn run_failed(&mut self, now: BootInstant) {
        self.since.get_or_insert(now);
        self.certain = true;
    }

    /// Follows the condition of the service. Returns the time of an outage that has just ended.
    pub fn follow(&mut self, condition: Condition, now: BootInstant) -> Option<Duration> {
        match condition {
            Condition::NotReady => return None,
            Condition::AtRest => {}
            Condition::Doubtful | Condition::Failing => {
                self.since.get_or_insert(now);
                self.certain |= condition == Condition::Failing;
                return None;
            }
            Condition::Ready => {
                let Self { since, certain } = std::mem::take(self);
                return since.filter(|_| certain).map(|since| now.since(since));
            }
        }
        *self = Self::default();
        None
    }

    /// Returns whether it has failed and is not ready again.
    pub fn is_open(&self) -> bool {
        self.certain
    }
}

/// A histogram of recoveries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recoveries {
    /// How many took at most as long as each of `BOUNDS`, and longer than the bound before; the last entry counts the rest.
    counts: Vec<u64>,
    /// The sum of all times.
    sum: Duration,
}

impl Recoveries {
    /// Adds a recovery.
    pub fn add(&mut self, took: Duration) {
        self.counts.resize(BOUNDS.len() + 1, 0);
        let at = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(BOUNDS.len());
        self.counts[at] += 1;
        self.sum += took;
    }

    /// Returns each bound with the number of recoveries that took at most so long.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut so_far = 0;
        BOUNDS.iter().enumerate().map(move |(at, bound)| {
            so_far += self.counts.get(at).copied().unwrap_or(0);
            (*bound, so_far)
        })
    }

    /// Returns the number of recoveries.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all times.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Returns these counts, as long as they are of the buckets that this program has.
    #[must_use]
    pub fn restored(self) -> Self {
        if self.counts.len() == BOUNDS.len() + 1 { self } else { Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::since_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn an_outage_lasts_from_the_first_failed_check_to_ready_again() {
        let mut recovery = Recovery::default();
        assert_eq!(recovery.follow(Condition::Ready, at(1)), None);
        assert_eq!(recovery.follow(Condition::Doubtful, at(10)), None);
        assert!(!recovery.is_open(), "one failed check is no incident");
        assert_eq!(recovery.follow(Condition::Failing, at(12)), None);
        recovery.run_failed(at(13));
        assert_eq!(recovery.follow(Condition::NotReady, at(14)), None);
        assert!(recovery.is_open());
        assert_eq!(recovery.follow(Condition::Ready, at(15)), Some(Duration::from_secs(5)));
        assert_eq!((recovery.follow(Condition::Ready, at(16)), recovery.is_open()), (None, false));
    }

    #[test]
    fn what_heals_before_it_is_certain_and_what_a_person_stops_is_no_outage() {
        let mut recovery = Recovery::default();
        recovery.follow(Condition::Doubtful, at(1));
        assert_eq!(recovery.follow(Condition::Ready, at(2)), None);
        recovery.run_failed(at(3));
        assert_eq!(recovery.follow(Condition::AtRest, at(4)), None);
        assert!(!recovery.is_open());
        assert_eq!(recovery.follow(Condition::NotReady, at(5)), None, "a person starts it");
        assert_eq!(recovery.follow(Condition::Ready, at(6)), None);
    }

    #[test]
    fn buckets_are_cumulative_and_a_time_at_the_bound_is_in_its_bucket() {
        let mut recoveries = Recoveries::default();
        assert_eq!((recoveries.count(), recoveries.buckets().count()), (0, BOUNDS.len()));
        for millis in [25, 26, 1_000, 7_200_000] {
            recoveries.add(Duration::from_millis(millis));
        }
        let counts: Vec<u64> = recoveries.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!((recoveries.count(), recoveries.sum()), (4, Duration::from_millis(7_201_051)));
        assert_eq!(recoveries.clone().restored(), recoveries);
        let of_others = Recoveries { counts: vec![1, 2], sum: Duration::from_secs(1) };
        assert_eq!(of_others.restored(), Recoveries::default());
    }
}
