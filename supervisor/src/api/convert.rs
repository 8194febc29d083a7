//! Converts domain types to wire types.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proto::time::{stamp, to_wire};
use proto::v1;

use super::usage::Sample;
use crate::journal::Event;
use crate::lifecycle::{Exit, State};
use crate::manager::command::{Outcome, Step, Target, TargetSet};
use crate::os::Ids;
use crate::service::Restricted;
use crate::service::reports::Report;
use crate::snapshot::{CheckView, MonitorView, ServiceView, View};
use sereno_config::{Check, CheckSpec, GUARD, HttpCheck, OnFailure};

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
            answer: decision.into(),
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
    }
}

fn result(
    report: Report,
    age: Duration,
    service: &proto::Name,
    check: &str,
    incarnation: u64,
) -> v1::CheckResult {
    let state = match report.passing {
        Some(true) => v1::CheckState::Passing,
        Some(false) => v1::CheckState::Failing,
        None => v1::CheckState::Unknown,
    };
    v1::CheckResult {
        service: service.to_string(),
        incarnation,
        check: check.into(),
        state: state.into(),
        failures: report.failures,
        latency: report.latency.map(to_wire),
        age: Some(to_wire(age)),
        detail: report.detail,
        foreign: report.foreign,
        stalled: report.stalled,
        every: Some(to_wire(report.every)),
    }
}

/// Converts a set of targets.
pub(super) fn targets(set: TargetSet) -> v1::WatchTargetsResponse {
    v1::WatchTargetsResponse {
        instance: set.instance,
        generation: set.generation,
        targets: set.targets.into_iter().map(target).collect(),
    }
}

fn target(target: Target) -> v1::Target {
    let Check {
        interval,
        timeout,
        retry_interval,
        start_period,
        failures,
        window,
        successes,
        on_failure,
        ..
    } = target.check;
    v1::Target {
        service: target.service.to_string(),
        incarnation: target.incarnation,
        pid: target.pid,
        check: target.id.to_string(),
        starting: target.starting,
        report_only: on_failure == OnFailure::Report,
        interval: Some(to_wire(interval)),
        timeout: Some(to_wire(timeout)),
        retry_interval: Some(to_wire(retry_interval)),
        start_period: Some(to_wire(start_period)),
        failures,
        window,
        successes,
        spec: Some(match (target.check.spec, target.restricted) {
            (CheckSpec::Exec { argv, cwd, env }, Some(restricted)) => {
                let command = v1::RestrictedExec {
                    argv,
                    cwd: cwd.display().to_string(),
                    env: env.into_iter().collect(),
                    ..Default::default()
                };
                let restricted = Some(restricted_exec(command, restricted));
                v1::target::Spec::Exec(v1::ExecCheck { restricted, ..Default::default() })
            }
            (other, _) => spec(other),
        }),
    }
}

fn spec(spec: CheckSpec) -> v1::target::Spec {
    match spec {
        CheckSpec::Http(http) => v1::target::Spec::Http(http_check(http)),
        CheckSpec::Tcp { addresses, owner } => v1::target::Spec::Tcp(v1::TcpCheck { addresses, owner }),
        CheckSpec::Exec { argv, cwd, env } => v1::target::Spec::Exec(v1::ExecCheck {
            argv,
            cwd: cwd.display().to_string(),
            env: env.into_iter().collect(),
            restricted: None,
        }),
        CheckSpec::Options(values) => {
            v1::target::Spec::Options(v1::Options { values: values.into_iter().collect() })
        }
    }
}

/// Combines a command with the rights and the environment of its service; the command's own variables win.
fn restricted_exec(
    command: v1::RestrictedExec,
    restricted: Result<Restricted, String>,
) -> v1::RestrictedExec {
    let restricted = match restricted {
        Ok(restricted) => restricted,
        Err(refused) => return v1::RestrictedExec { refused, ..Default::default() },
    };
    let mut env = restricted.env;
    env.extend(command.env);
    let limit = |(name, value)| v1::ResourceLimit { name, value };
    v1::RestrictedExec {
        env: env.into_iter().collect(),
        ids: restricted.ids.map(|Ids { uid, gid, groups }| v1::ProcessIds { uid, gid, groups }),
        capabilities: restricted.confine.capabilities,
        no_new_privileges: restricted.confine.no_new_privileges,
        umask: restricted.umask,
        nice: restricted.nice,
        limits: restricted.limits.into_iter().map(limit).collect(),
        ..command
    }
}

fn http_check(http: HttpCheck) -> v1::HttpCheck {
    let range = |(from, to): (u16, u16)| v1::StatusRange { from: from.into(), to: to.into() };
    v1::HttpCheck {
        url: http.url,
        method: http.method,
        headers: http.headers.into_iter().collect(),
        expect_status: http.expect_status.into_iter().map(range).collect(),
        expect_body: http.expect_body.unwrap_or_default(),
        expect_json: http.expect_json.into_iter().collect(),
        redirects: http.redirects,
        ca_file: http.ca_file.map_or_else(String::new, |path| path.display().to_string()),
        insecure: http.insecure,
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
        effect: step.effect.into(),
        changes: step.changes,
    };
    steps.map(convert).collect()
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
    }
}

#[cfg(test)]
mod tests {
    use proto::Name;

    use super::*;
    use crate::os::Confine;

    fn wire(restricted: Option<Result<Restricted, String>>) -> v1::ExecCheck {
        let env = BTreeMap::from([("A".to_string(), "check".to_string())]);
        let exec = CheckSpec::Exec { argv: vec!["./alive".into()], cwd: "/srv".into(), env };
        let text = "[services.web]\ncommand = \"web\"\nchecks.a = { kind = \"exec\", command = \"x\" }\n";
        let config = sereno_config::load("/srv/sereno.toml".as_ref(), text, &sereno_config::Env::new())
            .expect("a good file");
        let mut check =
            config.services.values().next().expect("one").checks.values().next().expect("one").clone();
        check.spec = exec;
        let name = |text: &str| Name::new(text).expect("a name");
        let (service, id) = (name("web"), name("a"));
        let target = Target { service, incarnation: 1, pid: 1, id, starting: false, check, restricted };
        match super::target(target).spec {
            Some(v1::target::Spec::Exec(exec)) => exec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_does_not_know_of_rights_is_told_no_command() {
        let free = wire(None);
        assert_eq!((free.argv.len(), free.restricted), (1, None));
        let refused = wire(Some(Err("can not find the user \"web\"".into())));
        assert_eq!(refused.argv, [""; 0]);
        let refused = refused.restricted.expect("told");
        assert_eq!((refused.argv.len(), refused.env.len()), (0, 0), "nothing is told of what is not run");
        assert!(refused.refused.contains("user \"web\""));
    }

    #[test]
    fn a_restricted_command_has_what_its_service_has() {
        let env = BTreeMap::from([("A".to_string(), "service".to_string()), ("B".into(), "2".into())]);
        let ids = Some(Ids { uid: 7, gid: 8, groups: vec![8, 9] });
        let confine = Confine { capabilities: Some(0), no_new_privileges: true };
        let limits = BTreeMap::from([("core".to_string(), Some(0)), ("nofile".into(), None)]);
        let restricted = Restricted { env, ids, confine, umask: Some(0o77), nice: None, limits };
        let wire = wire(Some(Ok(restricted)));
        assert_eq!((wire.argv.len(), wire.env.len()), (0, 0));
        let wire = wire.restricted.expect("told");
        assert_eq!((wire.argv, wire.cwd.as_str()), (vec!["./alive".to_string()], "/srv"));
        assert_eq!((wire.env["A"].as_str(), wire.env["B"].as_str()), ("check", "2"), "its own counts more");
        assert_eq!(wire.ids, Some(v1::ProcessIds { uid: 7, gid: 8, groups: vec![8, 9] }));
        assert_eq!((wire.capabilities, wire.no_new_privileges, wire.umask), (Some(0), true, Some(0o77)));
        assert_eq!(wire.limits.iter().map(|limit| limit.value).collect::<Vec<_>>(), [Some(0), None]);
    }
}
