//! Joins the answers of all daemons into one model: the supervisor reports what is wanted and what runs,
//! each monitor reports its own measurements.

mod service;

#[cfg(test)]
pub(crate) mod testing;

use std::time::{Duration, SystemTime};

use proto::time::lenient;
use proto::v1::{
    CheckResult, CheckState, DaemonState, MonitorState, MonitorStatus, ServiceStatus, Status,
    SupervisorStatus,
};
use sereno_config::{Selector, Unmatched};

use crate::failure::NoAnswer;

pub(crate) use service::{Availability, CheckView, Exit, Held, ServiceView};

/// The answers of all daemons.
pub(crate) struct Answers {
    /// When the answers arrived.
    pub(crate) now: SystemTime,
    /// Endpoint of the supervisor.
    pub(crate) endpoint: String,
    /// Path of the file, as found by this command.
    pub(crate) config: String,
    /// The supervisor's answer, or why there is none.
    pub(crate) supervisor: Result<Status, NoAnswer>,
    /// Answers of the monitors.
    pub(crate) monitors: Vec<MonitorAnswer>,
}

/// The answer of one monitor, or why there is none.
pub(crate) struct MonitorAnswer {
    /// Name of the monitor in the configuration.
    pub(crate) name: String,
    /// Endpoint that was asked.
    pub(crate) endpoint: String,
    /// Answer of the monitor.
    pub(crate) answer: Result<MonitorStatus, NoAnswer>,
}

impl MonitorAnswer {
    /// Builds the answer of a monitor that can not be asked from here, from the supervisor's report.
    pub(crate) fn told(state: &MonitorState, services: &[ServiceStatus]) -> Self {
        let checks = services.iter().flat_map(|service| &service.checks);
        let results =
            checks.filter(|check| check.monitor == state.name).filter_map(|check| check.result.clone());
        let process = state.process.as_ref();
        let uptime = process.and_then(|process| lenient(process.uptime)).unwrap_or_default();
        let answer = if state.attached {
            Ok(MonitorStatus {
                monitor: state.name.clone(),
                kind: state.kind.clone(),
                pid: process.map_or(0, |process| process.pid),
                uptime_seconds: uptime.as_secs_f64(),
                attached: true,
                blind: state.blind,
                blind_reason: state.blind_reason.clone(),
                results: results.collect(),
                ..MonitorStatus::default()
            })
        } else {
            Err(NoAnswer::NotAttached)
        };
        Self { name: state.name.clone(), endpoint: state.endpoint.clone(), answer }
    }
}

/// State of all daemons and services at one time.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) now: SystemTime,
    pub(crate) endpoint: String,
    pub(crate) config: String,
    pub(crate) supervisor: Result<SupervisorView, NoAnswer>,
    pub(crate) monitors: Vec<MonitorView>,
    pub(crate) daemons: Vec<DaemonView>,
    pub(crate) services: Vec<ServiceView>,
}

/// State of a supervisor that answers.
#[derive(Debug)]
pub(crate) struct SupervisorView {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) uptime: Duration,
    pub(crate) config_newer: bool,
    pub(crate) shutting_down: bool,
    pub(crate) brake: Option<String>,
    pub(crate) unguarded: Option<String>,
    pub(crate) notice: Option<String>,
    /// Endpoints that can not be bound, each with the reason.
    pub(crate) unbound: Vec<String>,
}

/// State of a monitor, whether it answers or not.
#[derive(Debug)]
pub(crate) struct MonitorView {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
    pub(crate) endpoint: String,
    pub(crate) managed: Option<bool>,
    /// Program that runs in place of the built-in one.
    pub(crate) program: Option<String>,
    pub(crate) attached: bool,
    pub(crate) blind: Option<String>,
    pub(crate) answer: Result<MonitorUp, NoAnswer>,
    /// Process of the monitor, if the supervisor runs it.
    pub(crate) process: Option<ServiceView>,
}

/// A built-in daemon other than the monitors: the guard.
#[derive(Debug)]
pub(crate) struct DaemonView {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) process: ServiceView,
}

/// Status of a monitor that answers.
#[derive(Debug)]
pub(crate) struct MonitorUp {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) uptime: Duration,
    pub(crate) targets: usize,
    pub(crate) failing: usize,
    pub(crate) last_error: Option<String>,
}

impl View {
    /// Joins the answers of all daemons.
    pub(crate) fn join(answers: Answers) -> Self {
        let Answers { now, endpoint, config, supervisor, monitors } = answers;
        let (supervisor, told) = match supervisor {
            Ok(mut told) => (Ok(told.supervisor.take().unwrap_or_default()), told),
            Err(why) => (Err(why), Status::default()),
        };
        let Status { monitors: states, daemons, services, .. } = told;
        let config = match &supervisor {
            Ok(told) if !told.config.is_empty() => told.config.clone(),
            _ => config,
        };
        let measured = Measured(&monitors);
        let services = services.into_iter().map(|service| ServiceView::new(service, &measured)).collect();
        let daemons = daemons.into_iter().map(|daemon| daemon_view(daemon, &measured)).collect();
        let mut joined: Vec<_> = monitors
            .iter()
            .map(|asked| monitor_view(asked, state_of(&states, &asked.name), &measured))
            .collect();
        // Sorts by the order of the file, which only the supervisor knows.
        joined.sort_by_key(|view| {
            states.iter().position(|state| state.name == view.name).unwrap_or(usize::MAX)
        });
        Self {
            now,
            endpoint,
            config,
            supervisor: supervisor.map(supervisor_view),
            monitors: joined,
            daemons,
            services,
        }
    }

    /// Whether everything is as wanted, every check passes and every daemon answers.
    pub(crate) fn all_well(&self) -> bool {
        self.supervisor.as_ref().is_ok_and(|up| up.unbound.is_empty())
            && self.monitors.iter().all(|monitor| monitor.answer.is_ok())
            && self.daemons.iter().all(|daemon| daemon.process.is_well())
            && self.services.iter().all(ServiceView::is_well)
    }

    /// Keeps only the selected services. Fails with the selector that matches none.
    pub(crate) fn select(&mut self, selectors: &[String]) -> Result<(), Unmatched> {
        if selectors.is_empty() {
            return Ok(());
        }
        let mut selected = vec![false; self.services.len()];
        for text in selectors {
            let selector = Selector::new(text);
            let mut is_unmatched = true;
            for (service, selected) in self.services.iter().zip(&mut selected) {
                if selector.selects(&service.name, &service.tags) {
                    (is_unmatched, *selected) = (false, true);
                }
            }
            if is_unmatched {
                return Err(Unmatched(text.clone()));
            }
        }
        let mut selected = selected.into_iter();
        self.services.retain(|_| selected.next().unwrap_or_default());
        Ok(())
    }
}

/// Latest measurements of the monitors themselves.
struct Measured<'a>(&'a [MonitorAnswer]);

impl Measured<'_> {
    /// Returns the result of one check for the current run.
    fn result(&self, monitor: &str, service: &str, incarnation: u64, check: &str) -> Option<&CheckResult> {
        let asked = self.0.iter().find(|asked| asked.name == monitor)?;
        asked.answer.as_ref().ok()?.results.iter().find(|result| {
            result.service == service && result.incarnation == incarnation && result.check == check
        })
    }
}

fn state_of<'a>(states: &'a [MonitorState], name: &str) -> Option<&'a MonitorState> {
    states.iter().find(|state| state.name == name)
}

fn supervisor_view(status: SupervisorStatus) -> SupervisorView {
    SupervisorView {
        version: status.version,
        pid: status.pid,
        uptime: lenient(status.uptime).unwrap_or_default(),
        config_newer: status.config_newer,
        shutting_down: status.shutting_down,
        brake: some(status.brake),
        unguarded: some(status.unguarded),
        notice: some(status.notice),
        unbound: status.unbound,
    }
}

fn monitor_view(asked: &MonitorAnswer, state: Option<&MonitorState>, measured: &Measured<'_>) -> MonitorView {
    let own = asked.answer.as_ref().ok();
    let kind = own.map(|own| &own.kind).or(state.map(|state| &state.kind));
    let blind = match (own, state) {
        (Some(own), _) => own.blind.then(|| own.blind_reason.clone()),
        (None, Some(state)) => state.blind.then(|| state.blind_reason.clone()),
        (None, None) => None,
    };
    MonitorView {
        name: asked.name.clone(),
        kind: kind.filter(|kind| !kind.is_empty()).cloned(),
        endpoint: asked.endpoint.clone(),
        managed: state.map(|state| state.managed),
        program: state.and_then(|state| some(state.program.clone())),
        attached: own.map_or_else(|| state.is_some_and(|state| state.attached), |own| own.attached),
        blind,
        answer: match &asked.answer {
            Ok(own) => Ok(monitor_up(own)),
            Err(why) => Err(why.clone()),
        },
        process: state
            .and_then(|state| state.process.clone())
            .map(|process| ServiceView::new(process, measured)),
    }
}

fn daemon_view(state: DaemonState, measured: &Measured<'_>) -> DaemonView {
    let DaemonState { name, kind, process } = state;
    DaemonView { name, kind, process: ServiceView::new(process.unwrap_or_default(), measured) }
}

fn monitor_up(own: &MonitorStatus) -> MonitorUp {
    let failing = own.results.iter().filter(|result| result.state() == CheckState::Failing).count();
    MonitorUp {
        version: own.version.clone(),
        pid: own.pid,
        uptime: Duration::try_from_secs_f64(own.uptime_seconds).unwrap_or_default(),
        targets: own.results.len(),
        failing,
        last_error: some(own.last_error.clone()),
    }
}

/// Converts an empty text, which means absent on the wire, to `None`.
fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
