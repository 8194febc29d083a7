//! Computes the backoff before a dead supervisor is started again: none, unless it dies quickly several times.

use std::time::Duration;

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A supervisor that lived this long did not fail at its start.
const LONG_LIFE: Duration = Duration::from_secs(10);
/// Short lives in a row that may have an external cause (for example a kill). More count as the
/// supervisor's own failures.
const FORGIVEN: u32 = 10;

/// One life of a supervisor, as far as one guard saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    /// The supervisor has answered at least once.
    pub(super) answered: bool,
    /// How long the supervisor was seen alive.
    pub(super) lasted: Duration,
}

/// Counters over the last lives.
#[derive(Debug, Default)]
pub(super) struct Patience {
    short: u32,
    unheard: u32,
}

impl Patience {
    /// Returns how long to wait after this life.
    pub(super) fn after(&mut self, life: Life) -> Duration {
        if life.answered {
            self.unheard = 0;
        } else {
            self.unheard = self.unheard.saturating_add(1);
        }
        self.short = if life.lasted >= LONG_LIFE { 0 } else { self.short.saturating_add(1) };
        // A life without an answer counts as a failure, except the first: it may have been killed before it
        // could answer.
        let failures = self.unheard.saturating_sub(1) + self.short.saturating_sub(FORGIVEN);
        match failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => (FIRST_WAIT * 2_u32.pow(doublings.min(10))).min(LONGEST_WAIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn life(answered: bool, seconds: u64) -> Life {
        Life { answered, lasted: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_supervisor_that_is_killed_now_and_then_is_started_at_once() {
        let mut patience = Patience::default();
        for _ in 0..100 {
            assert_eq!(patience.after(life(true, 11)), Duration::ZERO);
        }
        for _ in 0..FORGIVEN {
            assert_eq!(patience.after(life(true, 0)), Duration::ZERO);
        }
        assert_eq!(patience.after(life(true, 0)), FIRST_WAIT, "time after time");
        assert_eq!(patience.after(life(true, 0)), FIRST_WAIT * 2);
        assert_eq!(patience.after(life(true, 11)), Duration::ZERO, "a long life makes good");
    }

    #[test]
    fn one_that_never_comes_up_is_tried_less_and_less_often() {
        let mut patience = Patience::default();
        let waits: Vec<u128> = (0..9).map(|_| patience.after(life(false, 0)).as_millis()).collect();
        assert_eq!(waits, [0, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    }
}
