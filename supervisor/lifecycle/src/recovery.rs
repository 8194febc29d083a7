//! How long services did not serve: a histogram of the downtimes of incidents.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The upper bounds of the histogram's buckets, in seconds: from a restart without delay to an outage of an hour.
pub const BOUNDS: [f64; 12] = [0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0];

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
