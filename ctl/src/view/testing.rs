//! A small example setup for tests: a backend that runs, a frontend that crashes, a job that is done.

use std::time::{Duration, SystemTime};

use proto::time::{stamp, to_wire};
use proto::v1::{
    CheckResult, CheckState, CheckStatus, LastExit, MonitorState, MonitorStatus, ServiceState, ServiceStatus,
    Status, SupervisorStatus, Wanted,
};

use crate::failure::NoAnswer;

use super::{Answers, MonitorAnswer, View};

/// Returns the time 2024-05-01T12:00:00Z.
pub(crate) fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_714_564_800)
}

pub(crate) fn service(name: &str, state: ServiceState) -> ServiceStatus {
    ServiceStatus {
        name: name.into(),
        wanted: Wanted::Up.into(),
        state: state.into(),
        incarnation: 1,
        ..ServiceStatus::default()
    }
}

pub(crate) fn running(name: &str, pid: u32, uptime: Duration) -> ServiceStatus {
    ServiceStatus { pid, uptime: Some(to_wire(uptime)), ..service(name, ServiceState::Running) }
}

pub(crate) fn result(
    service: &str,
    incarnation: u64,
    check: &str,
    state: CheckState,
    detail: &str,
) -> CheckResult {
    CheckResult {
        service: service.into(),
        incarnation,
        check: check.into(),
        state: state.into(),
        failures: u32::from(state == CheckState::Failing),
        latency: Some(to_wire(Duration::from_micros(200))),
        age: Some(to_wire(Duration::from_secs(3))),
        detail: detail.into(),
        ..CheckResult::default()
    }
}

pub(crate) fn check(id: &str, monitor: &str, kind: &str, target: &str) -> CheckStatus {
    CheckStatus {
        check: id.into(),
        monitor: monitor.into(),
        kind: kind.into(),
        target: target.into(),
        result: None,
        failures: 3,
        window: 0,
    }
}

pub(crate) fn status() -> Status {
    let mut backend = running("backend", 812, Duration::from_secs(7440));
    backend.incarnation = 5;
    backend.restarts = 4;
    backend.checks = vec![
        check("health", "health-monitor", "http", "http://127.0.0.1:8000/health"),
        check("port", "port-monitor", "tcp", "127.0.0.1:8000"),
    ];
    let mut frontend = service("frontend", ServiceState::Backoff);
    frontend.incarnation = 9;
    frontend.restarts = 8;
    frontend.streak = 4;
    frontend.reason = "streak 4 of 50: exit 1".into();
    frontend.next_start = Some(to_wire(Duration::from_millis(3200)));
    frontend.last_exit = Some(LastExit {
        code: Some(1),
        signal: String::new(),
        at: Some(stamp(noon() - Duration::from_millis(1500))),
    });
    frontend.checks = vec![check("port", "port-monitor", "tcp", "127.0.0.1:5189")];
    let monitor = |name: &str, kind: &str, pid| MonitorState {
        name: name.into(),
        kind: kind.into(),
        endpoint: format!("unix:///h/run/{name}.sock"),
        managed: true,
        attached: true,
        process: Some(running(name, pid, Duration::from_secs(7441))),
        ..MonitorState::default()
    };
    Status {
        generation: 7,
        supervisor: Some(SupervisorStatus {
            version: "0.1.0".into(),
            pid: 800,
            uptime: Some(to_wire(Duration::from_secs(7442))),
            config: "/h/sereno.toml".into(),
            ..SupervisorStatus::default()
        }),
        monitors: vec![monitor("health-monitor", "http", 801), monitor("port-monitor", "tcp", 802)],
        services: vec![backend, frontend, service("migrate", ServiceState::Completed)],
        ..Status::default()
    }
}

pub(crate) fn monitor_status(name: &str, kind: &str, pid: u32, results: Vec<CheckResult>) -> MonitorStatus {
    MonitorStatus {
        monitor: name.into(),
        kind: kind.into(),
        version: "0.1.0".into(),
        pid,
        uptime_seconds: 7441.0,
        attached: true,
        results,
        ..MonitorStatus::default()
    }
}

/// Answers in which the port-monitor does not respond.
pub(crate) fn answers() -> Answers {
    let passing = result("backend", 5, "health", CheckState::Passing, "200");
    let asked = |name: &str, answer| MonitorAnswer {
        name: name.into(),
        endpoint: format!("unix:///h/run/{name}.sock"),
        answer,
    };
    Answers {
        now: noon(),
        endpoint: "unix:///h/run/supervisor.sock".into(),
        config: "/found/sereno.toml".into(),
        supervisor: Ok(status()),
        monitors: vec![
            asked("port-monitor", Err(NoAnswer::Silent(Duration::from_secs(1)))),
            asked("health-monitor", Ok(monitor_status("health-monitor", "http", 801, vec![passing]))),
        ],
    }
}

pub(crate) fn view() -> View {
    View::join(answers())
}
