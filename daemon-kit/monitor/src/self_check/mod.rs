//! Self-check: was this process stopped (SIGSTOP, suspend, an overloaded machine) during a measurement, or
//! is its own network broken?

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

mod network;

use network::NetworkCheck;
pub(crate) use network::NetworkProbe;

/// Largest delay that a busy machine explains. After a longer gap, measurements across it say nothing about a target.
const TOLERATED: Duration = Duration::from_secs(2);

/// Shortest and longest period of the timer that measures event-loop delay while a check is in flight.
const BEAT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// An event loop that is late by less than this counts as on time.
const LATE: Duration = Duration::from_millis(100);

/// The self-check, shared by all targets of a monitor.
#[derive(Debug, Clone)]
pub(crate) struct SelfCheck {
    /// Number of gaps so far: a gap noticed by one target holds for all.
    gaps: Arc<AtomicU64>,
    network: Arc<Mutex<NetworkCheck>>,
}

impl SelfCheck {
    pub(crate) fn new(canary: NetworkProbe) -> Self {
        Self { gaps: Arc::default(), network: Arc::new(Mutex::new(NetworkCheck::new(canary))) }
    }

    pub(crate) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// Counts a gap.
    pub(crate) fn was_away(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns why a failure may be caused by our own network, or `None`.
    pub(crate) async fn own_network(&self) -> Option<String> {
        let canary = {
            let network = self.network.lock().expect("nobody panics with it");
            network.is_stale(Instant::now()).then(|| network.canary())?
        };
        let trouble = canary.trouble().await;
        if trouble.is_none() {
            self.network.lock().expect("nobody panics with it").was_well(Instant::now());
        }
        trouble
    }
}

/// Runs a check with a time limit. Returns its result (`None` at the limit) and how late this process's
/// event loop was meanwhile.
pub(crate) async fn within<T>(time: Duration, look: impl Future<Output = T>) -> (Option<T>, Duration) {
    let mut look = pin!(look);
    let end = Instant::now() + time;
    let beat = (time / 10).clamp(BEAT.0, BEAT.1);
    let mut late = Duration::ZERO;
    loop {
        // The timer runs only while a check is in flight: an idle monitor sleeps.
        let next = end.min(Instant::now() + beat);
        let ended = tokio::select! {
            biased;
            seen = &mut look => Some(seen),
            () = sleep_until(next) => None,
        };
        let now = Instant::now();
        late = late.max(now.saturating_duration_since(next));
        if ended.is_some() || now >= end {
            return (ended, late);
        }
    }
}

/// Returns a reason if a check timed out because of this process's own delay.
pub(crate) fn too_late(late: Duration, time: Duration) -> Option<String> {
    (late > LATE.max(time / 4)).then(|| format!("its own event loop was late by {:.1} s", late.as_secs_f64()))
}

/// Beginning of a wait or of a check, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) at: Instant,
    wall: SystemTime,
}

impl Mark {
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), wall: SystemTime::now() }
    }

    /// Returns a description of the time lost since the mark, if the interval should have lasted at most `allowed`.
    pub(crate) fn gap(self, allowed: Duration) -> Option<String> {
        self.gap_at(Instant::now(), SystemTime::now(), allowed)
    }

    fn gap_at(self, now: Instant, wall: SystemTime, allowed: Duration) -> Option<String> {
        let lasted = now.duration_since(self.at);
        let late = lasted.saturating_sub(allowed);
        if late > TOLERATED {
            return Some(format!("was stopped or starved for {:.1} s", late.as_secs_f64()));
        }
        // The monotonic clock stops while the machine sleeps. A wall clock that was set forward looks the
        // same, and costs one valid result. A wall clock that was set backwards shows no gap.
        let asleep = wall.duration_since(self.wall).unwrap_or_default().saturating_sub(lasted);
        (asleep > TOLERATED)
            .then(|| format!("the clock jumped by {:.1} s (suspended?)", asleep.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_heart_that_misses_beats_says_by_how_much() {
        let s = Duration::from_secs;
        let (ended, late) = within(s(1), std::future::pending::<()>()).await;
        assert!(ended.is_none() && too_late(late, s(1)).is_none(), "{late:?}");
        let (ended, late) = within(s(1), tokio::time::sleep(s(1) / 2)).await;
        assert!(ended.is_some() && late < LATE, "{late:?}");
        // Stopped for 0.7 s while the answer was pending.
        let away = async {
            tokio::task::yield_now().await;
            tokio::time::advance(s(1) * 7 / 10).await;
            std::future::pending::<()>().await;
        };
        let (ended, late) = within(s(1), away).await;
        assert!(ended.is_none());
        assert_eq!(too_late(late, s(1)).as_deref(), Some("its own event loop was late by 0.6 s"), "{late:?}");
        assert_eq!(too_late(LATE, s(5)), None);
        assert_eq!(too_late(s(1), s(5)), None, "a busy machine");
    }

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
