//! The JSON of `status`: names, order and `null`s are part of the contract; new fields are appended.

use std::time::{Duration, SystemTime};

use proto::v1::{CheckState, ServiceState};
use serde::Serialize;

use super::explain::trouble;
use super::time::rfc3339;
use crate::view::{Availability, CheckView, DaemonView, Exit, Held, MonitorView, ServiceView, View};

const UP: &str = "up";
const UNREACHABLE: &str = "unreachable";

#[derive(Serialize)]
pub(crate) struct StatusJson<'a> {
    supervisor: SupervisorJson<'a>,
    monitors: Vec<MonitorJson<'a>>,
    services: Vec<ServiceJson<'a>>,
    config_newer: Option<bool>,
    brake: Option<&'a str>,
    daemons: Vec<DaemonJson<'a>>,
}

#[derive(Serialize)]
pub(crate) struct SupervisorJson<'a> {
    state: &'static str,
    version: Option<&'a str>,
    pid: Option<u32>,
    uptime_seconds: Option<f64>,
    endpoint: &'a str,
    config: &'a str,
    error: Option<String>,
    shutting_down: Option<bool>,
    /// Why no process would restart it if it died.
    unguarded: Option<&'a str>,
    /// Notice about an event of the supervisor, until the next `up` or `apply`.
    notice: Option<&'a str>,
    /// Endpoints that can not be bound, each with the reason.
    unbound: Option<&'a [String]>,
}

#[derive(Serialize)]
pub(crate) struct MonitorJson<'a> {
    name: &'a str,
    kind: Option<&'a str>,
    state: &'static str,
    attached: bool,
    pid: Option<u32>,
    uptime_seconds: Option<f64>,
    targets: Option<usize>,
    failing: Option<usize>,
    endpoint: &'a str,
    error: Option<String>,
    managed: Option<bool>,
    blind: bool,
    last_error: Option<&'a str>,
    blind_reason: Option<&'a str>,
    version: Option<&'a str>,
    process: Option<ServiceJson<'a>>,
}

/// A built-in daemon other than the monitors: the guard.
#[derive(Serialize)]
pub(crate) struct DaemonJson<'a> {
    name: &'a str,
    /// Kind of the daemon: `guard`.
    kind: &'a str,
    /// `up`, or else the state of its process: `starting`, `backoff`, `stopped`, …
    state: &'static str,
    pid: Option<u32>,
    uptime_seconds: Option<f64>,
    /// Whether this supervisor runs it; always true at present.
    managed: bool,
    process: ServiceJson<'a>,
}

#[derive(Serialize)]
pub(crate) struct ServiceJson<'a> {
    name: &'a str,
    wanted: &'static str,
    state: &'static str,
    reason: Option<&'a str>,
    pid: Option<u32>,
    incarnation: u64,
    restarts: u64,
    streak: u32,
    uptime_seconds: Option<f64>,
    cpu_percent: Option<f64>,
    memory_bytes: Option<u64>,
    last_exit: Option<ExitJson<'a>>,
    next_start_seconds: Option<f64>,
    tags: &'a [String],
    checks: Vec<CheckJson<'a>>,
    paused: bool,
    held: Option<HeldJson<'a>>,
    kill_seconds: Option<f64>,
    next_run: Option<String>,
    log: LogJson,
    pause_seconds: Option<f64>,
    status_text: Option<&'a str>,
    incident: Option<u64>,
    availability: Vec<AvailabilityJson>,
}

#[derive(Serialize)]
struct ExitJson<'a> {
    code: Option<i32>,
    signal: Option<&'a str>,
    at: Option<String>,
}

#[derive(Serialize)]
struct AvailabilityJson {
    window_seconds: f64,
    ratio: f64,
    incidents: u32,
    longest_seconds: f64,
}

#[derive(Serialize)]
struct HeldJson<'a> {
    answer: &'static str,
    until: Option<String>,
    message: &'a str,
}

#[derive(Serialize)]
struct LogJson {
    dropped_bytes: u64,
}

#[derive(Serialize)]
struct CheckJson<'a> {
    monitor: &'a str,
    kind: &'a str,
    target: &'a str,
    state: &'static str,
    failures: u32,
    latency_ms: Option<f64>,
    detail: Option<&'a str>,
    checked_seconds_ago: Option<f64>,
    id: &'a str,
    message: Option<&'static str>,
    /// How many failures make it fail: until then it is `passing`.
    threshold: Option<u32>,
    /// In how many of its last results they are counted; `null`: in a row.
    window: Option<u32>,
}

/// Renders the whole view.
pub(crate) fn status(view: &View) -> StatusJson<'_> {
    let up = view.supervisor.as_ref().ok();
    StatusJson {
        supervisor: supervisor(view),
        monitors: view.monitors.iter().map(|one| monitor(one, view.now)).collect(),
        services: view.services.iter().map(|one| service(one, view.now)).collect(),
        config_newer: up.map(|up| up.config_newer),
        brake: up.and_then(|up| up.brake.as_deref()),
        daemons: view.daemons.iter().map(|one| daemon(one, view.now)).collect(),
    }
}

pub(crate) fn supervisor(view: &View) -> SupervisorJson<'_> {
    let up = view.supervisor.as_ref().ok();
    SupervisorJson {
        state: if up.is_some() { UP } else { UNREACHABLE },
        version: up.map(|up| up.version.as_str()),
        pid: up.map(|up| up.pid),
        uptime_seconds: up.map(|up| seconds(up.uptime)),
        endpoint: &view.endpoint,
        config: &view.config,
        error: view.supervisor.as_ref().err().map(ToString::to_string),
        shutting_down: up.map(|up| up.shutting_down),
        unguarded: up.and_then(|up| up.unguarded.as_deref()),
        notice: up.and_then(|up| up.notice.as_deref()),
        unbound: up.map(|up| up.unbound.as_slice()),
    }
}

pub(crate) fn monitor(view: &MonitorView, now: SystemTime) -> MonitorJson<'_> {
    let up = view.answer.as_ref().ok();
    MonitorJson {
        name: &view.name,
        kind: view.kind.as_deref(),
        state: if up.is_some() { UP } else { UNREACHABLE },
        attached: view.attached,
        pid: up.map(|up| up.pid),
        uptime_seconds: up.map(|up| seconds(up.uptime)),
        targets: up.map(|up| up.targets),
        failing: up.map(|up| up.failing),
        endpoint: &view.endpoint,
        error: view.answer.as_ref().err().map(ToString::to_string),
        managed: view.managed,
        blind: view.blind.is_some(),
        last_error: up.and_then(|up| up.last_error.as_deref()),
        blind_reason: view.blind.as_deref(),
        version: up.map(|up| up.version.as_str()),
        process: view.process.as_ref().map(|process| service(process, now)),
    }
}

/// Renders a daemon other than a monitor.
pub(crate) fn daemon(view: &DaemonView, now: SystemTime) -> DaemonJson<'_> {
    let process = &view.process;
    DaemonJson {
        name: &view.name,
        kind: &view.kind,
        state: if process.state == ServiceState::Running { UP } else { process.state.word() },
        pid: process.pid,
        uptime_seconds: process.uptime.map(seconds),
        managed: true,
        process: service(process, now),
    }
}

pub(crate) fn service(view: &ServiceView, now: SystemTime) -> ServiceJson<'_> {
    ServiceJson {
        name: &view.name,
        wanted: view.wanted.word(),
        state: view.state.word(),
        reason: view.reason.as_deref(),
        pid: view.pid,
        incarnation: view.incarnation,
        restarts: view.restarts,
        streak: view.streak,
        uptime_seconds: view.uptime.map(seconds),
        cpu_percent: view.cpu_percent.filter(|percent| percent.is_finite()).map(rounded),
        memory_bytes: view.memory_bytes,
        last_exit: view.last_exit.as_ref().map(exit),
        next_start_seconds: view.next_start.map(seconds),
        tags: &view.tags,
        checks: view.checks.iter().map(check).collect(),
        paused: view.paused,
        held: view.held.as_ref().map(|waiting| held(waiting, now)),
        kill_seconds: view.kill.map(seconds),
        next_run: view.next_run.and_then(rfc3339),
        log: LogJson { dropped_bytes: view.dropped },
        pause_seconds: view.pause_left.map(seconds),
        status_text: view.status_text.as_deref(),
        incident: view.incident,
        availability: view.availability.iter().map(availability).collect(),
    }
}

fn availability(of: &Availability) -> AvailabilityJson {
    AvailabilityJson {
        window_seconds: seconds(of.window),
        ratio: of.ratio,
        incidents: of.incidents,
        longest_seconds: seconds(of.longest),
    }
}

fn exit(exit: &Exit) -> ExitJson<'_> {
    ExitJson { code: exit.code, signal: exit.signal.as_deref(), at: exit.at.and_then(rfc3339) }
}

fn held(held: &Held, now: SystemTime) -> HeldJson<'_> {
    let until = held.retry_after.and_then(|left| now.checked_add(left));
    HeldJson { answer: held.answer.word(), until: until.and_then(rfc3339), message: &held.message }
}

fn check(view: &CheckView) -> CheckJson<'_> {
    CheckJson {
        monitor: &view.monitor,
        kind: &view.kind,
        target: &view.target,
        state: match view.state {
            CheckState::Passing => "passing",
            CheckState::Failing => "failing",
            CheckState::Unknown | CheckState::Unspecified => "unknown",
        },
        failures: view.failures,
        latency_ms: view.latency.map(|latency| rounded(latency.as_secs_f64() * 1000.0)),
        detail: view.detail.as_deref(),
        checked_seconds_ago: view.age.map(seconds),
        id: &view.id,
        message: trouble(view),
        threshold: (view.threshold > 0).then_some(view.threshold),
        window: (view.window > 0).then_some(view.window),
    }
}

fn seconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64())
}

/// Rounds to three decimals: further digits are noise.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::testing::{answers, view};

    fn text(view: &View) -> String {
        let mut text = serde_json::to_string_pretty(&status(view)).expect("JSON");
        text.push('\n');
        text
    }

    #[test]
    fn is_as_the_contract_shows_it() {
        assert_eq!(text(&view()), include_str!("../../tests/golden/status.json"));
    }

    #[test]
    fn without_a_supervisor_absent_things_are_null() {
        let mut answers = answers();
        answers.supervisor = Err(sereno_connect::ConnectError::Nobody("no socket").into());
        answers.monitors.clear();
        assert_eq!(text(&View::join(answers)), include_str!("../../tests/golden/unreachable.json"));
    }
}
