//! Explains in lines why a service is not in its wanted state; empty if there is nothing to explain.

use proto::v1::{CheckState, ServiceState};
use sereno_config::Selector;

use super::check::CheckVerdict;
use super::time::span;
use crate::failure::Failure;
use crate::view::{CheckView, Exit, ServiceView};

/// Returns one line for each remark, and the time of a job's next run.
pub(crate) fn service(service: &ServiceView) -> Vec<String> {
    let mut lines = reasons(service);
    if let Some(left) = service.next_run_left.filter(|_| service.job && !service.paused) {
        let after_its_state = usize::from(state(service).is_some());
        lines.insert(after_its_state, format!("next run in {}", span(left)));
    }
    lines
}

/// Returns one line for each deviation from the normal state, also for intended ones.
pub(crate) fn reasons(service: &ServiceView) -> Vec<String> {
    let mut lines: Vec<String> = state(service).into_iter().collect();
    if let Some(held) = &service.held {
        let again = held
            .retry_after
            .map_or_else(|| "at its next failed check".into(), |left| format!("in {}", span(left)));
        lines.push(format!("held: {} ({}, asked again {again})", held.message, held.answer));
    }
    if service.paused {
        let left = service.pause_left.map(|left| format!(" for {}", span(left)));
        let what = if service.job { "it is not run at its time" } else { "failing checks restart nothing" };
        lines.push(format!("paused{}: {what}", left.unwrap_or_default()));
    }
    if alive(service.state) {
        lines.extend(service.checks.iter().filter_map(|failing| check(failing, service.frozen)));
    }
    if service.dropped > 0 {
        lines.push(format!("log: {} could not be written", super::time::size(service.dropped)));
    }
    lines
}

/// Returns the failure for a name that does not denote exactly one service.
pub(crate) fn not_one(name: &str, services: &[&str]) -> Failure {
    let selector = Selector::new(name);
    let is_instance = |service: &&str| selector.selects(service, &[]) && *service != name;
    let instances: Vec<&str> = services.iter().copied().filter(is_instance).collect();
    match instances[..] {
        [] => Failure::unknown(name, format!("no service or daemon has the name {name:?}")),
        _ => Failure::Refused(format!("{name} has instances: name one of {}", instances.join(", "))),
    }
}

/// Describes the state with its times and its reason:
/// `backoff: next start in 3.2 s (streak 4 of 50): exit 1`.
fn state(service: &ServiceView) -> Option<String> {
    let Cause { streak, cause } = Cause::of(service.reason.as_deref().unwrap_or_default());
    if cause.starts_with(WAITS) {
        // The row above shows the state, and this text belongs to it.
        return Some(cause.into());
    }
    let timed = match service.state {
        ServiceState::Backoff => {
            let next = service.next_start.map(|left| format!("next start in {}", span(left)));
            let known = (service.streak > 0).then(|| format!("streak {}", service.streak));
            let streak = streak.map(str::to_owned).or(known).map(|streak| format!("({streak})"));
            join(&[next.as_deref(), streak.as_deref()], " ")
        }
        ServiceState::Stopping => {
            service.kill.map(|left| format!("SIGKILL in {} unless it ends", span(left)))
        }
        _ => None,
    };
    let text = join(&[timed.as_deref(), Some(cause)], ": ")?;
    let hint = if service.state == ServiceState::Failed {
        format!("; \"ctl start {}\" tries again", service.name)
    } else {
        String::new()
    };
    Some(format!("{}: {text}{hint}", service.state))
}

/// Prefix of the reason of a service that waits for something.
pub(crate) const WAITS: &str = "waits for ";

/// A parsed reason, for example `streak 4 of 50: exit 1`.
pub(crate) struct Cause<'a> {
    pub(crate) streak: Option<&'a str>,
    pub(crate) cause: &'a str,
}

impl<'a> Cause<'a> {
    pub(crate) fn of(reason: &'a str) -> Self {
        match reason.split_once(": ") {
            Some((streak, cause)) if streak.starts_with("streak ") => Self { streak: Some(streak), cause },
            _ => Self { streak: None, cause: reason },
        }
    }
}

/// Whether a run exists that can be checked.
pub(crate) fn alive(state: ServiceState) -> bool {
    matches!(state, ServiceState::Running | ServiceState::Starting)
}

/// Returns one line for each check whose failures count but are too few to make it fail.
pub(crate) fn counting(service: &ServiceView) -> Vec<String> {
    let counts = |check: &&CheckView| CheckVerdict::of(check) == CheckVerdict::Counting;
    let checks = service.checks.iter().filter(counts).filter(|_| alive(service.state));
    checks.map(super::check::short).collect()
}

/// Describes a failing check: `health failing (2 times): 503`. The processes of a frozen service use no CPU time, so that
/// a check that timed out says little by itself.
fn check(check: &CheckView, frozen: bool) -> Option<String> {
    if check.state != CheckState::Failing {
        return None;
    }
    let times = if check.failures > 1 { format!(" ({} times)", check.failures) } else { String::new() };
    let trouble = trouble(check).or_else(|| frozen.then_some("the service is frozen"));
    let detail = join(&[check.detail.as_deref(), trouble], "; ");
    let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
    Some(format!("{} failing{times}{detail}", check.id))
}

/// Returns the special problem of a failing check, if any.
pub(crate) fn trouble(check: &CheckView) -> Option<&'static str> {
    if check.foreign {
        Some("the port belongs to somebody else")
    } else if check.stalled {
        Some("listening, but its accept queue does not drain")
    } else {
        None
    }
}

/// Describes an exit: `exit 3`, `SIGKILL`, `exit unknown`.
pub(crate) fn exit(exit: &Exit) -> String {
    match (&exit.signal, exit.code) {
        (Some(signal), _) => signal.clone(),
        (None, Some(code)) => format!("exit {code}"),
        (None, None) => "exit unknown".into(),
    }
}

fn join(parts: &[Option<&str>], with: &str) -> Option<String> {
    let parts: Vec<_> = parts.iter().copied().flatten().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(with))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::v1::Decision;

    use super::*;
    use crate::view::Held;
    use crate::view::testing::view;

    #[test]
    fn a_backoff_says_when_and_why() {
        let view = view();
        assert_eq!(service(&view.services[1]), ["backoff: next start in 3.2 s (streak 4 of 50): exit 1"]);
    }

    #[test]
    fn what_is_waited_for_is_said_once() {
        let mut view = view();
        let frontend = &mut view.services[1];
        frontend.state = ServiceState::Waiting;
        frontend.reason = Some("waits for backend to be ready".into());
        assert_eq!(service(frontend), ["waits for backend to be ready"]);
        frontend.state = ServiceState::Failed;
        frontend.reason = Some("51 runs failed: exit 1".into());
        assert_eq!(service(frontend), ["failed: 51 runs failed: exit 1; \"ctl start frontend\" tries again"]);
    }

    #[test]
    fn what_is_as_wanted_needs_no_words() {
        let view = view();
        assert_eq!(service(&view.services[0]), <[String; 0]>::default());
        assert_eq!(service(&view.services[2]), <[String; 0]>::default());
    }

    #[test]
    fn a_job_says_when_it_runs_next_and_that_it_does_not_while_paused() {
        let mut view = view();
        let job = &mut view.services[0];
        (job.job, job.next_run_left) = (true, Some(Duration::from_secs(60)));
        assert_eq!(service(job), ["next run in 1m 0s"]);
        assert_eq!(reasons(job), <[String; 0]>::default(), "a time is no reason");
        job.paused = true;
        assert_eq!(service(job), ["paused: it is not run at its time"]);
    }

    #[test]
    fn held_paused_and_failing_are_told() {
        let mut view = view();
        let backend = &mut view.services[0];
        backend.held = Some(Held {
            answer: Decision::HeldBudget,
            retry_after: Some(Duration::from_secs(60)),
            message: "10 of 10 restarts in 1h are spent".into(),
        });
        backend.paused = true;
        backend.pause_left = Some(Duration::from_secs(1740));
        backend.checks[1].state = CheckState::Failing;
        backend.checks[1].failures = 2;
        backend.checks[1].foreign = true;
        backend.checks[1].detail = Some("foreign pid 7 python".into());
        assert_eq!(
            service(backend),
            [
                "held: 10 of 10 restarts in 1h are spent (HELD_BUDGET, asked again in 1m 0s)",
                "paused for 29m 0s: failing checks restart nothing",
                "port failing (2 times): foreign pid 7 python; the port belongs to somebody else",
            ]
        );
    }

    #[test]
    fn a_check_of_a_frozen_service_is_not_just_slow() {
        let mut view = view();
        let backend = &mut view.services[0];
        backend.frozen = true;
        backend.reason = Some("frozen: no CPU time for 9s; web is in state T (stopped)".into());
        backend.checks[0].state = CheckState::Failing;
        backend.checks[0].detail = Some("timed out after 1s".into());
        assert_eq!(
            service(backend),
            [
                "running: frozen: no CPU time for 9s; web is in state T (stopped)",
                "health failing: timed out after 1s; the service is frozen",
            ]
        );
    }

    #[test]
    fn failures_that_count_are_words_but_no_reason() {
        let mut view = view();
        let backend = &mut view.services[0];
        backend.checks[0].failures = 1;
        backend.checks[0].detail = Some("503".into());
        assert_eq!(reasons(backend), <[String; 0]>::default());
        assert_eq!(counting(backend), ["health 1 of 3 failed: 503"]);
        backend.state = ServiceState::Stopping;
        assert_eq!(counting(backend), <[String; 0]>::default());
    }
}
