//! Renders the page. Pure.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::families::{self as f};
use super::text::{Labels, Text};
use crate::api::usage::Total;
use crate::lifecycle::tally::RestartCause;
use crate::lifecycle::{Exit, State};
use crate::os::signal;
use crate::snapshot::{CheckView, ServiceView, View};

/// Everything that the page shows.
pub(super) struct Picture {
    pub(super) view: View,
    pub(super) totals: HashMap<String, Total>,
    /// CPU seconds and memory bytes of the supervisor itself.
    pub(super) own: (f64, u64),
    pub(super) config_newer: bool,
    pub(super) unbound: usize,
    pub(super) certificates: Vec<Certificate>,
    pub(super) now: SystemTime,
}

/// When a file with certificates expires.
pub(super) struct Certificate {
    pub(super) file: String,
    pub(super) endpoint: String,
    pub(super) ends: i64,
}

const STATES: [(State, &str); 8] = [
    (State::Stopped, "stopped"),
    (State::Waiting, "waiting"),
    (State::Starting, "starting"),
    (State::Running, "running"),
    (State::Backoff, "backoff"),
    (State::Stopping, "stopping"),
    (State::Completed, "completed"),
    (State::Failed, "failed"),
];
const CHECK_STATES: [(Option<bool>, &str); 3] =
    [(Some(true), "passing"), (Some(false), "failing"), (None, "unknown")];

pub(super) fn render(picture: &Picture) -> String {
    let mut text = Text(String::with_capacity(16 * 1024));
    supervisor(picture, &mut text);
    services(picture, &mut text);
    processes(picture, &mut text);
    checks(&picture.view, &mut text);
    text.0
}

fn supervisor(picture: &Picture, text: &mut Text) {
    let view = &picture.view;
    let one = |value: f64| [(Labels::new(), value)];
    text.family(&f::BUILD, [(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)]);
    text.family(&f::STARTED, one(since(picture.now, view.uptime)));
    text.family(&f::OWN_CPU, one(picture.own.0));
    text.family(&f::OWN_MEMORY, one(float(picture.own.1)));
    text.family(&f::NEWER, one(flag(picture.config_newer)));
    text.family(&f::UNGUARDED, one(flag(view.unguarded.is_some())));
    text.family(&f::BRAKE, one(flag(view.brake.is_some())));
    text.family(&f::UNBOUND, one(float(picture.unbound as u64)));
    counts(view, text);
    let certificates = picture.certificates.iter();
    #[expect(clippy::cast_precision_loss, reason = "a time is far below 2^52 seconds")]
    text.family(
        &f::CERTIFICATE,
        certificates.map(|one| (vec![("file", &*one.file), ("endpoint", &*one.endpoint)], one.ends as f64)),
    );
    let monitors = || view.monitors.iter();
    text.family(
        &f::ATTACHED,
        monitors()
            .map(|one| (vec![("monitor", one.name.as_str()), ("kind", &*one.kind)], flag(one.attached))),
    );
    text.family(
        &f::BLIND,
        monitors().map(|one| (vec![("monitor", one.name.as_str())], flag(one.blind.is_some()))),
    );
}

/// Writes what is counted over all services.
fn counts(view: &View, text: &mut Text) {
    let decisions: Vec<(String, u64)> =
        view.tally.decisions().map(|(answer, count)| (answer.to_string().to_lowercase(), count)).collect();
    let decided = decisions.iter().map(|(answer, count)| (vec![("answer", &**answer)], float(*count)));
    text.family(&f::DECISIONS, decided);
    text.family(&f::INCIDENTS, [(Labels::new(), float(view.incidents_open))]);
    let recoveries = &view.tally.recoveries;
    let buckets = recoveries.buckets().map(|(bound, count)| (bound, float(count)));
    text.histogram(&f::RECOVERY, buckets, (recoveries.sum().as_secs_f64(), float(recoveries.count())));
}

fn services(picture: &Picture, text: &mut Text) {
    let all = || picture.view.services.iter();
    let mut each = |family: &f::Family, value: &dyn Fn(&ServiceView) -> Option<f64>| {
        let sample = |one| Some((of(one), value(one)?));
        text.family(family, all().filter_map(sample));
    };
    each(&f::UP, &|one| Some(flag(matches!(one.state, State::Running | State::Completed))));
    each(&f::WANTED, &|one| Some(flag(one.wanted)));
    each(&f::READY, &|one| Some(flag(one.state == State::Running)));
    each(&f::PAUSED, &|one| Some(flag(one.paused.is_some())));
    each(&f::FROZEN, &|one| Some(flag(one.frozen)));
    each(&f::HELD, &|one| Some(flag(one.held.is_some())));
    each(&f::INCARNATION, &|one| Some(float(one.incarnation)));
    each(&f::SINCE, &|one| Some(since(picture.now, one.uptime?)));
    each(&f::NEXT_RUN, &|one| Some(one.next_run?.duration_since(UNIX_EPOCH).ok()?.as_secs_f64()));
    each(&f::EXIT, &|one| exit_code(&one.last_exit.as_ref()?.0));
    each(&f::DROPPED, &|one| Some(float(one.dropped)));
    each(&f::UNREADY, &|one| Some(one.unready.as_secs_f64()));
    text.family(
        &f::STATE,
        all().flat_map(|one| {
            STATES.iter().map(move |(state, word)| {
                (vec![("service", one.name.as_str()), ("state", *word)], flag(one.state == *state))
            })
        }),
    );
}

/// Writes what processes use, including managed monitors and the guard.
fn processes(picture: &Picture, text: &mut Text) {
    let view = &picture.view;
    let all = || view.services.iter().chain(view.daemons());
    text.family(
        &f::RESTARTS,
        all().flat_map(|one| {
            let causes =
                one.restarts_by_cause.by_cause().filter(|(cause, count)| *count > 0 || is_usual(*cause));
            causes.map(|(cause, count)| (vec![("service", name(one)), ("cause", cause.word())], float(count)))
        }),
    );
    let mut each = |family: &f::Family, value: &dyn Fn(&Total) -> f64| {
        let sample = |one| Some((name(one), value(picture.totals.get(name(one))?)));
        let found: Vec<(&str, f64)> = all().filter_map(sample).collect();
        text.family(family, found.into_iter().map(|(name, value)| (vec![("service", name)], value)));
    };
    each(&f::CPU, &|total| total.cpu_seconds);
    each(&f::MEMORY, &|total| float(total.memory_bytes));
    each(&f::PROCESSES, &|total| float(total.processes as u64));
}

fn checks(view: &View, text: &mut Text) {
    let all = || view.services.iter().flat_map(|one| one.checks.iter().map(move |check| (one, check)));
    text.family(
        &f::CHECK,
        all().flat_map(|(one, check)| {
            let says = check.report.as_ref().and_then(|(report, _)| report.passing);
            CHECK_STATES.iter().map(move |(state, word)| {
                let mut labels = of_check(one, check);
                labels.push(("state", *word));
                (labels, flag(says == *state))
            })
        }),
    );
    text.family(
        &f::CHECK_RUNS,
        all().flat_map(|(one, check)| {
            [("passed", check.runs.passed), ("failed", check.runs.failed)].map(|(result, count)| {
                let mut labels = of_check(one, check);
                labels.push(("result", result));
                (labels, float(count))
            })
        }),
    );
    let reported =
        || all().filter_map(|(one, check)| Some((of_check(one, check), &check.report.as_ref()?.0)));
    text.family(&f::FAILURES, reported().map(|(labels, said)| (labels, f64::from(said.failures))));
    text.family(
        &f::LATENCY,
        reported().filter_map(|(labels, said)| Some((labels, said.latency?.as_secs_f64()))),
    );
}

fn name(service: &ServiceView) -> &str {
    service.name.as_str()
}

fn of(service: &ServiceView) -> Labels<'_> {
    vec![("service", name(service))]
}

fn of_check<'a>(service: &'a ServiceView, check: &'a CheckView) -> Labels<'a> {
    vec![("service", name(service)), ("check", check.id.as_str()), ("kind", &*check.kind)]
}

/// Returns whether every service shows a restart cause before it happens, so that its first restart is seen to be new.
fn is_usual(cause: RestartCause) -> bool {
    !matches!(cause, RestartCause::Overdue | RestartCause::Unknown)
}

fn exit_code(exit: &Exit) -> Option<f64> {
    match exit {
        Exit::Code(code) => Some(f64::from(*code)),
        Exit::Signal(signal) => signal::number(signal).map(|number| 128.0 + f64::from(number)),
        Exit::Unknown | Exit::NotSpawned(_) => None,
    }
}

/// Returns a start time in whole seconds: two clocks are never read at exactly the same time.
fn since(now: SystemTime, passed: Duration) -> f64 {
    let began = now.checked_sub(passed).and_then(|began| began.duration_since(UNIX_EPOCH).ok());
    began.unwrap_or_default().as_secs_f64().round()
}

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

#[expect(clippy::cast_precision_loss, reason = "what is counted here is far below 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}
