//! Tests of joining the answers, and of `all_well`.

use std::time::Duration;

use proto::v1::{CheckState, ServiceState, ServiceStatus, Wanted};
use sereno_connect::ConnectError;

use super::testing::{answers, monitor_status, result, running, service, status, view};
use super::{ServiceView, View};

fn joined(status: ServiceStatus) -> ServiceView {
    ServiceView::new(status, &super::Measured(&[]))
}

#[test]
fn a_silent_monitor_is_a_row_in_the_order_of_the_file() {
    let view = view();
    let names: Vec<_> = view.monitors.iter().map(|monitor| monitor.name.as_str()).collect();
    assert_eq!(names, ["health-monitor", "port-monitor"]);
    assert_eq!(
        view.monitors[1].answer.as_ref().err().map(ToString::to_string).as_deref(),
        Some("no answer within 1 s")
    );
    assert_eq!(view.config, "/h/sereno.toml", "the supervisor knows better which file runs");
}

#[test]
fn the_monitors_own_result_wins_over_what_it_reported() {
    let mut answers = answers();
    let mut status = status();
    status.services[0].checks[0].result = Some(result("backend", 5, "health", CheckState::Failing, "503"));
    answers.supervisor = Ok(status);
    let view = View::join(answers);
    assert_eq!(view.services[0].checks[0].state, CheckState::Passing);
    assert_eq!(view.services[0].checks[0].detail.as_deref(), Some("200"));
}

#[test]
fn results_of_another_run_say_nothing() {
    let mut answers = answers();
    let stale = result("backend", 4, "health", CheckState::Passing, "200");
    let mut status = status();
    status.services[0].checks[0].result = Some(stale.clone());
    answers.supervisor = Ok(status);
    answers.monitors[1].answer = Ok(monitor_status("health-monitor", "http", 801, vec![stale]));
    assert_eq!(View::join(answers).services[0].checks[0].state, CheckState::Unknown);
}

#[test]
fn without_a_supervisor_the_monitors_are_still_rows() {
    let mut answers = answers();
    answers.supervisor = Err(ConnectError::Nobody("no socket").into());
    let view = View::join(answers);
    assert_eq!(view.config, "/found/sereno.toml");
    assert_eq!(view.monitors.len(), 2);
    assert_eq!(view.monitors[1].managed, None);
    assert!(!view.all_well());
}

#[test]
fn what_a_person_wanted_is_well_and_nothing_else() {
    for (state, wanted, well) in [
        (ServiceState::Running, Wanted::Up, true),
        (ServiceState::Completed, Wanted::Up, true),
        (ServiceState::Stopped, Wanted::Down, true),
        (ServiceState::Stopped, Wanted::Up, false),
        (ServiceState::Waiting, Wanted::Up, false),
        (ServiceState::Starting, Wanted::Up, false),
        (ServiceState::Backoff, Wanted::Up, false),
        (ServiceState::Stopping, Wanted::Down, false),
        (ServiceState::Failed, Wanted::Up, false),
        (ServiceState::Unspecified, Wanted::Up, false),
    ] {
        let status = ServiceStatus { wanted: wanted.into(), ..service("x", state) };
        assert_eq!(joined(status).is_well(), well, "{state} {wanted}");
    }
    let paused = ServiceStatus { paused: true, ..running("x", 1, Duration::ZERO) };
    assert!(joined(paused).is_well());
    for (job, wanted, well) in
        [(true, Wanted::Up, true), (true, Wanted::Down, false), (false, Wanted::Up, false)]
    {
        let status = ServiceStatus { job, wanted: wanted.into(), ..service("x", ServiceState::Stopping) };
        assert_eq!(joined(status).is_well(), well, "job {job}, stopping while {wanted}");
    }
}

#[test]
fn a_running_service_is_well_only_with_every_check_passing() {
    let mut answers = answers();
    let ok = || result("backend", 5, "port", CheckState::Passing, "own");
    answers.monitors[0].answer = Ok(monitor_status("port-monitor", "tcp", 802, vec![ok()]));
    let view = View::join(answers);
    assert!(view.services[0].is_well());
    assert!(!view.all_well(), "the frontend is in backoff");

    let mut answers = self::answers();
    let foreign = result("backend", 5, "port", CheckState::Failing, "foreign pid 7 python");
    answers.monitors[0].answer = Ok(monitor_status("port-monitor", "tcp", 802, vec![foreign]));
    assert!(!View::join(answers).services[0].is_well());
}

#[test]
fn selectors_are_names_globs_and_tags() {
    let mut status = status();
    status.services[2].tags = vec!["once".into()];
    for (selector, meant) in
        [("backend", &["backend"][..]), ("*end", &["backend", "frontend"]), ("tag:once", &["migrate"])]
    {
        let mut view = View::join(super::Answers { supervisor: Ok(status.clone()), ..answers() });
        view.select(&[selector.into()]).expect(selector);
        let names: Vec<_> = view.services.iter().map(|service| service.name.as_str()).collect();
        assert_eq!(names, meant, "{selector}");
    }
    let error = view().select(&["backend".into(), "bakend".into()]).expect_err("refused");
    assert_eq!(error.to_string(), "no service is meant by \"bakend\"");
}
