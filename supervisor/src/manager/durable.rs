//! Requests are written to the write-ahead log before they are carried out and before they are answered: if the
//! supervisor is killed a moment later, the next one continues with them.

use std::io;

use proto::Name;

use super::Manager;
use super::services::RunKey;
use crate::disk::wal::Wal;
use crate::journal::Kind;
use crate::lifecycle::{BootInstant, Fact, Request, WhyEnd};
use crate::service::{Role, Service};

impl Manager {
    /// Writes down whether each service is wanted, where that has changed. Retried each turn until it is written.
    pub(super) fn write_down_wants(&mut self) {
        if self.going.is_some() {
            // A `down` has its own record, and leaves what is wanted to the next `up`.
            return;
        }
        let Self { services, world, stop_queue, .. } = self;
        for service in services.values_mut() {
            let wanted = service.unit.is_wanted() && !stop_queue.contains(&service.name);
            if wanted != service.written.wanted && world.wal.wanted(service.name.as_str(), wanted).is_ok() {
                service.written.wanted = wanted;
            }
        }
    }

    /// Writes down that a run ends. Returns `false` if that failed for a healthy run, which then goes on: without the
    /// record the service could not be started again either.
    pub(super) fn may_end(&mut self, key: &RunKey, why: WhyEnd, now: BootInstant) -> bool {
        let Self { services, world, .. } = self;
        let Some(service) = services.run_mut(key) else { return false };
        match write_down_end(service, &mut world.wal, why) {
            Err(error) if matches!(why, WhyEnd::Restart | WhyEnd::Asked) => {
                let reason = format!("no restart, pid {} goes on: {error}", service.processes.pid());
                world.tell(service, Kind::Decision, service.story.cause(), reason);
                service.unit.observe(now, Fact::NotTold);
                false
            }
            _ => true,
        }
    }

    /// Writes down which runs were told to end so that another follows, where that is not written down yet.
    pub(super) fn write_down_ends(&mut self) {
        let Self { services, world, .. } = self;
        for service in services.values_mut().filter(|service| service.unit.is_alive()) {
            if let Some(why) = service.unit.ends_because() {
                let _ = write_down_end(service, &mut world.wal, why);
            }
        }
    }

    /// Writes down a request for a service. Returns what to add to the answer if that failed.
    pub(super) fn remember(
        &mut self,
        name: &Name,
        write: impl FnOnce(&mut Wal, &str) -> io::Result<()>,
    ) -> String {
        match write(&mut self.world.wal, name.as_str()) {
            Ok(()) => String::new(),
            Err(error) => format!("; a supervisor that is killed now forgets it: {error}"),
        }
    }

    /// Writes down that a run will be replaced by another. If that fails, the next start could not be written down
    /// either, so the caller must leave the run alone.
    pub(super) fn remember_restart(&mut self, name: &Name) -> io::Result<()> {
        let Self { services, world, .. } = self;
        let Some(service) = services.get_mut(name) else { return Ok(()) };
        if service.unit.is_alive() {
            write_down_end(service, &mut world.wal, WhyEnd::Restart)?;
        }
        world.wal.start(name.as_str())?;
        service.written.wanted = true;
        Ok(())
    }

    /// Cancels a restart that was written down.
    pub(super) fn forget_restart(&mut self, name: &Name) {
        if let Some(service) = self.services.get_mut(name)
            && let Some(incarnation) = service.written.end.take()
        {
            let _ = self.world.wal.stays(name.as_str(), incarnation);
        }
    }

    /// Continues with the requests that an earlier supervisor had accepted, once everything is adopted.
    pub(super) fn go_on(&mut self, found: &super::Found, by: u64, now: BootInstant) {
        for name in self.services.names().cloned().collect::<Vec<_>>() {
            let service = &self.services[&name];
            if service.role != Role::Service {
                continue;
            }
            let (alive, incarnation) = (service.unit.is_alive(), service.unit.incarnation());
            if found.is_to_stop(&name) {
                // Also if it was told to stop already: its dependencies wait until it is down.
                if service.unit.is_wanted() || !service.unit.is_down() {
                    self.stop_queue.insert(name);
                }
            } else if found.is_to_begin(&name) {
                // A run that began and ended unseen must not be judged by its exit: the service is wanted.
                let request = if alive { Request::Start } else { Request::Restart };
                self.services.get_mut(&name).expect("it was just looked at").unit.request(now, request);
            } else if alive && found.is_to_reload(&name, incarnation) {
                let outcome = |ok, message: String| super::command::Outcome {
                    service: name.to_string(),
                    ok,
                    message,
                    incarnation,
                };
                self.reload(&name, by, now, &outcome);
            }
        }
    }
}

/// Writes down that a run is about to be told to end, and why; once for each run.
pub(super) fn write_down_end(service: &mut Service, wal: &mut Wal, why: WhyEnd) -> io::Result<()> {
    let run = service.unit.incarnation();
    // A stop has its own record, and a run beside another leaves nothing to write down.
    if why == WhyEnd::Stop || service.is_second() || service.written.end == Some(run) {
        return Ok(());
    }
    wal.ending(service.name.as_str(), run, why.into())?;
    service.written.end = Some(run);
    Ok(())
}
