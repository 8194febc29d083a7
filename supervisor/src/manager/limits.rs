//! Runs that use more memory than they may, and runs that are frozen: examined on a separate thread and judged here. A
//! freeze is decided like a monitor's request: one fault causes one restart, whichever source saw it first.

use proto::Name;

use super::restart_requests::RequestEntry;
use super::{Happened, Manager};
use crate::incidents::{CauseKind, Happening};
use crate::journal::{Detail, Kind};
use crate::lifecycle::arbiter::{self, Decision, Fault, RestartRequest};
use crate::lifecycle::{BootInstant, Request};
use crate::os::{self, Look};
use crate::service::Service;
use crate::service::limits::Finding;

/// The result of a look at one run.
#[derive(Debug)]
pub(super) struct Seen {
    service: Name,
    incarnation: u64,
    look: Look,
}

impl Manager {
    /// Examines every run that is due for a look.
    pub(super) fn look_at_limits(&mut self, now: BootInstant) {
        let due = self.services.runs_mut().filter_map(|service| {
            let to_look_at = service.due_to_be_looked_at(now)?;
            Some((service.name.clone(), service.unit.incarnation(), to_look_at))
        });
        let due: Vec<_> = due.collect();
        if due.is_empty() {
            return;
        }
        let tell = self.tell.clone();
        tokio::task::spawn_blocking(move || {
            let seen = due.into_iter().map(|(service, incarnation, whom)| Seen {
                service,
                incarnation,
                look: whom.look(),
            });
            // Fails only if the manager has ended.
            let _ = tell.send(Happened::Seen(seen.collect()));
        });
    }

    pub(super) fn seen(&mut self, all: Vec<Seen>) {
        let now = os::now();
        for seen in all {
            let Some(service) = self.services.get_mut(&seen.service) else { continue };
            // Skip a run that is gone or will end anyway. A second run is judged by its readiness.
            if service.unit.incarnation() != seen.incarnation || !service.unit.is_started() {
                continue;
            }
            let evidence = evidence(service);
            match service.looked_at(&seen.look, evidence.as_deref(), now) {
                Some(Finding::Memory(words)) => self.unburden(&seen.service, &words, now),
                Some(Finding::Frozen(why)) => self.frozen(&seen.service, &why, now),
                Some(Finding::Thawed) => self.thawed(&seen.service),
                None => {}
            }
        }
    }

    /// Restarts a service that uses more memory than it may; this does not count as a crash.
    fn unburden(&mut self, name: &Name, words: &str, now: BootInstant) {
        let service = &self.services[name];
        let case = self.case(service, &own_request(service, Fault::Memory), now);
        // A pause prevents it; that the service is still starting, or that another service is unhealthy, does not.
        if case.not_wanted.is_some() || case.restarting || case.paused {
            return;
        }
        let service = self.services.get_mut(name).expect("it was just found");
        let seq = self.world.tell(
            service,
            Detail::RestartAsked { fault: "memory".into() },
            0,
            format!("{words}: restart"),
        );
        let fault = Happening::fault(CauseKind::Memory, words.into(), std::time::Duration::ZERO);
        service.note_happening(&mut self.world, fault);
        service.note_happening(&mut self.world, Happening::Acted);
        service.request(Request::Unburden, seq, now);
        tracing::warn!(service = %name, "{words}: restart");
    }

    fn frozen(&mut self, name: &Name, why: &str, now: BootInstant) {
        let Some(service) = self.services.get_mut(name) else { return };
        let limits = service.processes.limits.as_mut();
        let news = limits.is_some_and(|limits| limits.frozen.replace(why.into()).is_none());
        let words = format!("watchdog: {why}");
        if news {
            tracing::warn!(service = %name, "{words}");
        }
        let service = &self.services[name];
        if service.only_reports_freezes() {
            if news {
                self.world.tell(service, Kind::Check, 0, words);
            }
            return;
        }
        let request = own_request(service, Fault::Frozen);
        let (case, brake) = (self.case(service, &request, now), self.brake_holds(now));
        let Self { services, brake: host, .. } = self;
        let service = services.get_mut(name).expect("it was just found");
        let budget = service.spec.restart.monitor_budget;
        let ruling = arbiter::decide(&case, &mut service.health.ledger, budget, (host, brake), now);
        // A refusal is reported once: the request is repeated at the next look.
        if news || ruling.decision == Decision::Accepted || ruling.decision.is_held() {
            self.tally.decided(ruling.decision);
            let entry = RequestEntry { request, message: words, evidence: String::new() };
            self.enter(entry, name, &ruling, now);
        }
    }

    fn thawed(&mut self, name: &Name) {
        let Some(service) = self.services.get_mut(name) else { return };
        service.health.mended(&Fault::Frozen);
        self.world.tell(service, Kind::Check, 0, "watchdog: it moves again".into());
    }
}

/// Builds a request of the supervisor itself about the current run.
fn own_request(service: &Service, fault: Fault) -> RestartRequest {
    RestartRequest { monitor: None, fault, incarnation: service.unit.incarnation() }
}

/// Returns what shows that work waits for a service: a check that fails, reported by a monitor that is attached.
fn evidence(service: &Service) -> Option<String> {
    let marks = service.unit.marks()?;
    marks.iter().find_map(|(id, mark)| {
        let (_, report) = service.health.reports.of(id)?;
        let bad = (mark.is_bad() || report.stalled) && !report.foreign && mark.watched.is_some();
        bad.then(|| match report.detail.as_str() {
            _ if report.stalled => format!("{id} accepts nobody"),
            "" => format!("{id} fails"),
            detail => format!("{id} fails: {detail}"),
        })
    })
}
