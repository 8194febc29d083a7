//! Incidents: what happened to services in a turn is looked at when the turn is over, and opens and closes them.

use std::time::Duration;

use proto::Name;
use sereno_config::OnFailure;

use super::Manager;
use super::restart_requests::is_bad;
use crate::incidents::{CauseKind, Change, Happening, Incident};
use crate::journal::{Detail, Entry};
use crate::lifecycle::arbiter::took;
use crate::lifecycle::{BootInstant, Exit, policy};
use crate::service::Service;
use crate::service::world::World;

impl Manager {
    /// Opens and closes incidents, by what has happened since the last time and by what is.
    pub(super) fn settle_incidents(&mut self, now: BootInstant) {
        let noted = self.world.incidents.take_notes();
        let is_calm = noted.is_empty() && self.world.incidents.all_open().next().is_none();
        if is_calm && !self.braked {
            return;
        }
        for occurrence in noted {
            self.settle(occurrence);
        }
        for (name, what) in self.over_by_now() {
            let run = self.services.get(&name).map_or(0, |service| service.unit.incarnation());
            self.world.incidents.note(&name, run, 0, what);
        }
        for occurrence in self.world.incidents.take_notes() {
            self.settle(occurrence);
        }
        let brake = self.brake_holds(now);
        if brake.is_some() {
            self.world.incidents.suspect_host();
        }
        let on = brake.is_some();
        if std::mem::replace(&mut self.braked, on) != on {
            let message = match brake {
                Some((why, _)) => format!("restarts are held for the whole host: {why}"),
                None => "restarts are no longer held for the whole host".into(),
            };
            self.world.tell_own(Detail::Brake { on }, message);
        }
        self.world.incidents.flush();
    }

    fn settle(&mut self, occurrence: crate::incidents::Occurrence) {
        let Self { world, services, .. } = self;
        let needs = |name: &Name| {
            services
                .get(name)
                .map_or_else(Vec::new, |service| service.spec.depends_on.keys().cloned().collect())
        };
        let (service, event) = (occurrence.service.clone(), occurrence.event);
        let serves = occurrence.what == Happening::Serves;
        let change = world.incidents.handle(occurrence, world.journal.next_number(), &needs);
        let (what, run, message) = match change {
            None => return,
            Some(Change::Opened(incident)) => {
                let detail = Detail::IncidentOpened { incident: incident.id };
                (detail, incident.first_run, format!("incident begins: {}", incident.cause.text))
            }
            Some(Change::Closed(incident)) => {
                if serves {
                    self.tally.recoveries.add(incident.downtime(0));
                }
                closed(&incident)
            }
        };
        world.journal.add(Entry {
            cause: event,
            source: "supervisor",
            service: Some(&service),
            incarnation: run,
            what: what.into(),
            message,
            evidence: String::new(),
        });
    }

    /// Returns the services whose incident is over although nothing said so, as after a death of the supervisor.
    fn over_by_now(&self) -> Vec<(Name, Happening)> {
        let over = |(name, incident): (&Name, &Incident)| {
            let Some(service) = self.services.get(name) else {
                return Some((name.clone(), Happening::Unwanted));
            };
            if !service.unit.is_wanted() && !service.unit.is_completed() {
                return Some((name.clone(), Happening::Unwanted));
            }
            let is_newer = service.unit.incarnation() > incident.first_run;
            let serves = service.unit.is_completed()
                || service.unit.is_ready()
                    && service.unit.ends_because().is_none()
                    && service.frozen().is_none()
                    && !is_bad(service)
                    && (is_newer || is_well(service));
            serves.then(|| (name.clone(), Happening::Serves))
        };
        self.world.incidents.all_open().filter_map(over).collect()
    }
}

/// Returns whether every check of a service that may restart it is known to pass, and there is one.
fn is_well(service: &Service) -> bool {
    let mut counting = service
        .spec
        .checks
        .iter()
        .filter(|(_, check)| check.on_failure == OnFailure::Restart)
        .map(|(id, _)| service.health.reports.of(id).and_then(|(_, report)| report.passing))
        .peekable();
    counting.peek().is_some() && counting.all(|passing| passing == Some(true))
}

fn closed(incident: &Incident) -> (Detail, u64, String) {
    let down = incident.downtime(0);
    let detail = Detail::IncidentClosed {
        incident: incident.id,
        down: u64::try_from(down.as_millis()).unwrap_or(u64::MAX),
    };
    let by = incident.healed_by.map_or("", |by| match by {
        crate::incidents::HealedBy::Supervisor => ", healed by a restart",
        crate::incidents::HealedBy::Person => ", ended by a person",
        crate::incidents::HealedBy::Itself => ", healed by itself",
    });
    (detail, incident.last_run, format!("incident over: down {}{by}", took(down)))
}

impl Service {
    /// Notes something that matters to incidents, if it is about one of the user's services that is to run all the time.
    pub fn note_happening(&self, world: &mut World, what: Happening) {
        let is_served_by = self.is_users() && !self.is_second() && self.spec.schedule.is_none();
        if is_served_by {
            let event = self.story.cause();
            world.incidents.note(&self.name, self.unit.incarnation(), event, what);
        }
    }

    /// Notes that it ended although nobody had told it to; not if that is how it ends well.
    pub fn note_crash(&self, world: &mut World, exit: &Exit, out_of_memory: bool, words: &str) {
        if policy::verdict(&self.spec.restart, exit) != policy::Verdict::Completed && self.unit.is_wanted() {
            let kind = if out_of_memory { CauseKind::OutOfMemory } else { CauseKind::Crash };
            self.note_happening(world, Happening::fault(kind, words.into(), Duration::ZERO));
        }
    }
}
