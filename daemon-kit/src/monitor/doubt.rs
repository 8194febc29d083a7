//! Self-doubt: was this process itself away (SIGSTOP, suspend, a starved machine) while it believed to measure?

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Less than this is a busy machine; more, and nothing measured across it says anything about a target.
const TOLERATED: Duration = Duration::from_secs(2);

/// The beginning of a wait or of a check, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) at: Instant,
    wall: SystemTime,
}

impl Mark {
    pub(super) fn now() -> Self {
        Self { at: Instant::now(), wall: SystemTime::now() }
    }

    /// What was lost since the mark, if it should have lasted `allowed` at most.
    pub(super) fn gap(self, allowed: Duration) -> Option<String> {
        self.gap_at(Instant::now(), SystemTime::now(), allowed)
    }

    fn gap_at(self, now: Instant, wall: SystemTime, allowed: Duration) -> Option<String> {
        let lasted = now.duration_since(self.at);
        let late = lasted.saturating_sub(allowed);
        if late > TOLERATED {
            return Some(format!("was stopped or starved for {:.1} s", late.as_secs_f64()));
        }
        // The monotonic clock stands still while the machine sleeps. A wall clock that was set looks the same: then one
        // result is thrown away for nothing. Set backwards it says nothing at all.
        let asleep = wall.duration_since(self.wall).unwrap_or_default().saturating_sub(lasted);
        (asleep > TOLERATED)
            .then(|| format!("the clock jumped by {:.1} s (suspended?)", asleep.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_lateness_or_a_jump_of_the_clock() {
        let mark = Mark::now();
        let s = Duration::from_secs;
        let gap = |mono: u64, wall: u64, allowed: u64| {
            mark.gap_at(mark.at + s(mono), mark.wall + s(wall), s(allowed)).is_some()
        };
        assert!(!gap(5, 5, 5), "in time");
        assert!(!gap(7, 7, 5), "a little late");
        assert!(gap(8, 8, 5), "stopped");
        assert!(gap(1, 3600, 5), "suspended");
        assert!(!gap(5, 6, 5), "a clock that is being slewed");
        assert!(mark.gap_at(mark.at, mark.wall - s(3600), s(5)).is_none(), "set back");
    }
}
