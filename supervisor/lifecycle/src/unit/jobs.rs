//! Tests of jobs: a wanted job waits for its time, and the end of a run is no crash.

use sereno_config::{Policy, Ready, RestartPolicy};

use super::super::{Action, Exit, Fact, Request, State, WhyEnd};
use super::testing::{at, policy, rules};
use super::{BootInstant, Rules, Unit};

fn job(kind: Policy) -> Unit {
    let restart = RestartPolicy { policy: kind, jitter: 0.0, ..policy() };
    Unit::new(Rules { is_job: true, ..rules(restart, vec![Ready::Started]) }, 7)
}

/// Begins a run at `now`, which ends with `exit`.
fn run(unit: &mut Unit, now: BootInstant, exit: Exit) {
    unit.request(now, Request::Restart);
    assert!(matches!(unit.poll(now), Some(Action::Spawn(_))));
    unit.observe(now, Fact::Spawned);
    unit.poll(now);
    unit.observe(now, Fact::Exited(exit));
    assert_eq!(unit.poll(now), Some(Action::Sweep));
    unit.observe(now, Fact::Swept);
}

#[test]
fn armed_it_waits_and_a_stop_disarms_it() {
    let mut unit = job(Policy::Never);
    unit.request(at(1.0), Request::Arm);
    assert_eq!((unit.state(at(1.0)), unit.poll(at(1.0))), (State::Completed, None));
    assert!(unit.is_wanted() && unit.is_armed() && !unit.is_completed(), "nobody may take it for done");
    unit.request(at(2.0), Request::Stop);
    assert_eq!((unit.state(at(2.0)), unit.is_wanted()), (State::Stopped, false));
    // Any other service is simply started.
    let mut service = super::testing::plain(policy());
    service.request(at(1.0), Request::Arm);
    assert_eq!(service.poll(at(1.0)), Some(Action::Spawn(1)));
}

#[test]
fn no_end_is_a_crash_and_no_run_a_restart() {
    let mut unit = job(Policy::Never);
    unit.request(at(1.0), Request::Arm);
    for (count, second) in [10.0, 20.0, 30.0].into_iter().enumerate() {
        run(&mut unit, at(second), Exit::Code(0));
        assert_eq!((unit.state(at(second)), unit.streak(), unit.restarts()), (State::Completed, 0, 0));
        assert_eq!(unit.incarnation(), count as u64 + 1);
    }
    run(&mut unit, at(40.0), Exit::Code(3));
    assert_eq!((unit.state(at(99.0)), unit.reason(at(99.0))), (State::Failed, Some("exit 3".into())));
    assert_eq!(unit.streak(), 0);
    run(&mut unit, at(100.0), Exit::Code(0));
    assert_eq!((unit.state(at(100.0)), unit.reason(at(100.0))), (State::Completed, None));
}

#[test]
fn a_failed_run_is_tried_again_where_that_is_wanted_and_the_next_time_begins_anew() {
    let mut unit = job(Policy::OnFailure);
    run(&mut unit, at(1.0), Exit::Code(1));
    assert_eq!(unit.poll(at(1.0)), Some(Action::Spawn(2)), "the first time at once");
    unit.observe(at(1.0), Fact::Spawned);
    unit.observe(at(1.0), Fact::Exited(Exit::Code(1)));
    unit.poll(at(1.0));
    unit.observe(at(1.0), Fact::Swept);
    assert_eq!((unit.state(at(1.0)), unit.streak(), unit.restarts()), (State::Backoff, 2, 1));
    run(&mut unit, at(1.1), Exit::Code(0));
    assert_eq!((unit.state(at(1.1)), unit.streak(), unit.restarts()), (State::Completed, 0, 0));
}

#[test]
fn a_run_that_takes_too_long_failed_and_one_ended_for_the_next_did_not() {
    let mut unit = job(Policy::Never);
    for (request, end) in [(Request::Overdue, WhyEnd::Overdue), (Request::Restart, WhyEnd::Restart)] {
        unit.request(at(1.0), Request::Start);
        unit.poll(at(1.0));
        unit.observe(at(1.0), Fact::Spawned);
        unit.request(at(2.0), request);
        assert_eq!(unit.poll(at(2.0)), Some(Action::Terminate(end)));
        unit.observe(at(3.0), Fact::Exited(Exit::Signal("SIGTERM".into())));
        unit.observe(at(3.0), Fact::Drained);
        unit.poll(at(3.0));
        unit.observe(at(3.0), Fact::Swept);
        if request == Request::Overdue {
            assert_eq!(unit.reason(at(3.0)).as_deref(), Some("not done in time: SIGTERM"));
        } else {
            assert!(matches!(unit.poll(at(3.0)), Some(Action::Spawn(_))), "the next run follows");
        }
    }
}

#[test]
fn a_stop_and_up_again_meanwhile_waits_and_a_start_runs() {
    let ways = [(Request::Arm, State::Completed), (Request::Start, State::Starting)];
    // Also while it is being ended for its next run.
    for ((request, state), ended_before) in ways.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        let mut unit = job(Policy::Never);
        unit.request(at(1.0), Request::Start);
        unit.poll(at(1.0));
        unit.observe(at(1.0), Fact::Spawned);
        if ended_before {
            unit.request(at(2.0), Request::Restart);
            unit.poll(at(2.0));
        }
        unit.request(at(2.0), Request::Stop);
        unit.poll(at(2.0));
        unit.request(at(2.0), request);
        unit.observe(at(3.0), Fact::Exited(Exit::Code(0)));
        unit.observe(at(3.0), Fact::Drained);
        unit.poll(at(3.0));
        unit.observe(at(3.0), Fact::Swept);
        assert_eq!(unit.state(at(3.0)), state, "{request:?}, {ended_before}");
    }
}

#[test]
fn what_is_written_down_waits_on_and_a_boot_runs_nothing() {
    let mut unit = job(Policy::Never);
    unit.request(at(1.0), Request::Arm);
    let again = Unit::restore(unit.rules.clone(), &unit.save(), false, at(2.0), 7);
    assert!(again.is_armed());
    let mut booted = Unit::after_boot(unit.rules.clone(), &unit.save(), at(0.5), 7);
    assert!(booted.is_armed() && booted.poll(at(0.5)).is_none());
    unit.request(at(3.0), Request::Start);
    unit.poll(at(3.0));
    unit.observe(at(3.0), Fact::Spawned);
    let broken = Unit::after_boot(unit.rules.clone(), &unit.save(), at(0.5), 7);
    assert_eq!(broken.reason(at(0.5)).as_deref(), Some("the host went down"));
}
