//! How a run is ended: evidence of what it was doing when it was judged, for a bounded time; then the signal, then the
//! kill.

use std::time::Duration;

use super::{Action, BootInstant, Phase, Unit, WhyEnd};

/// The longest that a run goes on for the sake of evidence, unless more was asked for
/// ([`Fact::Examining`](super::Fact::Examining)).
pub const EXAMINATION: Duration = Duration::from_millis(300);

/// How far a stop has progressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The next poll hands out what comes first: the evidence or the signal.
    Untold,
    /// Evidence is taken; the signal follows as soon as it is there, at the latest at `until`.
    Examining { until: BootInstant },
    /// The next poll hands the signal out.
    Examined,
    /// It was told to end, and has until `kill_at`.
    Told { kill_at: BootInstant },
    /// It was killed.
    Killed,
}

impl Stage {
    /// Returns the next action, and goes on to its stage. `wanted` is `false` after a person's stop.
    pub(super) fn next(
        &mut self,
        end: WhyEnd,
        wanted: bool,
        now: BootInstant,
        timeout: Duration,
    ) -> Option<Action> {
        // Neither a stop nor a restart by a person waits for evidence.
        let examines = wanted && end.wants_evidence();
        match *self {
            Self::Untold if examines => {
                *self = Self::Examining { until: now + EXAMINATION };
                Some(Action::Examine(end))
            }
            Self::Examining { until } if examines && until > now => None,
            Self::Untold | Self::Examining { .. } | Self::Examined => {
                *self = Self::Told { kill_at: now + timeout };
                Some(Action::Terminate(end))
            }
            Self::Told { kill_at } if kill_at <= now => {
                *self = Self::Killed;
                Some(Action::Kill)
            }
            Self::Told { .. } | Self::Killed => None,
        }
    }

    /// Returns when it goes on even if nothing happens.
    pub(super) fn deadline(self) -> Option<BootInstant> {
        match self {
            Self::Examining { until } => Some(until),
            Self::Told { kill_at } => Some(kill_at),
            Self::Untold | Self::Examined | Self::Killed => None,
        }
    }
}

impl Unit {
    /// Returns whether evidence of its run is being taken.
    pub fn is_examined(&self) -> bool {
        matches!(self.phase, Phase::Stopping { stage: Stage::Examining { .. }, .. })
    }

    pub(super) fn examined_until(&mut self, at: BootInstant) {
        if let Phase::Stopping { stage: Stage::Examining { until }, .. } = &mut self.phase {
            *until = at;
        }
    }

    pub(super) fn examined(&mut self) {
        if let Phase::Stopping { stage, .. } = &mut self.phase
            && matches!(stage, Stage::Examining { .. })
        {
            *stage = Stage::Examined;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, plain, policy};
    use super::super::{Action, Exit, Fact, Request, State, WhyEnd};
    use super::*;

    /// Returns a unit whose run is being examined since second 2.
    fn examined(request: Request) -> Unit {
        let mut unit = plain(policy());
        unit.request(at(1.0), Request::Start);
        unit.poll(at(1.0));
        unit.observe(at(1.0), Fact::Spawned);
        unit.poll(at(1.0));
        unit.request(at(2.0), request);
        assert!(matches!(unit.poll(at(2.0)), Some(Action::Examine(_))), "{unit:?}");
        assert_eq!((unit.poll(at(2.0)), unit.state(at(2.0))), (None, State::Stopping));
        unit
    }

    #[test]
    fn evidence_comes_first_and_the_end_follows_with_it_or_without_it() {
        for (request, why) in [(Request::Ask, WhyEnd::Asked), (Request::Unburden, WhyEnd::Memory)] {
            let mut unit = examined(request);
            assert_eq!((unit.deadline(), unit.kill_in(at(2.0))), (Some(at(2.3)), None));
            unit.observe(at(2.1), Fact::Examined);
            assert_eq!(unit.poll(at(2.1)), Some(Action::Terminate(why)));
            assert_eq!(unit.deadline(), Some(at(12.1)), "its time to end begins now");

            let mut unit = examined(request);
            assert_eq!(unit.poll(at(2.29)), None);
            assert_eq!(unit.poll(at(2.3)), Some(Action::Terminate(why)), "the evidence never came");
            unit.observe(at(2.4), Fact::Examined);
            unit.observe(at(2.4), Fact::Examining(Duration::from_secs(9)));
            assert_eq!((unit.poll(at(2.4)), unit.deadline()), (None, Some(at(12.3))), "too late");
        }
    }

    #[test]
    fn what_was_asked_for_besides_has_its_own_time() {
        let mut unit = examined(Request::Ask);
        unit.observe(at(2.1), Fact::Examining(Duration::from_secs(3)));
        assert_eq!((unit.poll(at(5.0)), unit.deadline()), (None, Some(at(5.1))));
        assert_eq!(unit.poll(at(5.1)), Some(Action::Terminate(WhyEnd::Asked)));
    }

    #[test]
    fn a_person_never_waits_for_it() {
        let mut unit = examined(Request::Ask);
        unit.request(at(2.1), Request::Stop);
        assert_eq!(unit.poll(at(2.1)), Some(Action::Terminate(WhyEnd::Asked)));
        let mut unit = examined(Request::Ask);
        unit.request(at(2.1), Request::Restart);
        assert_eq!(unit.poll(at(2.1)), Some(Action::Terminate(WhyEnd::Restart)));
        for request in [Request::Stop, Request::Restart, Request::Overdue] {
            let mut unit = plain(policy());
            unit.request(at(1.0), Request::Start);
            unit.poll(at(1.0));
            unit.observe(at(1.0), Fact::Spawned);
            unit.request(at(2.0), request);
            assert!(matches!(unit.poll(at(2.0)), Some(Action::Terminate(_))), "{request:?}");
        }
        // The stop comes before the first poll.
        let mut unit = plain(policy());
        unit.request(at(1.0), Request::Start);
        unit.poll(at(1.0));
        unit.observe(at(1.0), Fact::Spawned);
        unit.request(at(2.0), Request::Ask);
        unit.request(at(2.0), Request::Stop);
        assert_eq!(unit.poll(at(2.0)), Some(Action::Terminate(WhyEnd::Asked)));
    }

    #[test]
    fn a_run_that_ends_meanwhile_is_swept_at_once_and_one_that_is_not_told_goes_on() {
        let mut unit = examined(Request::Ask);
        unit.observe(at(2.1), Fact::Exited(Exit::Code(1)));
        assert_eq!(unit.poll(at(2.1)), Some(Action::Sweep));
        unit.observe(at(2.1), Fact::Examined);
        unit.observe(at(2.1), Fact::Swept);
        assert_eq!((unit.poll(at(2.1)), unit.incarnation()), (Some(Action::Spawn(2)), 2));

        let mut unit = examined(Request::Ask);
        unit.observe(at(2.0), Fact::NotTold);
        assert_eq!((unit.poll(at(2.5)), unit.state(at(2.5))), (None, State::Running));
    }

    #[test]
    fn the_next_supervisor_ends_what_was_being_examined() {
        let unit = examined(Request::Ask);
        let mut next = Unit::restore(unit.rules.clone(), &unit.save(), true, at(3.0), 7);
        assert_eq!(next.poll(at(3.0)), Some(Action::Examine(WhyEnd::Asked)));
        assert_eq!(next.poll(at(3.3)), Some(Action::Terminate(WhyEnd::Asked)));
    }
}
