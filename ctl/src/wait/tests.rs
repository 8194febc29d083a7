//! Tests of waiting, as sequences of states.

use std::time::Duration;

use proto::time::to_wire;
use proto::v1::{Effect, LastExit, Outcome, ServiceState, ServiceStatus, Status, Step, Wanted};

use super::{Goal, Verdict, Waiting};
use crate::view::testing::{running, service};

fn taken(service: &str, incarnation: u64) -> Outcome {
    Outcome { service: service.into(), ok: true, message: String::new(), incarnation }
}

fn now(services: &[ServiceStatus]) -> Status {
    Status { services: services.to_vec(), ..Status::default() }
}

fn run(incarnation: u64, uptime: u64) -> ServiceStatus {
    ServiceStatus { incarnation, ..running("web", 812, Duration::from_millis(uptime)) }
}

fn state(state: ServiceState, incarnation: u64, reason: &str) -> ServiceStatus {
    ServiceStatus { incarnation, reason: reason.into(), ..service("web", state) }
}

fn wanted_down(status: ServiceStatus) -> ServiceStatus {
    ServiceStatus { wanted: Wanted::Down.into(), ..status }
}

/// Returns the verdict on `web` after a sequence of states; only the last state settles it.
fn story(mut waiting: Waiting, states: &[ServiceStatus]) -> Verdict {
    let (last, before) = states.split_last().expect("a story has an end");
    for state in before {
        assert_eq!(waiting.look(&now(std::slice::from_ref(state))), [], "settled too early");
    }
    let mut verdicts = waiting.look(&now(std::slice::from_ref(last)));
    assert!(waiting.is_over(), "not settled by {last:?}");
    verdicts.pop().expect("one verdict")
}

fn one(goal: Goal, before: u64) -> Waiting {
    Waiting::new(goal, &[taken("web", before)])
}

#[test]
fn a_start_is_done_when_it_is_ready() {
    let verdict = story(
        one(Goal::Up, 4),
        &[
            wanted_down(state(ServiceState::Stopped, 4, "")),
            state(ServiceState::Starting, 5, "waits for port"),
            run(5, 540),
        ],
    );
    assert!(verdict.ok);
    assert_eq!(verdict.text, "pid 812 (incarnation 5), ready after 0.5 s");
}

#[test]
fn one_that_runs_already_is_not_said_to_have_become_ready() {
    let verdict = story(one(Goal::Up, 5), &[run(5, 7_440_000)]);
    assert!(verdict.ok);
    assert_eq!(verdict.text, "pid 812 (incarnation 5), up 2h 4m");
}

#[test]
fn a_failed_run_ends_the_wait_but_only_of_the_new_run() {
    let mut failed = state(ServiceState::Backoff, 5, "exit 1");
    failed.next_start = Some(to_wire(Duration::from_millis(500)));
    let verdict = story(one(Goal::Up, 4), &[state(ServiceState::Backoff, 4, "exit 1"), failed]);
    assert!(!verdict.ok);
    assert_eq!(
        (verdict.state, verdict.text.as_str()),
        (ServiceState::Backoff, "exit 1; next start in 0.5 s")
    );
}

#[test]
fn a_restart_wants_a_newer_run() {
    let verdict = story(
        one(Goal::Renewed, 5),
        &[
            run(5, 9000),
            state(ServiceState::Stopping, 5, ""),
            state(ServiceState::Starting, 6, ""),
            run(6, 100),
        ],
    );
    assert!(verdict.ok);
    assert_eq!(verdict.text, "pid 812 (incarnation 6), ready after 0.1 s");
}

#[test]
fn a_stop_is_done_when_nothing_is_left() {
    let mut stopped = wanted_down(state(ServiceState::Stopped, 5, ""));
    stopped.last_exit = Some(LastExit { code: None, signal: "SIGTERM".into(), at: None });
    let verdict = story(
        one(Goal::Down, 5),
        &[run(5, 9000), wanted_down(state(ServiceState::Stopping, 5, "")), stopped],
    );
    assert!(verdict.ok);
    assert_eq!((verdict.state, verdict.text.as_str()), (ServiceState::Stopped, "SIGTERM"));
}

#[test]
fn a_job_that_is_done_is_as_asked() {
    let mut done = state(ServiceState::Completed, 2, "");
    done.last_exit = Some(LastExit { code: Some(0), signal: String::new(), at: None });
    let verdict = story(one(Goal::Up, 1), &[state(ServiceState::Starting, 2, ""), done]);
    assert!(verdict.ok);
    assert_eq!(verdict.text, "exit 0");
}

#[test]
fn somebody_else_may_stop_it_meanwhile() {
    let stopped = || wanted_down(state(ServiceState::Stopped, 4, ""));
    // Before the service was seen wanted up, `stopped` is an old state.
    let verdict =
        story(one(Goal::Up, 4), &[stopped(), state(ServiceState::Waiting, 4, "waits for db"), stopped()]);
    assert!(!verdict.ok);
    assert_eq!(verdict.text, "somebody else stopped it");
}

#[test]
fn waiting_for_what_will_not_come_is_hopeless_at_any_depth() {
    let named =
        |name: &str, state, reason: &str| ServiceStatus { reason: reason.into(), ..service(name, state) };
    let status = now(&[
        named("db", ServiceState::Failed, "51 failed runs"),
        named("db-2", ServiceState::Starting, ""),
        named("api", ServiceState::Waiting, "waits for db to be ready, but it failed"),
        named("web", ServiceState::Waiting, "waits for api to be ready"),
        named("other", ServiceState::Waiting, "waits for db-2"),
        wanted_down(named("cache", ServiceState::Stopped, "")),
        named("shop", ServiceState::Waiting, "waits for cache to be ready, but it is stopped"),
    ]);
    let mut waiting = Waiting::all_wanted(&status, None, &[]);
    let mut settled: Vec<_> =
        waiting.look(&status).into_iter().map(|verdict| (verdict.service, verdict.ok)).collect();
    settled.sort();
    let settled: Vec<_> = settled.iter().map(|(name, ok)| (name.as_str(), *ok)).collect();
    assert_eq!(settled, [("api", false), ("db", false), ("shop", false), ("web", false)]);
    assert!(!waiting.is_over(), "others still may come up");
}

#[test]
fn who_waits_for_all_to_be_ready_sits_out_a_crash() {
    let status = now(&[state(ServiceState::Starting, 1, "")]);
    let verdict = story(
        Waiting::all_wanted(&status, None, &[]),
        &[state(ServiceState::Backoff, 1, "exit 1"), state(ServiceState::Starting, 2, ""), run(2, 200)],
    );
    assert!(verdict.ok);
}

#[test]
fn what_applying_restarts_must_be_newer() {
    let before = now(&[run(5, 9000)]);
    let step = Step { service: "web".into(), effect: Effect::Restart.into(), changes: Vec::new() };
    let verdict = story(Waiting::all_wanted(&before, Some(&before), &[step]), &[run(5, 9000), run(6, 200)]);
    assert_eq!(verdict.incarnation, 6);
    let untouched = story(Waiting::all_wanted(&before, Some(&before), &[]), &[run(5, 9000)]);
    assert_eq!(untouched.incarnation, 5);
}

#[test]
fn refused_ones_are_not_waited_for_and_the_rest_is_told_when_time_is_up() {
    let refused = Outcome { ok: false, ..taken("db", 1) };
    let mut waiting = Waiting::new(Goal::Up, &[refused, taken("web", 4)]);
    let status = now(&[state(ServiceState::Waiting, 4, "waits for db to be ready, but it failed")]);
    assert_eq!(waiting.look(&status), []);
    let rest = waiting.give_up(Some(&status));
    assert_eq!(rest.len(), 1);
    assert!(!rest[0].ok);
    assert_eq!(rest[0].text, "time is up: waits for db to be ready, but it failed");
}

#[test]
fn one_that_the_file_no_longer_names_is_gone() {
    let mut waiting = one(Goal::Up, 1);
    let verdicts = waiting.look(&now(&[]));
    assert_eq!((verdicts[0].ok, verdicts[0].text.as_str()), (false, "it is no longer configured"));
    let mut waiting = one(Goal::Down, 1);
    assert!(waiting.look(&now(&[]))[0].ok);
}
