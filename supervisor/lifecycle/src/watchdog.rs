//! Decides whether a living run is frozen: it uses no CPU time although work is waiting, or does not send its
//! `WATCHDOG=1`.

use std::time::Duration;

use sereno_config::Watchdog;

use super::BootInstant;
use super::arbiter::took;

/// What was seen of a run.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The CPU time of its processes at the last look; any change shows that it works.
    used: Option<u64>,
    /// When that CPU time last changed.
    moved: BootInstant,
    /// When the run last sent `WATCHDOG=1`.
    said: BootInstant,
    /// When it was last looked at.
    looked: BootInstant,
}

impl Watch {
    /// Begins to watch a run of which nothing has been seen.
    pub fn begin(now: BootInstant) -> Self {
        Self { used: None, moved: now, said: now, looked: now }
    }

    /// Handles `WATCHDOG=1` from the run.
    pub fn said(&mut self, now: BootInstant) {
        self.said = now;
    }

    /// Records a look. `used` is a digest of the CPU time of all its processes and of which processes they are.
    pub fn looked(&mut self, rules: &Watchdog, used: u64, now: BootInstant) {
        // The watcher was itself stopped, or is much too late: silence in that time does not count.
        let asleep = now.since(self.looked) > 2 * pace(rules) + LATE;
        if asleep {
            *self = Self::begin(now);
        }
        if self.used.replace(used) != Some(used) {
            self.moved = now;
        }
        self.looked = now;
    }

    /// Returns for how long it used no CPU time until the last look; `None` if it was looked at once at most.
    pub fn idle(&self) -> Option<Duration> {
        let idle = self.looked.since(self.moved);
        (self.used.is_some() && !idle.is_zero()).then_some(idle)
    }

    /// Returns why it counts as frozen; `None` if it does not. `evidence` is what shows that work is waiting.
    pub fn judge(&self, rules: &Watchdog, evidence: Option<&str>) -> Option<String> {
        let (idle, silent) = (self.looked.since(self.moved), self.looked.since(self.said));
        if rules.notify.is_some_and(|promised| silent > promised) {
            return Some(format!("no WATCHDOG=1 for {}", took(silent)));
        }
        if rules.cpu_idle.is_none_or(|longest| idle < longest) || self.used.is_none() {
            return None;
        }
        match evidence {
            Some(evidence) => Some(format!("no CPU time for {} while {evidence}", took(idle))),
            None if rules.evidence => None,
            None => Some(format!("no CPU time for {}", took(idle))),
        }
    }
}

/// How late a look may be on a busy machine.
const LATE: Duration = Duration::from_secs(2);

/// Returns how often to look at a run: a few times within the shortest limit.
pub fn pace(rules: &Watchdog) -> Duration {
    const MOST: Duration = Duration::from_secs(5);
    const LEAST: Duration = Duration::from_millis(200);
    let shortest = [rules.cpu_idle, rules.notify].into_iter().flatten().min().unwrap_or(MOST);
    (shortest / 4).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use sereno_config::OnFailure;

    use super::super::unit::testing::at;
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SICK: Option<&str> = Some("health fails: 503");

    fn idle(evidence: bool) -> Watchdog {
        Watchdog { cpu_idle: Some(5 * MINUTE), evidence, notify: None, action: OnFailure::Restart }
    }

    fn promised() -> Watchdog {
        Watchdog { cpu_idle: None, evidence: true, notify: Some(MINUTE), action: OnFailure::Restart }
    }

    /// Looks every 5 s from one second to another, finding this use at each.
    fn look(watch: &mut Watch, rules: &Watchdog, seconds: std::ops::Range<u32>, used: impl Fn(u32) -> u64) {
        for second in seconds.step_by(5) {
            watch.looked(rules, used(second), at(second.into()));
        }
    }

    #[test]
    fn an_idle_server_is_not_frozen_and_one_that_lets_work_wait_is() {
        let rules = idle(true);
        let mut watch = Watch::begin(at(0.0));
        look(&mut watch, &rules, 0..301, |_| 40);
        assert_eq!(watch.judge(&rules, None), None, "nothing shows that work is waiting");
        assert_eq!(watch.judge(&rules, SICK).as_deref(), Some("no CPU time for 5m while health fails: 503"));
        assert_eq!(watch.judge(&idle(false), None).as_deref(), Some("no CPU time for 5m"), "the bare rule");
        look(&mut watch, &rules, 305..306, |_| 41);
        assert_eq!(watch.judge(&rules, SICK), None, "a single tick is life");
    }

    #[test]
    fn work_is_life_however_sick() {
        let rules = idle(false);
        let mut watch = Watch::begin(at(0.0));
        look(&mut watch, &rules, 0..3_000, |second| u64::from(second / 290));
        assert_eq!(watch.judge(&rules, SICK), None);
    }

    #[test]
    fn a_promise_is_kept_or_missed_whatever_the_cpu_does() {
        let rules = promised();
        let mut watch = Watch::begin(at(0.0));
        look(&mut watch, &rules, 0..61, u64::from);
        assert_eq!(watch.judge(&rules, None), None, "still within its time");
        look(&mut watch, &rules, 65..66, u64::from);
        assert_eq!(watch.judge(&rules, None).as_deref(), Some("no WATCHDOG=1 for 1m 5s"));
        watch.said(at(66.0));
        look(&mut watch, &rules, 70..120, u64::from);
        assert_eq!(watch.judge(&rules, None), None, "said again");
    }

    #[test]
    fn who_was_asleep_itself_has_seen_nothing() {
        for rules in [idle(false), promised()] {
            let mut watch = Watch::begin(at(0.0));
            look(&mut watch, &rules, 0..50, |_| 1);
            watch.looked(&rules, 1, at(3_600.0));
            assert_eq!(watch.judge(&rules, SICK), None, "{rules:?}");
            look(&mut watch, &rules, 3_605..3_960, |_| 1);
            assert!(watch.judge(&rules, SICK).is_some(), "{rules:?}");
        }
    }

    #[test]
    fn it_is_looked_at_a_few_times_within_the_shortest_time() {
        assert_eq!(pace(&idle(true)), Duration::from_secs(5));
        assert_eq!(
            pace(&Watchdog { notify: Some(Duration::from_secs(4)), ..idle(true) }),
            Duration::from_secs(1)
        );
        assert_eq!(
            pace(&Watchdog { notify: Some(Duration::from_millis(1)), ..idle(true) }),
            Duration::from_millis(200)
        );
    }
}
