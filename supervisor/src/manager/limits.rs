//! Runs that use more memory than they may, and runs that are frozen: looked at on a thread of their own, and judged
//! here. A freeze is asked about like a monitor's request: one restart for one fault, whoever saw it first.

use proto::Name;
use proto::v1::Decision;

use super::command::Ask;
use super::{Happened, Manager};
use crate::journal::Kind;
use crate::lifecycle::arbiter::{self, Ruling};
use crate::lifecycle::{Moment, Request};
use crate::os::{self, Look};
use crate::service::limits::Finding;
use crate::service::{Held, Service};

/// Whose request it is, beside the checks' own.
const WATCHDOG: &str = "watchdog";

/// A look at one run.
#[derive(Debug)]
pub(super) struct Seen {
    service: Name,
    incarnation: u64,
    look: Look,
}

impl Manager {
    /// Has everybody looked at whose time has come.
    pub(super) fn look_at_limits(&mut self, now: Moment) {
        let due = self.services.iter_mut().filter_map(|(key, service)| {
            let to_look_at = service.due_to_be_looked_at(now)?;
            Some((key.clone(), service.unit.incarnation(), to_look_at))
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
            // Of a run that is gone, or is to go anyway; one that is to take another's place is its own proof.
            let gone = service.unit.incarnation() != seen.incarnation || !service.unit.is_started();
            if gone || service.is_second() {
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

    /// It uses more memory than it may: a restart, and no crash.
    fn unburden(&mut self, name: &Name, words: &str, now: Moment) {
        let service = &self.services[name];
        let case = self.case(service, &ask_about(service, "memory_max"), now);
        // A pause holds it; that it is still starting, or that something else is sick, does not.
        if case.not_wanted.is_some() || case.restarting || case.paused {
            return;
        }
        let service = self.services.get_mut(name).expect("it was just found");
        service.cause = self.world.tell(service, Kind::Decision, 0, format!("{words}: restart"));
        service.unit.request(now, Request::Unburden);
        tracing::warn!(service = %name, "{words}: restart");
    }

    fn frozen(&mut self, name: &Name, why: &str, now: Moment) {
        let Some(service) = self.services.get_mut(name) else { return };
        let news = service.limits.as_mut().is_some_and(|limits| limits.frozen.replace(why.into()).is_none());
        let only_reports = service.only_reports_freezes();
        let seq = if news {
            tracing::warn!(service = %name, "frozen: {why}");
            self.world.tell(service, Kind::Check, 0, format!("watchdog: {why}"))
        } else {
            0
        };
        self.changed();
        if only_reports {
            return;
        }
        let service = &self.services[name];
        let ask = ask_about(service, WATCHDOG);
        let (case, brake) = (self.case(service, &ask, now), self.brake_holds(now));
        let Self { services, brake: host, .. } = self;
        let service = services.get_mut(name).expect("it was just found");
        let budget = service.spec.restart.monitor_budget;
        let ruling = arbiter::decide(&case, &mut service.ledger, budget, (host, brake), now);
        self.rule_on_freeze(name, &ask.check, &ruling, (seq, news), now);
    }

    /// Does what was decided; what was held or refused is said once.
    fn rule_on_freeze(&mut self, name: &Name, of: &Name, ruling: &Ruling, said: (u64, bool), now: Moment) {
        let Self { services, world, .. } = self;
        let Some(service) = services.get_mut(name) else { return };
        let (reason, news) = said;
        if ruling.decision == Decision::Accepted {
            let seq = world.tell(service, Kind::Decision, reason, ruling.message.clone());
            service.held = None;
            service.cause = seq;
            service.unit.request(now, Request::Ask);
            return;
        }
        let was = service.held.as_ref().filter(|held| held.check == *of).map(|held| held.decision);
        if ruling.decision.is_held() {
            service.held = Some(Held {
                decision: ruling.decision,
                message: ruling.message.clone(),
                until: ruling.retry_after.map(|after| now + after),
                check: of.clone(),
            });
        }
        if news || (ruling.decision.is_held() && was != Some(ruling.decision)) {
            let message = if ruling.decision.is_held() {
                ruling.message.clone()
            } else {
                format!("restart refused: {} ({})", ruling.decision, ruling.message)
            };
            world.tell(service, Kind::Decision, reason, message);
        }
    }

    fn thawed(&mut self, name: &Name) {
        let Some(service) = self.services.get_mut(name) else { return };
        if service.held.as_ref().is_some_and(|held| held.check.as_str() == WATCHDOG) {
            service.held = None;
        }
        self.world.tell(service, Kind::Check, 0, "watchdog: it moves again".into());
        self.changed();
    }
}

/// A request of our own, as if a monitor had made it.
fn ask_about(service: &Service, check: &str) -> Ask {
    let name = |text: &str| Name::new(text).expect("it is a name");
    Ask {
        monitor: name("supervisor"),
        service: service.name.to_string(),
        incarnation: service.unit.incarnation(),
        check: name(check),
        failures: 0,
        summary: String::new(),
        evidence: String::new(),
    }
}

/// What shows that work is waiting for a service: a check that fails, by the word of a monitor that is there.
fn evidence(service: &Service) -> Option<String> {
    let marks = service.unit.marks()?;
    marks.iter().find_map(|(id, mark)| {
        let (_, report) = service.reports.of(id)?;
        let bad = (mark.is_bad() || report.stalled) && !report.foreign && mark.watched.is_some();
        bad.then(|| match report.detail.as_str() {
            _ if report.stalled => format!("{id} accepts nobody"),
            "" => format!("{id} fails"),
            detail => format!("{id} fails: {detail}"),
        })
    })
}
