//! What was asked is written down before it is done and before it is answered: a supervisor that is killed in the next
//! moment is followed by one that goes on with it.

use std::io;

use proto::Name;

use super::Manager;
use crate::disk::wal::Wal;
use crate::lifecycle::{BootInstant, Request, WhyEnd};
use crate::service::{Role, Service};

impl Manager {
    /// Whether each service is wanted up, as far as that has changed. Tried again each turn until it is written.
    pub(super) fn write_down_wants(&mut self) {
        if self.going.is_some() {
            // A `down` is a word of its own, and leaves what is wanted to the next `up`.
            return;
        }
        let Self { services, world, stop_queue, .. } = self;
        for service in services.values_mut().filter(|service| !service.is_second()) {
            let wanted = service.unit.is_wanted() && !stop_queue.contains(&service.name);
            if wanted != service.written_wanted && world.wal.wanted(service.name.as_str(), wanted).is_ok() {
                service.written_wanted = wanted;
            }
        }
    }

    /// Which runs were told to go so that another follows, as far as that is not written down yet.
    pub(super) fn write_down_ends(&mut self) {
        let Self { services, world, .. } = self;
        for service in services.values_mut().filter(|service| service.unit.is_alive()) {
            if let Some(why) = service.unit.ends_because() {
                let _ = write_down_end(service, &mut world.wal, why);
            }
        }
    }

    /// Something that was asked for a service; what to add to the answer where it could not be written down.
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

    /// A run is about to be replaced by another. Where that can not be written down the next start could not be either:
    /// then the run is not to be touched.
    pub(super) fn remember_restart(&mut self, name: &Name) -> io::Result<()> {
        let Self { services, world, .. } = self;
        let Some(service) = services.get_mut(name).filter(|service| !service.is_second()) else {
            return Ok(());
        };
        if service.unit.is_alive() {
            write_down_end(service, &mut world.wal, WhyEnd::Restart)?;
        }
        world.wal.start(name.as_str())?;
        service.written_wanted = true;
        Ok(())
    }

    /// What was remembered of a restart holds no longer.
    pub(super) fn forget_restart(&mut self, name: &Name) {
        if let Some(service) = self.services.get_mut(name)
            && let Some(incarnation) = service.written_end.take()
        {
            let _ = self.world.wal.stays(name.as_str(), incarnation);
        }
    }

    /// Goes on with what an earlier supervisor was asked, once everything is taken up.
    pub(super) fn go_on(&mut self, found: &super::Found, by: u64, now: BootInstant) {
        for name in self.services.keys().cloned().collect::<Vec<_>>() {
            let service = &self.services[&name];
            if service.role != Role::Service {
                continue;
            }
            let (alive, incarnation) = (service.unit.is_alive(), service.unit.incarnation());
            if found.is_to_stop(&name) {
                // Also one that was told already: what it depends on waits until it is down.
                if service.unit.is_wanted() || !service.unit.is_down() {
                    self.stop_queue.insert(name);
                }
            } else if found.is_to_begin(&name) {
                // One that came and went unseen must not be judged by how it ended: it is to run.
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

/// A run is about to be told to go, and why; once for each run.
pub(super) fn write_down_end(service: &mut Service, wal: &mut Wal, why: WhyEnd) -> io::Result<()> {
    let run = service.unit.incarnation();
    // A stop is written down as such, and a run beside another leaves nothing behind.
    if why == WhyEnd::Stop || service.is_second() || service.written_end == Some(run) {
        return Ok(());
    }
    wal.ending(service.name.as_str(), run, why.into())?;
    service.written_end = Some(run);
    Ok(())
}
