//! Starts and `stop.command`s whose needs are looked up by another thread: goes on once they are found, or once it is
//! clear that they will not be.

use super::services::RunKey;
use super::{Happened, Manager};
use crate::lifecycle::{BootInstant, Fact};
use crate::os;
use crate::service::plan::PlanError;
use crate::service::{Plan, Prepared, Purpose, Service};

impl Manager {
    /// Returns what hands over the result of a look.
    pub(super) fn answer(&self) -> impl FnOnce(Prepared) + Send + use<> {
        let tell = self.tell.clone();
        // Fails only if the manager has ended.
        move |prepared| drop(tell.send(Happened::Prepared(prepared)))
    }

    /// Begins a start.
    pub(super) fn spawn(&mut self, key: &RunKey, incarnation: u64) {
        let answer = self.answer();
        let Self { services, world, .. } = self;
        let Some(service) = services.run_mut(key) else { return };
        if let Some(fact) = service.spawn(world, incarnation, answer) {
            self.spawned(key, fact);
        }
    }

    fn spawned(&mut self, key: &RunKey, fact: Fact) {
        let Some(service) = self.services.run_mut(key) else { return };
        let is_up = matches!(fact, Fact::Spawned);
        service.unit.observe(os::now(), fact);
        if is_up {
            self.watch_exit(key);
            self.look_for_stranger(key);
        }
    }

    /// Takes the result of a look, unless it is not waited for any more.
    pub(super) fn prepared(&mut self, prepared: Prepared) {
        let Prepared { service: name, number, plan } = prepared;
        let waiting = self
            .services
            .of_name_mut(&name)
            .find_map(|service| Some((service.preparation.take(number)?, service.key())));
        if let Some((purpose, key)) = waiting {
            self.go_on_with(&key, purpose, plan);
        }
    }

    /// Goes on without what could not be found in time, begins looks that had to wait for an earlier one, and forgets
    /// starts that are not wanted any more.
    pub(super) fn look_at_preparations(&mut self, now: BootInstant) {
        let is_due =
            |service: &Service| service.preparation.deadline().is_some() || service.needs_rights(now);
        for key in self.services.keys_where(is_due) {
            let answer = self.answer();
            let Self { services, world, .. } = self;
            let Some(service) = services.run_mut(&key) else { continue };
            if !service.unit.is_wanted() && service.preparation.withdraw_start() {
                service.unit.observe(now, Fact::Hindered("stopped before it began".into()));
            } else if let Some(purpose) = service.preparation.take_overdue(now) {
                let why = service.no_answer();
                self.go_on_with(&key, purpose, Err(why));
            } else if service.can_look_up() {
                if let Err(error) = service.look_up(world, answer) {
                    tracing::warn!(service = %key.name, "{error}");
                }
            } else if service.needs_rights(now)
                && let Err(error) = service.prepare(world, Purpose::Checks, now, answer)
            {
                service.preparation.take_rights(Err(PlanError::Unknown(error.to_string())), now);
            }
        }
    }

    fn go_on_with(&mut self, key: &RunKey, purpose: Purpose, plan: Result<Plan, PlanError>) {
        let Self { services, world, .. } = self;
        let Some(service) = services.run_mut(key) else { return };
        match purpose {
            Purpose::Start(incarnation) if service.unit.is_wanted() => {
                let fact = service.spawn_with(world, incarnation, plan);
                self.spawned(key, fact);
            }
            Purpose::Start(_) => {
                service.unit.observe(os::now(), Fact::Hindered("stopped before it began".into()));
            }
            Purpose::Stop { incarnation, argv } => {
                let run = service.processes.run.as_ref();
                // The run may have ended meanwhile.
                if run.is_some_and(|run| run.incarnation == incarnation) {
                    service.run_stop_command(world, &argv, plan);
                    self.watch_stopper(key);
                }
            }
            Purpose::Checks => service.preparation.take_rights(plan, os::now()),
        }
    }

    /// Returns a service that holds up the thread that looks for it.
    pub(super) fn held_up(&self) -> Option<&Service> {
        let now = os::now();
        self.services.runs().find(|service| service.preparation.is_stuck(now))
    }
}
