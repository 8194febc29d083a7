//! Tests of a single service.

use std::time::Duration;

use proto::Name;
use sereno_config::{GiveUp, Policy, Ready, RestartPolicy};

use super::super::ready::CheckFact;
use super::testing::{at, check, name, plain, policy, poll_examined, rules};
use super::{Action, Answer, BootInstant, Exit, Fact, Note, Request, State, Unit, WhyEnd};

/// Starts the unit and lets the spawn succeed.
#[track_caller]
fn up(unit: &mut Unit, now: BootInstant) {
    unit.request(now, Request::Start);
    spawn(unit, now);
}

#[track_caller]
fn spawn(unit: &mut Unit, now: BootInstant) {
    assert!(matches!(unit.poll(now), Some(Action::Spawn(_))), "{unit:?}");
    unit.observe(now, Fact::Spawned);
    assert_eq!(unit.poll(now), None);
}

/// Ends the run by itself, with nothing of it left.
#[track_caller]
fn crash(unit: &mut Unit, now: BootInstant) {
    exit(unit, now, Exit::Code(1));
}

#[track_caller]
fn exit(unit: &mut Unit, now: BootInstant, exit: Exit) {
    unit.observe(now, Fact::Exited(exit));
    assert_eq!(unit.poll(now), Some(Action::Sweep));
    unit.observe(now, Fact::Swept);
}

/// Ends a run that was told to end, with nothing of it left.
#[track_caller]
fn end(unit: &mut Unit, now: BootInstant, exit: Exit, why: WhyEnd) {
    unit.observe(now, Fact::Exited(exit));
    assert_eq!(unit.ends_because(), Some(why));
    assert_eq!(unit.poll(now), Some(Action::Drain));
    unit.observe(now, Fact::Drained);
    assert_eq!(unit.poll(now), Some(Action::Sweep));
    unit.observe(now, Fact::Swept);
}

#[test]
fn a_crash_loop_waits_as_the_policy_says_and_gives_up_after_max() {
    let mut unit = plain(RestartPolicy { max: 4, ..policy() });
    let mut now = at(100.0);
    up(&mut unit, now);
    let mut waits = Vec::new();
    while !unit.is_failed() {
        crash(&mut unit, now);
        let Some(next) = unit.deadline() else { break };
        waits.push(next.since(now).as_millis());
        now = next;
        spawn(&mut unit, now);
    }
    assert_eq!(waits, [0, 500, 1_000, 2_000], "one start and four restarts");
    assert_eq!(unit.state(now), State::Failed);
    assert_eq!(unit.reason(now).as_deref(), Some("gave up after 5 failed runs in a row: exit 1"));
    assert_eq!(unit.restarts(), 4);

    unit.request(now, Request::Reset);
    spawn(&mut unit, now);
    assert_eq!((unit.streak(), unit.restarts(), unit.state(now)), (0, 0, State::Running));
}

#[test]
fn giving_up_can_mean_to_try_less_often() {
    let every = Duration::from_secs(600);
    let mut unit = plain(RestartPolicy { max: 0, give_up: GiveUp::Retry { every }, ..policy() });
    up(&mut unit, at(0.0));
    crash(&mut unit, at(1.0));
    assert_eq!(unit.state(at(1.0)), State::Backoff);
    assert_eq!(unit.next_start(at(1.0)), Some(every));
}

#[test]
fn the_first_crash_of_a_stable_service_is_restarted_at_once() {
    let mut unit = plain(policy());
    up(&mut unit, at(0.0));
    crash(&mut unit, at(1.0));
    spawn(&mut unit, at(1.0));
    assert_eq!(unit.streak(), 1);
    assert_eq!(unit.deadline(), Some(at(31.0)), "stable after min_uptime");
    assert_eq!(unit.poll(at(31.0)), None);
    assert_eq!(unit.streak(), 0);
    crash(&mut unit, at(40.0));
    assert_eq!(unit.poll(at(40.0)), Some(Action::Spawn(3)));
}

/// Returns a unit with a check, watched from the start, which was ready after 1 s.
fn checked(every: f64) -> (Unit, Name) {
    let port = name("port");
    let mut unit = Unit::new(rules(policy(), vec![Ready::Check(port.clone())]), 1);
    unit.observe(at(0.0), Fact::Watched(port.clone(), true));
    up(&mut unit, at(0.0));
    let every = Duration::from_secs_f64(every);
    unit.observe(at(1.0), Fact::Check(port.clone(), CheckFact { every, ..check(true, at(1.0)) }));
    assert_eq!(unit.poll(at(1.0)), None);
    assert_eq!(unit.state(at(1.0)), State::Running);
    (unit, port)
}

#[test]
fn a_run_whose_checks_pass_is_stable_min_uptime_after_it_was_ready() {
    // No report means that the check passes; a check that is due in 5 minutes has the newest result that there is.
    for every in [1.0, 10.0, 300.0] {
        let (mut unit, _) = checked(every);
        assert_eq!(unit.deadline(), Some(at(31.0)), "checked every {every} s");
        unit.poll(at(31.0));
        crash(&mut unit, at(32.0));
        assert_eq!(unit.streak(), 0, "it was stable");
    }
}

#[test]
fn a_run_that_was_long_not_ready_is_stable_no_sooner() {
    let mut unit = Unit::new(rules(policy(), vec![Ready::Notify]), 1);
    up(&mut unit, at(0.0));
    unit.observe(at(50.0), Fact::Notified);
    unit.poll(at(50.0));
    assert_eq!(unit.deadline(), Some(at(80.0)));
}

#[test]
fn a_check_that_failed_once_vouches_for_nothing_until_it_passes() {
    let (mut unit, port) = checked(10.0);
    let first_failure = CheckFact { failures: 1, ..check(true, at(25.0)) };
    unit.observe(at(25.0), Fact::Check(port.clone(), first_failure));
    unit.poll(at(50.0));
    assert_eq!(unit.deadline(), None);
    let mut sick = unit.clone();
    crash(&mut sick, at(50.0));
    assert_eq!(sick.streak(), 1, "never was stable");
    unit.observe(at(55.0), Fact::Check(port, check(true, at(55.0))));
    unit.poll(at(55.0));
    crash(&mut unit, at(56.0));
    assert_eq!(unit.streak(), 0, "stable once it passed");
}

#[test]
fn silence_counts_only_while_a_monitor_watches() {
    let (mut unit, port) = checked(10.0);
    unit.observe(at(5.0), Fact::Watched(port.clone(), false));
    assert_eq!(unit.deadline(), None, "nobody would report a failure");
    unit.observe(at(29.0), Fact::Watched(port.clone(), true));
    assert_eq!(unit.deadline(), Some(at(41.0)), "after an interval and a timeout");
    unit.observe(at(29.5), Fact::Check(port, check(true, at(29.0))));
    assert_eq!(unit.deadline(), Some(at(31.0)), "its report says that it passes");
}

#[test]
fn a_monitors_request_spends_the_budget_and_a_persons_restart_resets_it() {
    let mut unit = plain(policy());
    up(&mut unit, at(0.0));
    for round in 1..=3 {
        let now = at(f64::from(round) * 10.0);
        assert_eq!(unit.request(now, Request::Ask), Answer::Accepted);
        assert_eq!(poll_examined(&mut unit, now), Some(Action::Terminate(WhyEnd::Asked)));
        end(&mut unit, now, Exit::Signal("SIGTERM".into()), WhyEnd::Asked);
        assert_eq!(unit.streak(), u32::try_from(round).expect("small"));
        let next = unit.deadline().expect("due");
        spawn(&mut unit, next);
    }
    unit.request(at(40.0), Request::Restart);
    assert_eq!(unit.streak(), 0);
    assert_eq!(unit.poll(at(40.0)), Some(Action::Terminate(WhyEnd::Restart)));
    end(&mut unit, at(41.0), Exit::Code(0), WhyEnd::Restart);
    spawn(&mut unit, at(41.0));
}

#[test]
fn a_persons_restart_waits_for_no_delay() {
    let mut unit = plain(RestartPolicy { delay: Duration::from_secs(5), ..policy() });
    up(&mut unit, at(0.0));
    unit.request(at(1.0), Request::Restart);
    unit.poll(at(1.0));
    end(&mut unit, at(1.5), Exit::Code(0), WhyEnd::Restart);
    assert_eq!(unit.poll(at(1.5)), Some(Action::Spawn(2)));
    unit.observe(at(1.5), Fact::Spawned);
    crash(&mut unit, at(2.0));
    assert_eq!(unit.next_start(at(2.0)), Some(Duration::from_secs(5)), "a crash does");
}

#[test]
fn stop_is_never_forgotten_whatever_it_interrupts() {
    // In backoff.
    let mut unit = plain(policy());
    up(&mut unit, at(0.0));
    crash(&mut unit, at(0.1));
    spawn(&mut unit, at(0.1));
    crash(&mut unit, at(0.2));
    assert_eq!(unit.state(at(0.2)), State::Backoff);
    unit.request(at(0.3), Request::Stop);
    assert_eq!((unit.state(at(0.3)), unit.poll(at(99.0))), (State::Stopped, None));

    // While stopping in order to start again.
    let mut unit = plain(policy());
    up(&mut unit, at(0.0));
    unit.request(at(1.0), Request::Restart);
    unit.poll(at(1.0));
    unit.request(at(1.1), Request::Stop);
    end(&mut unit, at(1.2), Exit::Code(0), WhyEnd::Restart);
    assert_eq!((unit.state(at(1.2)), unit.poll(at(99.0))), (State::Stopped, None));

    // Between the spawn and the fact that it succeeded.
    let mut unit = plain(policy());
    unit.request(at(0.0), Request::Start);
    assert_eq!(unit.poll(at(0.0)), Some(Action::Spawn(1)));
    unit.request(at(0.0), Request::Stop);
    unit.observe(at(0.0), Fact::Spawned);
    assert_eq!(unit.poll(at(0.0)), Some(Action::Terminate(WhyEnd::Stop)));
}

#[test]
fn start_and_restart_while_stopping_make_one_new_run() {
    for request in [Request::Start, Request::Restart] {
        let mut unit = plain(policy());
        up(&mut unit, at(0.0));
        unit.request(at(1.0), Request::Stop);
        assert_eq!(unit.poll(at(1.0)), Some(Action::Terminate(WhyEnd::Stop)));
        assert_eq!(unit.request(at(1.1), request), Answer::Accepted);
        assert_eq!(unit.request(at(1.2), request), Answer::Already, "twice at once is once");
        let why = if request == Request::Start { WhyEnd::Stop } else { WhyEnd::Restart };
        end(&mut unit, at(1.3), Exit::Code(0), why);
        spawn(&mut unit, at(1.3));
        assert_eq!(unit.incarnation(), 2);
    }
}

#[test]
fn a_run_that_does_not_go_is_killed_once() {
    let mut unit = plain(policy());
    up(&mut unit, at(0.0));
    unit.request(at(1.0), Request::Stop);
    unit.poll(at(1.0));
    assert_eq!(unit.kill_in(at(4.0)), Some(Duration::from_secs(7)));
    assert_eq!(unit.poll(at(10.9)), None);
    assert_eq!(unit.poll(at(11.0)), Some(Action::Kill));
    assert_eq!((unit.poll(at(12.0)), unit.deadline()), (None, None));
}

#[test]
fn not_ready_in_time_is_a_failure_only_on_evidence() {
    let port = name("port");
    let fresh = |watched: bool| {
        let mut unit = Unit::new(rules(policy(), vec![Ready::Check(port.clone())]), 1);
        unit.observe(at(0.0), Fact::Watched(port.clone(), watched));
        up(&mut unit, at(0.0));
        unit
    };
    // No monitor watches: it starts for ever.
    let mut unit = fresh(false);
    assert_eq!((unit.deadline(), unit.poll(at(1_000.0))), (None, None));
    assert_eq!(unit.reason(at(1_000.0)).as_deref(), Some("waits for port (no monitor watches it)"));

    // Watched, but without a report, with a foreign port, or with an old report: no evidence.
    let mut unit = fresh(true);
    assert_eq!(unit.deadline(), Some(at(60.0)));
    assert_eq!((unit.poll(at(60.0)), unit.deadline()), (None, None));
    let foreign = CheckFact { foreign: true, ..check(false, at(61.0)) };
    unit.observe(at(61.0), Fact::Check(port.clone(), foreign));
    assert_eq!(unit.poll(at(61.0)), None);
    unit.observe(at(70.0), Fact::Check(port.clone(), check(false, at(62.0))));
    assert_eq!(unit.poll(at(70.0)), None);

    // A fresh failure is evidence.
    unit.observe(at(71.0), Fact::Check(port.clone(), check(false, at(71.0))));
    assert_eq!(poll_examined(&mut unit, at(71.0)), Some(Action::Terminate(WhyEnd::NotReady)));
    assert_eq!(unit.take_notes(), [Note::NotReady("port (failing)".into())]);

    // Time without a monitor does not count.
    let mut unit = fresh(true);
    unit.observe(at(50.0), Fact::Watched(port.clone(), false));
    assert_eq!(unit.deadline(), None);
    unit.observe(at(500.0), Fact::Watched(port.clone(), true));
    assert_eq!(unit.deadline(), Some(at(510.0)));
}

#[test]
fn ready_by_notify_log_and_delay_all_must_hold() {
    let log = Ready::Log(regex::Regex::new("up").expect("a pattern"));
    let conditions = vec![Ready::Notify, log, Ready::Delay(Duration::from_secs(5))];
    let mut unit = Unit::new(rules(policy(), conditions), 1);
    up(&mut unit, at(0.0));
    unit.observe(at(1.0), Fact::Notified);
    assert_eq!(unit.deadline(), Some(at(60.0)));
    unit.observe(at(2.0), Fact::Logged);
    assert_eq!((unit.deadline(), unit.poll(at(2.0))), (Some(at(5.0)), None));
    unit.poll(at(5.0));
    assert_eq!(unit.state(at(5.0)), State::Running);
    assert_eq!(unit.take_notes(), [Note::Ready(Duration::from_secs(5))]);
}

#[test]
fn what_only_the_supervisor_hears_needs_no_other_evidence() {
    let mut unit = Unit::new(rules(policy(), vec![Ready::Notify]), 1);
    up(&mut unit, at(0.0));
    assert_eq!(poll_examined(&mut unit, at(60.0)), Some(Action::Terminate(WhyEnd::NotReady)));
}

#[test]
fn a_closed_gate_waits_and_an_open_one_starts() {
    let mut unit = plain(policy());
    unit.observe(at(0.0), Fact::Gate(false));
    unit.request(at(0.0), Request::Start);
    assert_eq!((unit.poll(at(9.0)), unit.state(at(9.0)), unit.deadline()), (None, State::Waiting, None));
    unit.observe(at(10.0), Fact::Gate(true));
    spawn(&mut unit, at(10.0));
    unit.observe(at(11.0), Fact::Gate(false));
    assert_eq!((unit.poll(at(11.0)), unit.state(at(11.0))), (None, State::Running), "running goes on");
}

#[test]
fn a_job_ends_where_policy_says_so() {
    let mut unit = plain(RestartPolicy { policy: Policy::OnFailure, ..policy() });
    up(&mut unit, at(0.0));
    exit(&mut unit, at(1.0), Exit::Code(0));
    assert_eq!((unit.state(at(1.0)), unit.is_completed()), (State::Completed, true));

    let mut unit = plain(RestartPolicy { policy: Policy::Never, ..policy() });
    up(&mut unit, at(0.0));
    exit(&mut unit, at(1.0), Exit::Unknown);
    assert_eq!(unit.reason(at(1.0)).as_deref(), Some("exit unknown"));
    assert_eq!(unit.state(at(1.0)), State::Failed);
}

#[test]
fn what_can_not_be_spawned_backs_off_with_the_reason() {
    let mut unit = plain(policy());
    unit.request(at(0.0), Request::Start);
    for _ in 0..2 {
        let now = unit.deadline().expect("due");
        assert!(matches!(unit.poll(now), Some(Action::Spawn(_))));
        unit.observe(now, Fact::SpawnFailed("no such program".into()));
    }
    let now = at(0.1);
    assert_eq!(unit.state(now), State::Backoff);
    assert_eq!(unit.reason(now).as_deref(), Some("streak 2 of 50: could not start: no such program"));
}

#[test]
fn the_rest_of_the_group_has_as_long_as_its_leader_had() {
    let mut unit = plain(policy());
    up(&mut unit, at(0.0));
    unit.request(at(1.0), Request::Stop);
    unit.poll(at(1.0));
    unit.observe(at(2.0), Fact::Exited(Exit::Code(0)));
    assert_eq!(unit.poll(at(2.0)), Some(Action::Drain));
    assert_eq!((unit.state(at(2.0)), unit.deadline()), (State::Stopping, Some(at(11.0))));
    assert_eq!(unit.poll(at(11.0)), Some(Action::Sweep), "then it is killed");
}

#[test]
fn a_restart_for_memory_is_no_crash_and_goes_by_policy_all_the_same() {
    let mut unit = plain(policy());
    up(&mut unit, at(0.0));
    crash(&mut unit, at(1.0));
    spawn(&mut unit, at(1.0));
    assert_eq!(unit.streak(), 1);
    assert_eq!(unit.request(at(2.0), Request::Unburden), Answer::Accepted);
    assert_eq!(poll_examined(&mut unit, at(2.0)), Some(Action::Terminate(WhyEnd::Memory)));
    end(&mut unit, at(3.0), Exit::Code(0), WhyEnd::Memory);
    spawn(&mut unit, at(3.0));
    assert_eq!((unit.streak(), unit.restarts()), (1, 2), "the streak is as it was");

    unit.observe(at(4.0), Fact::OutOfMemory(Exit::Signal("SIGKILL".into())));
    assert_eq!(unit.poll(at(4.0)), Some(Action::Sweep));
    unit.observe(at(4.0), Fact::Swept);
    spawn(&mut unit, at(4.0));
    assert_eq!((unit.streak(), unit.restarts()), (1, 3), "nor does the kernel's way count");
    unit.request(at(5.0), Request::Unburden);
    unit.request(at(5.0), Request::Stop);
    assert_eq!(unit.poll(at(5.0)), Some(Action::Terminate(WhyEnd::Memory)));
    end(&mut unit, at(6.0), Exit::Code(0), WhyEnd::Memory);
    assert_eq!(unit.state(at(6.0)), State::Stopped, "a person's stop is not forgotten over it");
}
