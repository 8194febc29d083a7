//! Pure: decides when a service has reached its goal, and what to print about it.

use proto::time::lenient;
use proto::v1::{Effect, Outcome, Reloading, ServiceState, ServiceStatus, Status, Step, Wanted};

use crate::render::explain;
use crate::render::time::span;
use crate::view::Exit;

/// The goal of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The service runs and is ready.
    Up,
    /// No process of the service is left.
    Down,
    /// A newer run than the previous one is ready.
    Renewed,
}

/// Outcome for one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) service: String,
    pub(crate) ok: bool,
    pub(crate) state: ServiceState,
    pub(crate) pid: Option<u32>,
    pub(crate) incarnation: u64,
    /// Text to print after name and state.
    pub(crate) text: String,
}

/// The services that have not settled yet.
pub(crate) struct Waiting {
    items: Vec<Item>,
}

struct Item {
    service: String,
    goal: Goal,
    /// The previous run; `None` if any run will do.
    before: Option<u64>,
    /// Whether a retry keeps waiting: it does when waiting for all services to be ready, but it ends the
    /// wait for a particular run.
    patient: bool,
    /// The service has been wanted up before: only then does `down` mean that it was stopped by another request.
    seen_up: bool,
    /// The service has been starting or stopping before: only then is its uptime the time that this took.
    seen_busy: bool,
}

impl Waiting {
    /// Waits for the services for which a command was accepted.
    pub(crate) fn new(goal: Goal, outcomes: &[Outcome]) -> Self {
        let item = |outcome: &Outcome| Item {
            goal,
            before: Some(outcome.incarnation),
            ..Item::patient(&outcome.service)
        };
        let taken = outcomes.iter().filter(|outcome| outcome.ok);
        Self { items: taken.map(|outcome| Item { patient: false, ..item(outcome) }).collect() }
    }

    /// Waits for every service that is wanted up, unless applying the file stops it. Services that the file
    /// restarts must be newer than in `before`.
    pub(crate) fn all_wanted(now: &Status, before: Option<&Status>, steps: &[Step]) -> Self {
        let leaves = |service: &ServiceStatus| {
            steps.iter().any(|step| step.service == service.name && step.effect() == Effect::Stop)
        };
        let wanted = now.services.iter().filter(|service| service.wanted() == Wanted::Up && !leaves(service));
        let item = |service: &ServiceStatus| {
            let restarted = |step: &Step| step.service == service.name && step.effect() == Effect::Restart;
            let old = before.and_then(|before| find(before, &service.name)).filter(|old| old.pid != 0);
            match old {
                Some(old) if steps.iter().any(restarted) => Item {
                    goal: Goal::Renewed,
                    before: Some(old.incarnation),
                    ..Item::patient(&service.name)
                },
                _ => Item::patient(&service.name),
            }
        };
        Self { items: wanted.map(item).collect() }
    }

    /// Waits for no service.
    pub(crate) fn nobody() -> Self {
        Self { items: Vec::new() }
    }

    /// Whether all services have settled.
    pub(crate) fn is_over(&self) -> bool {
        self.items.is_empty()
    }

    /// Evaluates the newest state and removes the services that have settled.
    pub(crate) fn look(&mut self, status: &Status) -> Vec<Verdict> {
        let hopeless = hopeless(status);
        let mut verdicts = Vec::new();
        self.items.retain_mut(|item| match settled(item, status, &hopeless) {
            Some(verdict) => {
                verdicts.push(verdict);
                false
            }
            None => true,
        });
        verdicts
    }

    /// Returns the state of the remaining services when the time is up.
    pub(crate) fn give_up(self, status: Option<&Status>) -> Vec<Verdict> {
        let rest = self.items.into_iter().map(|item| {
            let service = status.and_then(|status| find(status, &item.service));
            match service {
                Some(service) => verdict(service, false, &format!("time is up: {}", standing(service))),
                None => gone(&item.service, "nothing is known about it"),
            }
        });
        rest.collect()
    }
}

impl Item {
    fn patient(service: &str) -> Self {
        Self {
            service: service.into(),
            goal: Goal::Up,
            before: None,
            patient: true,
            seen_up: false,
            seen_busy: false,
        }
    }
}

/// Finds a service, or the process of a managed monitor or of the guard.
fn find<'a>(status: &'a Status, name: &str) -> Option<&'a ServiceStatus> {
    let monitors = status.monitors.iter().filter_map(|monitor| monitor.process.as_ref());
    let daemons = status.daemons.iter().filter_map(|daemon| daemon.process.as_ref());
    status.services.iter().chain(monitors).chain(daemons).find(|service| service.name == name)
}

fn settled(item: &mut Item, status: &Status, hopeless: &[&str]) -> Option<Verdict> {
    let goal = item.goal;
    let Some(service) = find(status, &item.service) else {
        return Some(if goal == Goal::Down {
            Verdict { ok: true, state: ServiceState::Stopped, ..gone(&item.service, "and forgotten") }
        } else {
            gone(&item.service, "it is no longer configured")
        });
    };
    let state = service.state();
    let newer = item.before.is_none_or(|before| service.incarnation > before);
    if goal == Goal::Down {
        let down = service.wanted() != Wanted::Up
            && matches!(state, ServiceState::Stopped | ServiceState::Completed | ServiceState::Failed);
        return down.then(|| verdict(service, true, &ended(service)));
    }
    let failed = |reload: &&Reloading| !reload.failed.is_empty() && item.before < Some(reload.incarnation);
    if goal == Goal::Renewed
        && !newer
        && let Some(reload) = service.reload.as_ref().filter(failed)
    {
        let text = format!("{} goes on; {}", run(service), reload.failed);
        return Some(verdict(service, false, &text));
    }
    match state {
        ServiceState::Running if newer || goal == Goal::Up => {
            let uptime = lenient(service.uptime).unwrap_or_default();
            let fresh = item.seen_busy || (newer && item.before.is_some());
            let since =
                if fresh { format!("ready after {}", span(uptime)) } else { format!("up {}", span(uptime)) };
            Some(verdict(service, true, &format!("{}, {since}", run(service))))
        }
        ServiceState::Completed if newer || goal == Goal::Up => Some(verdict(service, true, &ended(service))),
        ServiceState::Backoff if newer && !item.patient => Some(verdict(service, false, &standing(service))),
        ServiceState::Failed if newer => Some(verdict(service, false, &standing(service))),
        ServiceState::Waiting if hopeless.contains(&service.name.as_str()) => {
            Some(verdict(service, false, &standing(service)))
        }
        _ if service.wanted() == Wanted::Up => {
            item.seen_up = true;
            item.seen_busy = true;
            None
        }
        ServiceState::Stopped if item.seen_up => Some(verdict(service, false, "somebody else stopped it")),
        _ => None,
    }
}

/// Returns the services that wait, directly or not, for a service that will not come up by itself: it
/// failed, or is not wanted. The reason of a waiting service names the service that it waits for.
fn hopeless(status: &Status) -> Vec<&str> {
    let lost = |service: &&ServiceStatus| match service.state() {
        ServiceState::Failed => true,
        ServiceState::Completed => false,
        _ => service.wanted() == Wanted::Down,
    };
    let mut dead: Vec<&str> =
        status.services.iter().filter(lost).map(|service| service.name.as_str()).collect();
    let mut waiting: Vec<&ServiceStatus> =
        status.services.iter().filter(|service| service.state() == ServiceState::Waiting).collect();
    loop {
        let before = waiting.len();
        waiting.retain(|service| {
            let doomed = awaited(&service.reason).is_some_and(|name| dead.contains(&name));
            if doomed {
                dead.push(&service.name);
            }
            !doomed
        });
        if waiting.len() == before {
            return dead;
        }
    }
}

/// Returns the service named in a reason: `waits for db to be ready, but it failed`.
fn awaited(reason: &str) -> Option<&str> {
    let rest = reason.strip_prefix(explain::WAITS)?;
    rest.split([' ', ',']).next()
}

fn run(service: &ServiceStatus) -> String {
    format!("pid {} (incarnation {})", service.pid, service.incarnation)
}

fn ended(service: &ServiceStatus) -> String {
    match &service.last_exit {
        Some(exit) => {
            let signal = (!exit.signal.is_empty()).then(|| exit.signal.clone());
            explain::exit(&Exit { code: exit.code, signal, at: None })
        }
        None => match lenient(service.next_run_left) {
            Some(left) => format!("next run in {}", span(left)),
            None => "it did not run".into(),
        },
    }
}

/// Returns the reason, and what comes next.
fn standing(service: &ServiceStatus) -> String {
    let next = lenient(service.next_start).map(|left| format!("next start in {}", span(left)));
    let cause = explain::Cause::of(&service.reason).cause;
    let reason = (!cause.is_empty()).then(|| cause.to_owned());
    let parts: Vec<_> = [reason, next].into_iter().flatten().collect();
    if parts.is_empty() { service.state().to_string() } else { parts.join("; ") }
}

fn verdict(service: &ServiceStatus, ok: bool, text: &str) -> Verdict {
    Verdict {
        service: service.name.clone(),
        ok,
        state: service.state(),
        pid: (service.pid != 0).then_some(service.pid),
        incarnation: service.incarnation,
        text: text.into(),
    }
}

fn gone(service: &str, text: &str) -> Verdict {
    Verdict {
        service: service.into(),
        ok: false,
        state: ServiceState::Unspecified,
        pid: None,
        incarnation: 0,
        text: text.into(),
    }
}

#[cfg(test)]
mod tests;
