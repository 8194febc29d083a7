//! When something must be done by the wall clock, which people and networks can set at will.
//!
//! Pure: `now` is an argument. A time that has come is reported once with its delay, even if several times have passed
//! unseen. Setting the clock back a little does not make a time come twice.

use std::time::{Duration, SystemTime};

use sereno_config::{Cron, Service as Spec};

use super::Service;
use crate::lifecycle::BootInstant;

/// If the clock is set back by less than this, times that came are over; if by more, it is treated as another day.
const SAME_DAY: Duration = Duration::from_secs(3 * 60 * 60);

/// A delay above this means that nothing was running when the time came.
pub const LATE: Duration = Duration::from_secs(60);

/// The state of waiting for a cron line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// The next time; `None` if the time zone is unknown on this host.
    next: Option<SystemTime>,
    /// The latest scheduled time that has come.
    came: Option<SystemTime>,
    looked: SystemTime,
    /// Whether its time came during the last run, so that a run waits for that run's end.
    queued: bool,
    /// The run during which a time was skipped last.
    passed_over: Option<u64>,
}

impl Timer {
    /// Begins to wait. `planned` is the time that an earlier supervisor waited for.
    pub fn begin(cron: &Cron, planned: Option<SystemTime>, now: SystemTime) -> Self {
        let next = cron.after(now);
        // The clock was set back meanwhile, or the line changed: the planned time no longer applies.
        let planned = planned.filter(|planned| next.is_some_and(|next| *planned < next));
        Self { next: planned.or(next), came: None, looked: now, queued: false, passed_over: None }
    }

    /// Returns the next time.
    pub fn next(&self) -> Option<SystemTime> {
        self.next
    }

    /// Returns the delay, if a time has come since the last look.
    pub fn come(&mut self, cron: &Cron, now: SystemTime) -> Option<Duration> {
        if now < self.looked {
            let over = self.came.filter(|came| came.duration_since(now).is_ok_and(|back| back < SAME_DAY));
            self.next = cron.after(over.unwrap_or(now));
        }
        self.looked = now;
        let late = now.duration_since(self.next?).ok()?;
        self.came = self.next;
        self.next = cron.after(now);
        Some(late)
    }
}

fn cron_of(spec: &Spec) -> Option<&Cron> {
    let job = spec.schedule.as_ref().map(|schedule| &schedule.cron);
    job.or(spec.restart.cron.as_ref())
}

impl Service {
    /// Returns the cron line that it waits for.
    pub fn cron(&self) -> Option<&Cron> {
        cron_of(&self.spec)
    }

    /// Begins to wait for its times, if it has any. `planned` is the time that an earlier supervisor waited for.
    pub fn wait_for_times(&mut self, planned: Option<SystemTime>) {
        self.timer = self.cron().map(|cron| Timer::begin(cron, planned, SystemTime::now()));
    }

    /// Returns the delay, if its time has come.
    pub fn its_time(&mut self, now: SystemTime) -> Option<Duration> {
        self.timer.as_mut()?.come(cron_of(&self.spec)?, now)
    }

    /// Queues a run, as its time came during the last run. Returns whether a run was queued already.
    pub fn queue(&mut self) -> bool {
        self.timer.as_mut().is_some_and(|timer| std::mem::replace(&mut timer.queued, true))
    }

    /// Records that a time is skipped. Returns whether it is the first during this run.
    pub fn is_first_passed_over(&mut self) -> bool {
        let run = self.unit.incarnation();
        self.timer.as_mut().is_some_and(|timer| timer.passed_over.replace(run) != Some(run))
    }

    /// Returns whether a run waits for the end of its last run.
    pub fn is_queued(&self) -> bool {
        self.timer.as_ref().is_some_and(|timer| timer.queued)
    }

    /// Drops the queued run.
    pub fn unqueue(&mut self) {
        if let Some(timer) = &mut self.timer {
            timer.queued = false;
        }
    }

    /// Returns the next time, if anything will be done then.
    pub fn next_run(&self) -> Option<SystemTime> {
        self.timer.as_ref().filter(|_| self.unit.is_wanted())?.next()
    }

    /// Returns why it has no next time although it has a cron line.
    pub fn timeless(&self) -> Option<String> {
        self.timer.as_ref().filter(|timer| timer.next().is_none())?;
        self.cron()?.check_zone().err().map(|error| error.to_string())
    }

    /// Returns how long a run of it may take.
    pub fn longest_run(&self) -> Option<Duration> {
        self.spec.schedule.as_ref()?.timeout
    }

    /// Returns when its run will have taken too long.
    pub fn overdue_at(&self) -> Option<BootInstant> {
        let longest = self.longest_run()?;
        self.unit.began().filter(|_| self.unit.is_started()).map(|began| began + longest)
    }

    /// Returns whether its run has taken too long.
    pub fn is_overdue(&self, now: BootInstant) -> bool {
        self.overdue_at().is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three o'clock each day.
    fn cron() -> Cron {
        Cron::parse("0 3 * * *").expect("a line").in_zone(Some("UTC".into()))
    }

    fn at(day: u64, hour: u64, minute: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(((day * 24 + hour) * 60 + minute) * 60)
    }

    #[test]
    fn a_time_comes_once() {
        let mut timer = Timer::begin(&cron(), None, at(1, 2, 0));
        assert_eq!((timer.next(), timer.come(&cron(), at(1, 2, 59))), (Some(at(1, 3, 0)), None));
        assert_eq!(timer.come(&cron(), at(1, 3, 0)), Some(Duration::ZERO));
        assert_eq!((timer.next(), timer.come(&cron(), at(1, 3, 0))), (Some(at(2, 3, 0)), None));
    }

    #[test]
    fn however_many_passed_unseen_one_is_made_up_for() {
        let mut timer = Timer::begin(&cron(), Some(at(1, 3, 0)), at(9, 5, 0));
        let late = timer.come(&cron(), at(9, 5, 0)).expect("it came");
        assert!(late > LATE, "{late:?}");
        assert_eq!((timer.next(), timer.come(&cron(), at(9, 6, 0))), (Some(at(10, 3, 0)), None));
        // The same with a clock that jumps while the timer runs.
        assert!(timer.come(&cron(), at(300, 0, 0)).is_some());
        assert_eq!((timer.come(&cron(), at(300, 0, 1)), timer.next()), (None, Some(at(300, 3, 0))));
    }

    #[test]
    fn a_clock_set_back_a_little_repeats_nothing_and_by_a_day_begins_anew() {
        let mut timer = Timer::begin(&cron(), None, at(5, 2, 59));
        assert!(timer.come(&cron(), at(5, 3, 1)).is_some());
        assert_eq!(timer.come(&cron(), at(5, 2, 50)), None);
        assert_eq!(timer.next(), Some(at(6, 3, 0)), "not the one that has just been");
        assert_eq!(timer.come(&cron(), at(2, 12, 0)), None);
        assert_eq!(timer.next(), Some(at(3, 3, 0)));
        // The planned time of an earlier supervisor is far in the future now.
        assert_eq!(Timer::begin(&cron(), Some(at(5, 3, 0)), at(2, 1, 0)).next(), Some(at(2, 3, 0)));
    }
}
