//! A run that replaces another run of the same service while that run is still alive.

use std::time::Duration;

use super::super::ready::Readiness;
use super::{Phase, Unit};

impl Unit {
    /// Reserves an incarnation for a run beside the current run: no later run gets it, whatever happens to that run.
    pub fn reserve_incarnation(&mut self) -> u64 {
        self.reserved = self.reserved.max(self.incarnation) + 1;
        self.reserved
    }

    /// Returns how long the current run took to become ready.
    pub fn took(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Alive(run) => run.ready_at.map(|at| at.since(run.since())),
            _ => None,
        }
    }

    /// Returns this unit with the ready run of `by` as its own. It no longer follows what happens to the previous run.
    #[must_use]
    pub fn renewed(&self, by: &Unit) -> Self {
        let mut unit = self.clone();
        if let Phase::Alive(run) = &by.phase {
            let mut renewed = Readiness::begin(&self.rules.ready, run.since(), &self.watched);
            renewed.ready_at = run.ready_at;
            unit.phase = Phase::Alive(renewed);
            unit.incarnation = by.incarnation;
            unit.starts += 1;
            unit.streak = 0;
        }
        unit
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, plain, policy};
    use super::super::{Action, Exit, Fact, Request};
    use super::*;

    fn up(unit: &mut Unit) {
        unit.request(at(1.0), Request::Start);
        assert!(matches!(unit.poll(at(1.0)), Some(Action::Spawn(_))));
        unit.observe(at(1.0), Fact::Spawned);
        assert_eq!(unit.poll(at(1.0)), None);
    }

    #[test]
    fn the_successor_is_the_run_from_then_on_and_numbers_only_grow() {
        let mut first = plain(policy());
        up(&mut first);
        let taken = first.reserve_incarnation();
        let mut second = plain(policy());
        second.skip_incarnations(taken - 1);
        up(&mut second);
        assert_eq!((taken, second.incarnation()), (2, 2));
        let renewed = first.renewed(&second);
        assert!(renewed.is_ready() && renewed.is_wanted());
        assert_eq!((renewed.incarnation(), renewed.restarts()), (2, 1));
    }

    #[test]
    fn a_number_that_came_to_nothing_is_not_used_again_also_after_a_restart_of_the_supervisor() {
        let mut unit = plain(policy());
        up(&mut unit);
        assert_eq!((unit.reserve_incarnation(), unit.reserve_incarnation()), (2, 3));
        let mut unit = Unit::restore(unit.rules.clone(), &unit.save(), true, at(2.0), 1);
        unit.observe(at(3.0), Fact::Exited(Exit::Code(1)));
        assert_eq!(unit.poll(at(3.0)), Some(Action::Sweep));
        unit.observe(at(3.0), Fact::Swept);
        assert_eq!(unit.poll(at(3.0)), Some(Action::Spawn(4)));
    }
}
