//! Converts domain types to wire types.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proto::time::{stamp, to_wire};
use proto::v1;

use super::usage::Sample;
use crate::journal::Event;
use crate::lifecycle::arbiter::Decision;
use crate::lifecycle::{Exit, State};
use crate::manager::command::{Effect, Outcome, Step};
use crate::service::reports::Report;
use crate::snapshot::{CheckView, MonitorView, ServiceView, View};
use sereno_config::GUARD;

/// Converts a view, with what was measured of each service.
pub(super) fn status(
    view: View,
    unbound: &BTreeMap<String, String>,
    usage: &dyn Fn(&str) -> Option<Sample>,
) -> v1::Status {
    v1::Status {
        generation: view.generation,
        supervisor: Some(v1::SupervisorStatus {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime: Some(to_wire(view.uptime)),
            instance: view.instance,
            config: view.about.source.display().to_string(),
            config_newer: view.about.is_older_than_its_source(),
            shutting_down: view.going,
            brake: view.brake.unwrap_or_default(),
            unguarded: view.unguarded.unwrap_or_default().into(),
            notice: view.notice.unwrap_or_default(),
            unbound: unbound.iter().map(|(endpoint, why)| format!("{endpoint}: {why}")).collect(),
        }),
        monitors: view.monitors.into_iter().map(|monitor| self::monitor(monitor, usage)).collect(),
        daemons: view.guard.into_iter().map(|guard| daemon(guard, usage)).collect(),
        services: view.services.into_iter().map(|service| self::service(service, usage)).collect(),
    }
}

fn daemon(process: ServiceView, usage: &dyn Fn(&str) -> Option<Sample>) -> v1::DaemonState {
    let kind = GUARD.into();
    v1::DaemonState { name: process.name.to_string(), kind, process: Some(service(process, usage)) }
}

fn monitor(monitor: MonitorView, usage: &dyn Fn(&str) -> Option<Sample>) -> v1::MonitorState {
    v1::MonitorState {
        name: monitor.name.to_string(),
        kind: monitor.kind,
        endpoint: monitor.endpoint,
        managed: monitor.managed,
        program: monitor.program,
        attached: monitor.attached,
        blind: monitor.blind.is_some(),
        blind_reason: monitor.blind.unwrap_or_default(),
        process: monitor.process.map(|process| service(process, usage)),
    }
}

fn service(service: ServiceView, usage: &dyn Fn(&str) -> Option<Sample>) -> v1::ServiceStatus {
    let state = match service.state {
        State::Stopped => v1::ServiceState::Stopped,
        State::Waiting => v1::ServiceState::Waiting,
        State::Starting => v1::ServiceState::Starting,
        State::Running => v1::ServiceState::Running,
        State::Backoff => v1::ServiceState::Backoff,
        State::Stopping => v1::ServiceState::Stopping,
        State::Completed => v1::ServiceState::Completed,
        State::Failed => v1::ServiceState::Failed,
    };
    let wanted = if service.wanted { v1::Wanted::Up } else { v1::Wanted::Down };
    v1::ServiceStatus {
        usage: usage(service.name.as_str())
            .map(|sample| v1::Usage { cpu_percent: sample.cpu_percent, memory_bytes: sample.memory_bytes }),
        name: service.name.to_string(),
        wanted: wanted.into(),
        state: state.into(),
        reason: short(service.reason.unwrap_or_default()),
        pid: service.pid,
        incarnation: service.incarnation,
        restarts: service.restarts,
        streak: service.streak,
        uptime: service.uptime.map(to_wire),
        next_start: service.next_start.map(to_wire),
        next_run: service.next_run.map(stamp),
        next_run_left: service
            .next_run
            .map(|at| to_wire(at.duration_since(SystemTime::now()).unwrap_or_default())),
        job: service.job,
        frozen: service.frozen,
        kill: service.kill_in.map(to_wire),
        last_exit: service.last_exit.map(|(exit, at)| last_exit(exit, at)),
        tags: service.tags,
        paused: service.paused.is_some(),
        pause_left: service.paused.flatten().map(to_wire),
        held: service.held.map(|(decision, message, until)| v1::Held {
            answer: self::decision(decision).into(),
            message: short(message),
            retry_after: until.map(to_wire),
        }),
        dropped_log_bytes: service.dropped,
        reload: service.reload.as_ref().map(|reload| v1::Reloading {
            incarnation: reload.incarnation,
            failed: reload.failed.clone().unwrap_or_default(),
        }),
        checks: service
            .checks
            .into_iter()
            .map(|check| self::check(check, &service.name, service.incarnation))
            .collect(),
        status_text: short(service.status_text),
        availability: service.availability.map(super::incidents::availability).into(),
        incident: service.incident.unwrap_or(0),
    }
}

fn last_exit(exit: Exit, at: Option<SystemTime>) -> v1::LastExit {
    let (code, signal) = match exit {
        Exit::Code(code) => (Some(code), String::new()),
        Exit::Signal(signal) => (None, signal),
        Exit::Unknown | Exit::NotSpawned(_) => (None, String::new()),
    };
    v1::LastExit { code, signal, at: at.map(stamp) }
}

fn check(check: CheckView, service: &proto::Name, incarnation: u64) -> v1::CheckStatus {
    let result =
        check.report.map(|(report, age)| result(report, age, service, check.id.as_str(), incarnation));
    v1::CheckStatus {
        check: check.id.to_string(),
        monitor: check.monitor,
        kind: check.kind,
        target: short(check.target),
        result,
        failures: check.failures,
        window: check.window,
    }
}

/// Returns the state of a check that passes, fails, or is not known.
pub(super) fn check_state(passing: Option<bool>) -> v1::CheckState {
    match passing {
        Some(true) => v1::CheckState::Passing,
        Some(false) => v1::CheckState::Failing,
        None => v1::CheckState::Unknown,
    }
}

fn result(
    report: Report,
    age: Duration,
    service: &proto::Name,
    check: &str,
    incarnation: u64,
) -> v1::CheckResult {
    v1::CheckResult {
        service: service.to_string(),
        incarnation,
        check: check.into(),
        state: check_state(report.passing).into(),
        failures: report.failures,
        latency: report.latency.map(to_wire),
        age: Some(to_wire(age)),
        detail: report.detail,
        foreign: report.foreign,
        stalled: report.stalled,
        every: Some(to_wire(report.every)),
        ..v1::CheckResult::default()
    }
}

/// Converts the outcomes of a command.
pub(super) fn outcomes(outcomes: Vec<Outcome>) -> Vec<v1::Outcome> {
    outcomes.into_iter().map(outcome).collect()
}

/// Converts an outcome.
pub(super) fn outcome(outcome: Outcome) -> v1::Outcome {
    let Outcome { service, ok, message, incarnation } = outcome;
    v1::Outcome { service, ok, message: short(message), incarnation }
}

/// Converts the steps of a plan.
pub(super) fn steps(steps: impl Iterator<Item = Step>) -> Vec<v1::Step> {
    let convert = |step: Step| v1::Step {
        service: step.service.to_string(),
        effect: effect(step.effect).into(),
        changes: step.changes,
    };
    steps.map(convert).collect()
}

fn effect(effect: Effect) -> v1::Effect {
    match effect {
        Effect::None => v1::Effect::None,
        Effect::Live => v1::Effect::Live,
        Effect::Restart => v1::Effect::Restart,
        Effect::Start => v1::Effect::Start,
        Effect::Stop => v1::Effect::Stop,
    }
}

/// Converts the answer to a request for a restart.
pub(super) fn decision(decision: Decision) -> v1::Decision {
    match decision {
        Decision::Accepted => v1::Decision::Accepted,
        Decision::Merged => v1::Decision::Merged,
        Decision::Stale => v1::Decision::Stale,
        Decision::InGrace => v1::Decision::InGrace,
        Decision::NotWanted => v1::Decision::NotWanted,
        Decision::Paused => v1::Decision::Paused,
        Decision::HeldDependency => v1::Decision::HeldDependency,
        Decision::HeldBudget => v1::Decision::HeldBudget,
        Decision::HeldBrake => v1::Decision::HeldBrake,
        Decision::UnknownService => v1::Decision::UnknownService,
        Decision::ReportOnly => v1::Decision::ReportOnly,
        Decision::NoEvidence => v1::Decision::NoEvidence,
    }
}

/// Shortens a text for people, so that an answer can hold thousands of them.
fn short(text: String) -> String {
    const LONGEST: usize = 1_024;
    proto::bounds::cut(text, LONGEST)
}

/// Converts an event.
pub(super) fn event(event: Event) -> v1::Event {
    v1::Event {
        time: Some(stamp(event.when())),
        seq: event.seq,
        cause: event.cause,
        source: event.source,
        service: event.service,
        incarnation: event.incarnation,
        kind: event.kind.word().into(),
        message: short(event.message),
        evidence: event.evidence,
        detail: event.detail.map(super::detail::detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_calls_an_answer_what_the_contract_calls_it() {
        use Decision::{
            Accepted, HeldBrake, HeldBudget, HeldDependency, InGrace, Merged, NoEvidence, NotWanted, Paused,
            ReportOnly, Stale, UnknownService,
        };
        let held = [HeldDependency, HeldBudget, HeldBrake];
        let others =
            [Accepted, Merged, Stale, InGrace, NotWanted, Paused, UnknownService, ReportOnly, NoEvidence];
        for one in held.into_iter().chain(others) {
            assert_eq!(one.to_string(), decision(one).word());
        }
    }
}
