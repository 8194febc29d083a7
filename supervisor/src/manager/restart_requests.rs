//! Restart requests: deciding, writing down and carrying out.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::Name;
use sereno_config::OnFailure;

use super::Manager;
use super::attachments::MonitorError;
use super::command::Ask;
use crate::incidents::{CauseKind, Happening};
use crate::journal::Detail;
use crate::lifecycle::arbiter::{self, Case, Decision, Fault, RestartRequest, Ruling, Standing};
use crate::lifecycle::deps::{self, Finding};
use crate::lifecycle::{BootInstant, Request};
use crate::os;
use crate::service::answers::Asked;
use crate::service::{Held, Service};

/// A request for a restart, as it goes into the journal.
pub(super) struct RequestEntry {
    pub(super) request: RestartRequest,
    /// A line that says what is wrong.
    pub(super) message: String,
    /// More detail; empty if there is none.
    pub(super) evidence: String,
}

impl Manager {
    /// Decides on a monitor's request. Returns the ruling, and its number in the journal.
    pub(super) fn ask(&mut self, ask: &Ask) -> Result<(Ruling, u64), MonitorError> {
        let now = os::now();
        let kinds = &self.attached_as(&ask.monitor, &ask.session, &ask.speaker)?.kinds;
        let unknown = |message| (Ruling::new(Decision::UnknownService, message), 0);
        let Some(service) = self.services.values().find(|service| service.name.as_str() == ask.service)
        else {
            return Ok(unknown(format!("there is no service {:?}", ask.service)));
        };
        let name = service.name.clone();
        let Some(check) = service.spec.checks.get(&ask.check).filter(|_| service.is_users()) else {
            return Ok(unknown(format!("{name} has no check {:?}", ask.check.as_str())));
        };
        if !kinds.contains(&check.kind) {
            let (kind, monitor) = (check.kind.clone(), ask.monitor.clone());
            let (service, check) = (name, ask.check.clone());
            return Err(MonitorError::NotItsCheck { field: "check", service, check, kind, monitor });
        }
        let (of, report_only) = (check.failures, check.on_failure == OnFailure::Report);
        let no_evidence = self.lacks_evidence(service, ask);
        let request = RestartRequest {
            monitor: Some(ask.monitor.clone()),
            fault: Fault::Check(ask.check.clone()),
            incarnation: ask.incarnation,
        };
        let case = Case { report_only, no_evidence, ..self.case(service, &request, now) };
        let brake = self.brake_holds(now);
        let Self { services, brake: host, .. } = self;
        let service = services.get_mut(&name).expect("it was just found");
        let budget = service.spec.restart.monitor_budget;
        let ruling = arbiter::decide(&case, &mut service.health.ledger, budget, (host, brake), now);
        let message = format!("{} failed {} of {of}: {}", ask.check, ask.failures.min(of), ask.summary);
        let entry = RequestEntry { request, message, evidence: ask.evidence.to_string() };
        let seq = self.enter(entry, &name, &ruling, now);
        Ok((ruling, seq))
    }

    /// Returns why the monitor's own reports do not support its request; `None` if they do.
    fn lacks_evidence(&self, service: &Service, ask: &Ask) -> Option<&'static str> {
        if self.is_blind(&ask.monitor) {
            return Some("this monitor says that it can not trust what it sees");
        }
        match service.health.reports.by(&ask.check, &ask.monitor) {
            None => Some("this monitor has reported nothing of this check and incarnation"),
            Some(report) if report.foreign => Some("this monitor reported that the port is somebody else's"),
            Some(report) if report.passing == Some(false) => None,
            Some(_) => Some("this monitor's last report of the check does not say failing"),
        }
    }

    pub(super) fn case(&self, service: &Service, request: &RestartRequest, now: BootInstant) -> Case {
        let leaving = if self.going.is_some() {
            Some("the supervisor is shutting down")
        } else {
            self.stop_queue.contains(&service.name).then_some("stopped by a person")
        };
        let unit = |name: &Name| self.services.get(name).map(|service| &service.unit);
        let bad = |name: &Name| self.services.get(name).is_some_and(is_bad);
        let check = request.fault.check().and_then(|check| service.spec.checks.get(check));
        let timeout = check.map_or(Duration::ZERO, |check| check.timeout);
        let finding = Finding {
            run: service.unit.began().unwrap_or(now),
            look: BootInstant::since_boot(now.elapsed().saturating_sub(timeout)),
        };
        let standing = Standing {
            leaving,
            paused: service.is_paused(),
            start_period: check.map_or(Duration::ZERO, |check| check.start_period),
            suspect: deps::suspect(&service.spec.depends_on, unit, bad, finding).cloned(),
        };
        Case::of(&service.unit, request, standing, now)
    }

    /// Returns why restarts are held for the whole host, and for how long at least.
    pub(super) fn brake_holds(&self, now: BootInstant) -> Option<(String, Duration)> {
        let brake = &self.config.supervisor.brake;
        // A service that became unhealthy and is being restarted still counts, also in the total it is compared to.
        let counts = |service: &&Service| service.unit.is_ready() || self.brake.has(&service.name);
        let checked = || self.services.values().filter(|s| !s.spec.checks.is_empty()).filter(counts);
        let intervals =
            checked().flat_map(|service| service.spec.checks.values().map(|check| check.interval));
        let longest = intervals.max().unwrap_or_default();
        let why = self.brake.holds(brake, checked().count(), longest, now)?;
        Some((why, brake.window.max(longest)))
    }

    /// Enters request and ruling into the journal, and carries the ruling out.
    pub(super) fn enter(
        &mut self,
        entry: RequestEntry,
        name: &Name,
        ruling: &Ruling,
        now: BootInstant,
    ) -> u64 {
        match ruling.decision {
            Decision::Accepted => self.accept(entry, name, ruling, now),
            decision if decision.is_held() => self.hold(entry, name, ruling, now),
            _ => self.refuse(entry, name, ruling),
        }
    }

    fn accept(&mut self, entry: RequestEntry, name: &Name, ruling: &Ruling, now: BootInstant) -> u64 {
        // The earlier held request is the cause of the request that is granted now.
        let before = self.services[name].health.held.as_ref().map_or(0, |held| held.seq);
        let (fault, words) = (entry.request.fault.clone(), entry.message.clone());
        let reason = self.say_request(entry, name, before);
        let service = self.services.get_mut(name).expect("it was just found");
        let seq = self.world.tell(service, answered(ruling), reason, ruling.message.clone());
        service.health.release();
        if fault == Fault::Frozen {
            let words = Happening::fault(CauseKind::Frozen, words, Duration::ZERO);
            service.note_happening(&mut self.world, words);
        }
        service.note_happening(&mut self.world, Happening::Acted);
        service.request(Request::Ask, seq, now);
        seq
    }

    /// Reports a held request once for each fault; repeats are not reported.
    fn hold(&mut self, entry: RequestEntry, name: &Name, ruling: &Ruling, now: BootInstant) -> u64 {
        let until = ruling.retry_after.map(|after| now + after);
        let service = self.services.get_mut(name).expect("it was just found");
        let before = service.health.held.as_ref().map_or(0, |held| held.seq);
        if let Some(known) = service.health.held.as_mut().filter(|known| known.decision == ruling.decision) {
            (known.message, known.until) = (ruling.message.clone(), until);
            if known.faults.insert(entry.request.fault.clone()) && self.may_enter(&entry.request) {
                self.say_request(entry, name, before);
            }
            return before;
        }
        let faults = BTreeSet::from([entry.request.fault.clone()]);
        let seq = if self.may_enter(&entry.request) {
            let reason = self.say_request(entry, name, before);
            let again = ruling.retry_after.map(|after| format!(", asked again in {}", arbiter::took(after)));
            let message = format!("restart held: {}{}", ruling.message, again.unwrap_or_default());
            self.world.tell(&self.services[name], answered(ruling), reason, message)
        } else {
            before
        };
        let (decision, message) = (ruling.decision, ruling.message.clone());
        let service = self.services.get_mut(name).expect("it was just found");
        service.health.held = Some(Held { decision, message, until, faults, seq });
        seq
    }

    /// Reports that a restart is refused, or adds the reason to a restart that is under way. Repeats are counted.
    fn refuse(&mut self, mut entry: RequestEntry, name: &Name, ruling: &Ruling) -> u64 {
        let service = self.services.get_mut(name).expect("it was just found");
        let times = match service.health.answers.count(&entry.request, ruling.decision) {
            Asked::Again { seq } => return seq,
            Asked::Notable { times } => times,
        };
        let merged = ruling.decision == Decision::Merged;
        let cause = match &service.health.held {
            _ if merged => service.story.cause(),
            Some(held) => held.seq,
            None => 0,
        };
        if !self.may_enter(&entry.request) {
            return 0;
        }
        if times > 1 {
            entry.message = format!("{} (asked {times} times)", entry.message);
        }
        let request = entry.request.clone();
        let mut seq = self.say_request(entry, name, cause);
        if !merged {
            let message = format!("restart refused: {} ({})", ruling.decision, ruling.message);
            seq = self.world.tell(&self.services[name], answered(ruling), seq, message);
        }
        let service = self.services.get_mut(name).expect("it was just found");
        service.health.answers.told(&request, ruling.decision, seq);
        seq
    }

    fn say_request(&mut self, entry: RequestEntry, name: &Name, cause: u64) -> u64 {
        let RequestEntry { request, message, evidence } = entry;
        let asked = Detail::RestartAsked { fault: request.fault.word().into() };
        self.say_always(request.monitor.as_ref(), name, asked, (cause, message, evidence))
    }

    fn may_enter(&mut self, request: &RestartRequest) -> bool {
        request.monitor.as_ref().is_none_or(|monitor| self.may_cause_event(monitor))
    }
}

fn answered(ruling: &Ruling) -> Detail {
    Detail::RestartAnswered { answer: ruling.decision }
}

/// Returns whether one of its checks with `on_failure = "restart"` failed at its last try.
pub(super) fn is_bad(service: &Service) -> bool {
    service.unit.marks().is_some_and(|marks| {
        marks.iter().any(|(id, mark)| {
            let counts =
                service.spec.checks.get(id).is_some_and(|check| check.on_failure == OnFailure::Restart);
            counts && mark.is_bad()
        })
    })
}
