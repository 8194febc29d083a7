//! The model of one service, with the newest result of each of its checks.

use std::time::{Duration, SystemTime};

use proto::time::{lenient, unstamp};
use proto::v1::{CheckResult, CheckState, CheckStatus, Decision, ServiceState, ServiceStatus, Wanted};

use super::{Measured, some};

/// A service, or the process of a managed monitor.
#[derive(Debug)]
pub(crate) struct ServiceView {
    pub(crate) name: String,
    pub(crate) wanted: Wanted,
    pub(crate) state: ServiceState,
    pub(crate) reason: Option<String>,
    pub(crate) pid: Option<u32>,
    pub(crate) incarnation: u64,
    pub(crate) restarts: u64,
    pub(crate) streak: u32,
    pub(crate) uptime: Option<Duration>,
    pub(crate) next_start: Option<Duration>,
    pub(crate) next_run: Option<SystemTime>,
    pub(crate) next_run_left: Option<Duration>,
    pub(crate) job: bool,
    pub(crate) frozen: bool,
    pub(crate) kill: Option<Duration>,
    pub(crate) last_exit: Option<Exit>,
    pub(crate) tags: Vec<String>,
    pub(crate) paused: bool,
    pub(crate) pause_left: Option<Duration>,
    pub(crate) held: Option<Held>,
    pub(crate) dropped: u64,
    pub(crate) cpu_percent: Option<f64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) status_text: Option<String>,
    pub(crate) checks: Vec<CheckView>,
    /// Number of its open incident.
    pub(crate) incident: Option<u64>,
    /// How available it was; empty for a supervisor that does not tell.
    pub(crate) availability: Vec<Availability>,
}

/// How available a service was over a time until now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Availability {
    pub(crate) window: Duration,
    /// Share without an incident, from 0 to 1.
    pub(crate) ratio: f64,
    pub(crate) incidents: u32,
    pub(crate) longest: Duration,
}

impl Availability {
    fn new(wire: proto::v1::Availability) -> Self {
        Self {
            window: lenient(wire.window).unwrap_or_default(),
            ratio: wire.ratio.clamp(0.0, 1.0),
            incidents: wire.incidents,
            longest: lenient(wire.longest).unwrap_or_default(),
        }
    }
}

/// How a run ended; both fields are `None` if that is unknown.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<String>,
    pub(crate) at: Option<SystemTime>,
}

/// A restart that is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) answer: Decision,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) message: String,
}

/// A check with its last result for the current run.
#[derive(Debug)]
pub(crate) struct CheckView {
    pub(crate) id: String,
    pub(crate) monitor: String,
    pub(crate) kind: String,
    pub(crate) target: String,
    pub(crate) state: CheckState,
    /// How many failures count so far, also while its state is still `passing`.
    pub(crate) failures: u32,
    /// How many failures make it fail; 0 if an older supervisor does not say so.
    pub(crate) threshold: u32,
    /// In how many of its last results they are counted; 0: in a row.
    pub(crate) window: u32,
    pub(crate) latency: Option<Duration>,
    pub(crate) detail: Option<String>,
    pub(crate) age: Option<Duration>,
    pub(crate) foreign: bool,
    pub(crate) stalled: bool,
}

impl ServiceView {
    pub(super) fn new(status: ServiceStatus, measured: &Measured<'_>) -> Self {
        let (wanted, state) = (status.wanted(), status.state());
        let checks = status
            .checks
            .into_iter()
            .map(|check| {
                let fresh = measured.result(&check.monitor, &status.name, status.incarnation, &check.check);
                CheckView::new(check, fresh, status.incarnation)
            })
            .collect();
        Self {
            wanted,
            state,
            reason: some(status.reason),
            pid: (status.pid != 0).then_some(status.pid),
            incarnation: status.incarnation,
            restarts: status.restarts,
            streak: status.streak,
            uptime: lenient(status.uptime),
            next_start: lenient(status.next_start),
            next_run: unstamp(status.next_run),
            next_run_left: lenient(status.next_run_left),
            job: status.job,
            frozen: status.frozen,
            kill: lenient(status.kill),
            last_exit: status.last_exit.map(|exit| Exit {
                code: exit.code,
                signal: some(exit.signal),
                at: unstamp(exit.at),
            }),
            tags: status.tags,
            paused: status.paused,
            pause_left: lenient(status.pause_left),
            held: status.held.map(|held| Held {
                answer: held.answer(),
                retry_after: lenient(held.retry_after),
                message: held.message,
            }),
            dropped: status.dropped_log_bytes,
            cpu_percent: status.usage.as_ref().map(|usage| usage.cpu_percent),
            memory_bytes: status.usage.as_ref().map(|usage| usage.memory_bytes),
            status_text: some(status.status_text),
            checks,
            incident: (status.incident != 0).then_some(status.incident),
            availability: status.availability.into_iter().map(Availability::new).collect(),
            name: status.name,
        }
    }

    /// Whether the service is as wanted, with every check passing and not frozen. Paused, stopped by hand
    /// and completed count as wanted, and so does a job that was ended for its next run.
    pub(crate) fn is_well(&self) -> bool {
        let as_wanted = match self.state {
            ServiceState::Running | ServiceState::Completed => true,
            ServiceState::Stopped => self.wanted != Wanted::Up,
            ServiceState::Stopping => self.job && self.wanted == Wanted::Up,
            _ => false,
        };
        let checks = self.state != ServiceState::Running
            || self.checks.iter().all(|check| check.state == CheckState::Passing);
        as_wanted && checks && self.held.is_none() && !self.frozen
    }
}

impl CheckView {
    fn new(check: CheckStatus, fresh: Option<&CheckResult>, incarnation: u64) -> Self {
        // A result of an earlier run says nothing about this one.
        let told = check.result.as_ref().filter(|result| result.incarnation == incarnation);
        let result = fresh.or(told);
        Self {
            state: result.map_or(CheckState::Unknown, CheckResult::state),
            failures: result.map_or(0, |result| result.failures),
            threshold: check.failures,
            window: check.window,
            latency: result.and_then(|result| lenient(result.latency)),
            detail: result.and_then(|result| some(result.detail.clone())),
            age: result.and_then(|result| lenient(result.age)),
            foreign: result.is_some_and(|result| result.foreign),
            stalled: result.is_some_and(|result| result.stalled),
            id: check.check,
            monitor: check.monitor,
            kind: check.kind,
            target: check.target,
        }
    }
}
