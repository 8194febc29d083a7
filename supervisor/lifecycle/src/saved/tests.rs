//! Tests of units that are written down and read back.

use super::super::unit::testing::{at, plain, policy, rules};
use super::super::{Action, Fact, Request, State};
use super::*;

fn back(unit: &Unit, runs: bool, now: BootInstant) -> Unit {
    let text = serde_json::to_string(&unit.save()).expect("it can be written");
    let saved = serde_json::from_str(&text).expect("it can be read");
    Unit::restore(unit.rules.clone(), &saved, runs, now, 7)
}

#[test]
fn a_running_service_goes_on_and_a_dead_one_is_swept_and_started_again() {
    let mut unit = plain(policy());
    unit.request(at(1.0), Request::Start);
    unit.poll(at(1.0));
    unit.observe(at(1.0), Fact::Spawned);
    unit.poll(at(1.0));

    let mut same = back(&unit, true, at(9.0));
    assert_eq!((same.state(at(9.0)), same.poll(at(9.0))), (State::Running, None));
    assert_eq!(same.uptime(at(9.0)), Some(Duration::from_secs(8)));
    assert_eq!(same.incarnation(), 1);

    let mut dead = back(&unit, false, at(9.0));
    assert_eq!(dead.poll(at(9.0)), Some(Action::Sweep));
    dead.observe(at(9.0), Fact::Swept);
    assert_eq!(dead.poll(at(9.0)), Some(Action::Spawn(2)));
}

#[test]
fn a_backoff_and_a_stop_under_way_are_not_forgotten() {
    let mut unit = plain(policy());
    unit.request(at(1.0), Request::Start);
    for now in [at(1.0), at(2.0)] {
        unit.poll(now);
        unit.observe(now, Fact::Spawned);
        unit.observe(now, Fact::Exited(Exit::Code(1)));
        unit.poll(now);
        unit.observe(now, Fact::Swept);
    }
    let same = back(&unit, false, at(2.1));
    assert_eq!((same.state(at(2.1)), same.deadline()), (State::Backoff, Some(at(2.5))));

    let mut unit = plain(policy());
    unit.request(at(1.0), Request::Start);
    unit.poll(at(1.0));
    unit.observe(at(1.0), Fact::Spawned);
    unit.request(at(2.0), Request::Stop);
    unit.poll(at(2.0));
    let mut same = back(&unit, true, at(3.0));
    assert_eq!(same.poll(at(3.0)), Some(Action::Terminate(WhyEnd::Stop)));
}

#[test]
fn a_process_nobody_wrote_down_is_adopted_or_ended_as_wanted() {
    let mut unit = plain(policy());
    let mut stray = back(&unit, true, at(1.0));
    assert_eq!(stray.poll(at(1.0)), Some(Action::Terminate(WhyEnd::Stop)));

    unit.request(at(1.0), Request::Start);
    let mut early = back(&unit, true, at(1.0));
    assert_eq!((early.poll(at(1.0)), early.is_started()), (None, true));
}

#[test]
fn every_end_is_read_back_from_its_word() {
    for (end, word) in SavedEnd::WORDS {
        assert_eq!((end.word(), SavedEnd::of_word(word)), (word, Some(end)));
    }
    assert_eq!(SavedEnd::of_word("unheard of"), None);
}

#[test]
fn a_boot_starts_what_is_wanted_and_leaves_jobs_to_their_times() {
    let rules = |is_job| Rules { is_job, ..plain(policy()).rules };
    let saved = |wanted, phase| Saved { wanted, phase, ..plain(policy()).save() };
    let state = |is_job, wanted, phase| {
        Unit::after_boot(rules(is_job), &saved(wanted, phase), at(0.5), 1).state(at(0.5))
    };
    let alive = || SavedPhase::Alive { since: Duration::ZERO, ready_at: None, stable: false };
    let failed = || SavedPhase::Failed { reason: "it".into() };
    for phase in [alive(), failed(), SavedPhase::Completed, SavedPhase::Stopped] {
        assert_eq!(state(false, false, phase.clone()), State::Stopped);
        assert_eq!(state(true, false, phase), State::Stopped);
    }
    assert_eq!(state(false, true, failed()), State::Failed, "a person has to look at it");
    for phase in [alive(), SavedPhase::Completed, SavedPhase::Stopped] {
        let mut unit = Unit::after_boot(rules(false), &saved(true, phase), at(0.5), 1);
        assert!(matches!(unit.poll(at(0.5)), Some(Action::Spawn(_))));
    }
    assert_eq!(state(true, true, alive()), State::Failed, "its run did not finish");
    for phase in [SavedPhase::Completed, SavedPhase::Stopped] {
        let mut unit = Unit::after_boot(rules(true), &saved(true, phase), at(0.5), 1);
        assert_eq!((unit.poll(at(0.5)), unit.is_wanted()), (None, true), "it waits for its time");
    }
}

#[test]
fn a_job_that_was_armed_is_armed_again_and_no_other_service() {
    let saved = |wanted| Saved { wanted, ..plain(policy()).save() };
    let armed = |is_job, wanted| {
        let rules = Rules { is_job, ..plain(policy()).rules };
        Unit::restore(rules, &saved(wanted), false, at(1.0), 7).is_armed()
    };
    let all = [(true, true), (true, false), (false, true), (false, false)];
    assert_eq!(all.map(|(is_job, wanted)| armed(is_job, wanted)), [true, false, false, false]);
}

#[test]
fn an_adopted_run_whose_word_only_the_last_supervisor_heard_counts_as_ready() {
    let run = |ready: Ready, at_: Option<BootInstant>| {
        let mut unit = Unit::new(rules(policy(), vec![ready]), 7);
        unit.request(at(1.0), Request::Start);
        let mut unit = back(&unit, true, at(2.0));
        unit.was_ready(at_);
        unit.state(at(3.0))
    };
    let check = || Ready::Check("web".parse().expect("a name"));
    assert_eq!(run(Ready::Notify, None), State::Running, "its message is lost");
    assert_eq!(run(check(), None), State::Starting, "the check is made again");
    assert_eq!(run(check(), Some(at(1.5))), State::Running, "it was written down");
}

#[test]
fn after_a_boot_only_what_was_wanted_is_started() {
    let mut unit = plain(policy());
    let now = at(0.5);
    assert_eq!(Unit::after_boot(unit.rules.clone(), &unit.save(), now, 1).state(now), State::Stopped);
    unit.request(at(900.0), Request::Start);
    unit.poll(at(900.0));
    unit.observe(at(900.0), Fact::Spawned);
    let mut again = Unit::after_boot(unit.rules.clone(), &unit.save(), now, 1);
    assert_eq!(again.poll(now), Some(Action::Spawn(2)));
}

#[test]
fn a_start_that_has_not_begun_is_begun_by_the_next_supervisor_under_the_same_number() {
    let mut unit = Unit::new(rules(policy(), vec![Ready::Started]), 7);
    unit.request(at(1.0), Request::Start);
    assert_eq!(unit.poll(at(1.0)), Some(Action::Spawn(1)));
    let mut unit = back(&unit, false, at(2.0));
    assert_eq!(unit.poll(at(2.0)), Some(Action::Spawn(1)));
    unit.observe(at(2.0), Fact::Spawned);
    assert_eq!(unit.restarts(), 0);
}
