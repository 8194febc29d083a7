//! Targets that monitors watch and results that they report.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::Name;
use sereno_config::{Check, CheckSpec, OnFailure};

use super::Manager;
use super::attachments::{MonitorError, SUPERVISOR};
use super::command::{CheckResult, Report as Reported, Target, TargetSet};
use super::restart_requests::is_bad;
use crate::incidents::{CauseKind, Happening};
use crate::journal::{Detail, Entry, Kind, MonitorState, What, allowance::Taken};
use crate::lifecycle::arbiter::Fault;
use crate::lifecycle::{BootInstant, CheckFact, Fact};
use crate::os;
use crate::service::{Restricted, Service, plan::PlanError, reports::Report};

/// How often monitors report although there is no news, where metrics count checks. Prometheus looks no more often.
const COUNTS_EVERY: Duration = Duration::from_secs(15);

impl Manager {
    /// Returns every check of a kind. A service that does not run, or is about to end, has incarnation 0: do not probe
    /// it.
    pub(super) fn target_set(&self, kind: &str, generation: u64) -> TargetSet {
        let targets = self.services.values().filter(|service| service.is_users()).flat_map(|service| {
            let live = service.live_incarnation();
            let known = service.knows_rights();
            let of_kind = service.spec.checks.iter().filter(|(_, check)| check.kind == kind);
            of_kind.map(move |(id, check)| {
                // A command is not run before the rights for it are known.
                let live = live.filter(|_| known || !matches!(check.spec, CheckSpec::Exec { .. }));
                Target {
                    service: service.name.clone(),
                    incarnation: live.unwrap_or(0),
                    pid: live.map_or(0, |_| service.processes.pid()),
                    id: id.clone(),
                    starting: live.is_some() && !service.unit.is_ready(),
                    check: with_env_of(service, check),
                    restricted: restricted(service, check, live.is_some()),
                }
            })
        });
        let report_every = self.in_force.metrics.map(|_| COUNTS_EVERY);
        TargetSet {
            instance: self.world.instance.clone(),
            generation,
            targets: targets.collect(),
            report_every,
        }
    }

    /// Takes a report. A check that this monitor had reported and now leaves out becomes unknown.
    pub(super) fn report(&mut self, reported: Reported) -> Result<(), MonitorError> {
        let now = os::now();
        let Reported { monitor, session, speaker, generation, blind, results } = reported;
        let current = self.number_of_targets();
        let kinds = &self.attached_as(&monitor, &session, &speaker)?.kinds;
        // A report that answers an older target set may contain a check that has another kind by now.
        let is_current = generation == current;
        let kind_of_another = |result: &CheckResult| {
            let check = self.services.get(&result.service)?.spec.checks.get(&result.check)?;
            (!kinds.contains(&check.kind)).then(|| check.kind.clone())
        };
        let (mut own, mut others) = (Vec::new(), None);
        for result in results {
            match kind_of_another(&result) {
                None => own.push(result),
                Some(kind) => others = others.or(Some((result, kind))),
            }
        }
        if let Some((CheckResult { service, check, .. }, kind)) = others
            && is_current
        {
            return Err(MonitorError::NotItsCheck { field: "results", service, check, kind, monitor });
        }
        let streams = self.attachments.values_mut().filter(|a| a.monitor == monitor && a.session == session);
        let mut news = false;
        for attachment in streams {
            news |= attachment.blind != blind;
            attachment.blind.clone_from(&blind);
        }
        if news {
            let state = if blind.is_some() { MonitorState::Blind } else { MonitorState::Seeing };
            let message = blind.map_or_else(|| "sees again".into(), |why| format!("blind: {why}"));
            self.tell_of_monitor(&monitor, Some(state), message);
            self.watched_again(now);
        }
        self.forget_what_is_left_out(&monitor, &own, now);
        for result in own {
            self.result(&monitor, result, now);
        }
        Ok(())
    }

    fn forget_what_is_left_out(&mut self, monitor: &Name, results: &[CheckResult], now: BootInstant) {
        let said: BTreeSet<(&Name, &Name)> = results.iter().map(|r| (&r.service, &r.check)).collect();
        for service in self.services.values_mut() {
            for (id, check) in &service.spec.checks {
                if said.contains(&(&service.name, id)) || !service.health.reports.remove(id, monitor) {
                    continue;
                }
                let every = check.interval;
                let unknown = CheckFact { passing: None, failures: 0, foreign: false, at: now, every };
                let fact = service.health.reports.fact(id).unwrap_or(unknown);
                service.unit.observe(now, Fact::Check(id.clone(), fact));
            }
        }
    }

    fn result(&mut self, monitor: &Name, result: CheckResult, now: BootInstant) {
        let Some(service) = self.services.get_mut(&result.service) else { return };
        let Some(check) = service.spec.checks.get(&result.check) else { return };
        // Skip a result for a run that is gone, or that never existed.
        if result.incarnation != service.unit.incarnation() || !service.unit.is_started() {
            return;
        }
        let report = Report {
            passing: result.passing,
            failures: result.failures,
            latency: result.latency,
            at: BootInstant::since_boot(now.elapsed().saturating_sub(result.age)),
            // A longer interval than the file says would make old results count as evidence.
            every: result.every.map_or(check.interval, |every| every.min(check.interval)),
            detail: result.detail,
            foreign: result.foreign,
            stalled: result.stalled,
            failing_since: None,
        };
        let before = service.health.reports.by(&result.check, monitor);
        let report = report.going_on_from(before);
        let (passing, failures, said) = (report.passing, report.failures, report.detail.clone());
        let check_restarts = check.on_failure == OnFailure::Restart;
        let (needed, cause) = (check.failures, CauseKind::of_check(&check.kind));
        let failing_for = report.failing_since.map(|since| now.since(since)).unwrap_or_default();
        service.tally.checks.reported(&result.check, monitor, result.runs);
        let before =
            service.health.reports.set(&result.check, monitor, report).and_then(|report| report.passing);
        let was_bad = is_bad(service);
        if let Some(fact) = service.health.reports.fact(&result.check) {
            service.unit.observe(now, Fact::Check(result.check.clone(), fact));
        }
        if passing == Some(true) {
            service.health.mended(&Fault::Check(result.check.clone()));
        }
        let (ready, bad) = (service.unit.is_ready(), is_bad(service));
        let ends = service.unit.ends_because().is_some();
        let fails = passing == Some(false) && check_restarts;
        let name = service.name.clone();
        let mut flip = 0;
        if passing != before && (before.is_some() || passing == Some(false)) {
            let verb = match passing {
                Some(true) => "passes again",
                Some(false) => "fails",
                None => "is not known",
            };
            let colon = if said.is_empty() { "" } else { ": " };
            let words = format!("{} {verb}{colon}{said}", result.check);
            let check = result.check.to_string();
            let flipped = Detail::CheckFlipped {
                check,
                old: before,
                new: passing,
                failures,
                needed,
                said: said.clone(),
            };
            flip = self.say(monitor, &name, flipped, words);
        }
        if fails && before != Some(false) && ready {
            let fault = Happening::fault(cause, format!("{} failed: {said}", result.check), failing_for);
            self.world.incidents.note(&name, result.incarnation, flip, fault);
        } else if passing == Some(true) && before == Some(false) && !bad && !ends {
            self.world.incidents.note(&name, result.incarnation, flip, Happening::Serves);
        }
        match (was_bad, bad) {
            (false, true) if ready => self.brake.bad(&name, now),
            (true, false) => self.brake.well(&name),
            _ => {}
        }
    }

    /// Enters a monitor's message about a service into the journal, within the monitor's allowance of events.
    /// Returns its number; 0 if it was left out.
    fn say(&mut self, monitor: &Name, name: &Name, what: Detail, message: String) -> u64 {
        if !self.may_cause_event(monitor) {
            return 0;
        }
        self.say_always(Some(monitor), name, what, (0, message, String::new()))
    }

    /// Enters the message regardless of the allowance; without a monitor it is the supervisor's own. Returns the event's
    /// number.
    pub(super) fn say_always(
        &mut self,
        monitor: Option<&Name>,
        name: &Name,
        what: impl Into<What>,
        (cause, message, evidence): (u64, String, String),
    ) -> u64 {
        let incarnation = self.services.get(name).map_or(0, |service| service.unit.incarnation());
        let source = monitor.map_or(SUPERVISOR, Name::as_str);
        let (service, what) = (Some(name), what.into());
        self.world.journal.add(Entry { cause, source, service, incarnation, what, message, evidence })
    }

    /// Returns whether a monitor may cause another event. Its next allowed event tells how many were left out.
    pub(super) fn may_cause_event(&mut self, monitor: &Name) -> bool {
        let kinds = self.config.monitors.get(monitor).map_or(&[][..], |monitor| &monitor.kinds);
        let checks = self.services.values().flat_map(|service| service.spec.checks.values());
        let own = checks.filter(|check| kinds.contains(&check.kind)).count();
        let Taken::Yes { left_out } = self.allowances.take(monitor, own, os::now()) else { return false };
        if left_out > 0 {
            let message = format!("says too much: {left_out} events were left out");
            self.world.tell_of(monitor.as_str(), Kind::Daemon, message);
        }
        true
    }
}

/// Returns how a command that checks a service is confined; `None` if it runs with all rights of the supervisor.
fn restricted(service: &Service, check: &Check, live: bool) -> Option<Result<Restricted, PlanError>> {
    if !matches!(check.spec, CheckSpec::Exec { .. }) {
        return None;
    }
    let found = service.restricted()?;
    // Nothing is probed then, and nothing about it is disclosed.
    Some(if live { found } else { Err(PlanError::NotRunning) })
}

/// Gives a command that checks a service the service's own environment variables, including its instance.
fn with_env_of(service: &Service, check: &Check) -> Check {
    let mut check = check.clone();
    if let CheckSpec::Exec { env, .. } = &mut check.spec {
        let mut whole = service.spec.env.clone();
        whole.extend(service.env.extra.clone());
        whole.append(env);
        *env = whole;
    }
    check
}
