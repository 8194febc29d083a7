//! A start that failed, a start that the supervisor cannot try, and a run that it cannot tell to end: the last two are
//! no failure of the service.

use std::time::Duration;

use super::{BootInstant, Ended, Exit, Note, Phase, Rest, Stage, Unit, WhyEnd};

/// The wait after the first try, and the longest wait between two tries.
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// Why the supervisor could not try a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hindrance {
    pub(crate) reason: String,
    /// The wait until the next try.
    wait: Duration,
}

impl Unit {
    /// Schedules the start again, sooner at first. It counts neither as a start nor as a failure.
    pub(super) fn hindered(&mut self, now: BootInstant, reason: String) {
        if !matches!(self.phase, Phase::Spawning) {
            return;
        }
        self.starts = self.starts.saturating_sub(1);
        if !self.wanted {
            self.phase = Phase::Idle(Rest::Stopped);
            return;
        }
        let before = self.hindrance.take();
        let wait = before.as_ref().map_or(FIRST, |before| (before.wait * 2).min(LONGEST));
        // Reported once for each reason: a disk that is full for hours would fill the journal.
        if before.is_none_or(|before| before.reason != reason) {
            self.notes.push(Note::Hindered(reason.clone()));
        }
        self.hindrance = Some(Hindrance { reason, wait });
        self.phase = Phase::Due { at: now + wait };
    }

    pub(super) fn spawn_failed(&mut self, now: BootInstant, reason: String) {
        if matches!(self.phase, Phase::Spawning) {
            self.hindrance = None;
            let last = Ended { end: WhyEnd::Exit, exit: Exit::NotSpawned(reason), at: now };
            self.conclude(now, last, false);
        }
    }

    /// Lets a healthy run that would have been replaced continue.
    pub(super) fn not_told(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Spawning) {
            Phase::Stopping {
                run,
                stage: Stage::Examining { .. } | Stage::Told { .. },
                end: WhyEnd::Restart | WhyEnd::Asked,
            } => self.phase = Phase::Alive(run),
            other => self.phase = other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, plain, policy};
    use super::super::{Action, Fact, Request, State};
    use super::*;

    #[test]
    fn a_start_that_can_not_be_tried_is_tried_for_ever_and_counts_for_nothing() {
        let mut unit = plain(sereno_config::RestartPolicy { max: 1, ..policy() });
        let mut now = at(1.0);
        unit.request(now, Request::Start);
        let mut waits = Vec::new();
        for _ in 0..50 {
            assert!(matches!(unit.poll(now), Some(Action::Spawn(_))), "{unit:?}");
            unit.observe(now, Fact::Hindered("no space".into()));
            assert_eq!((unit.state(now), unit.streak(), unit.restarts()), (State::Backoff, 0, 0));
            assert_eq!(unit.reason(now).as_deref(), Some("could not start: no space"));
            let next = unit.deadline().expect("it is tried again");
            waits.push(next.since(now));
            now = next;
        }
        assert_eq!((waits[0], waits[1], waits[49]), (FIRST, FIRST * 2, LONGEST));
        assert_eq!(unit.take_notes(), [Note::Hindered("no space".into())]);
        unit.poll(now);
        unit.observe(now, Fact::Spawned);
        assert_eq!(
            (unit.state(now), unit.reason(now), unit.last_exit()),
            (State::Starting, unit.reason(now), None)
        );
        unit.observe(now, Fact::Exited(Exit::Code(1)));
        assert_eq!(unit.streak(), 1, "the service's own failure counts");
    }

    #[test]
    fn a_person_can_stop_it_meanwhile_or_have_it_tried_at_once() {
        let mut unit = plain(policy());
        unit.request(at(1.0), Request::Start);
        unit.poll(at(1.0));
        unit.observe(at(1.0), Fact::Hindered("no space".into()));
        assert_eq!(unit.poll(at(1.1)), None);
        unit.request(at(1.1), Request::Start);
        assert_eq!(unit.poll(at(1.1)), Some(Action::Spawn(2)));
        unit.request(at(1.1), Request::Stop);
        unit.observe(at(1.1), Fact::Hindered("no space".into()));
        assert_eq!((unit.state(at(9.0)), unit.deadline()), (State::Stopped, None));
    }

    #[test]
    fn a_run_that_could_not_be_told_goes_on_and_a_stop_is_never_taken_back() {
        for (request, state) in [(Request::Restart, State::Running), (Request::Stop, State::Stopping)] {
            let mut unit = plain(policy());
            unit.request(at(1.0), Request::Start);
            unit.poll(at(1.0));
            unit.observe(at(1.0), Fact::Spawned);
            unit.poll(at(1.0));
            unit.request(at(2.0), request);
            assert!(matches!(unit.poll(at(2.0)), Some(Action::Terminate(_))));
            unit.observe(at(2.0), Fact::NotTold);
            assert_eq!((unit.poll(at(2.0)), unit.state(at(2.0))), (None, state));
        }
    }
}
