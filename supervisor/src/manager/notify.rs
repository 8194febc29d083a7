//! Handles `NOTIFY_SOCKET`, where a service reports readiness and status (the protocol of `sd_notify`).

use super::Manager;
use crate::journal::Kind;
use crate::lifecycle::{BootInstant, Fact};
use crate::service::notify::{Word, words};
use crate::service::{Notification, Service};

impl Manager {
    /// Listens to runs that an earlier supervisor began, and to runs with deleted sockets; a start binds its own
    /// socket.
    pub(super) fn listen_to_running(&mut self) {
        let Self { services, world, kept, .. } = self;
        for service in services.values() {
            let name = &service.name;
            let earlier = kept.notify(name.as_str());
            if service.processes.run.is_none() || !service.is_listened_to() {
                continue;
            }
            if let Err(error) = world.listen_to(service, earlier) {
                tracing::error!(service = %name, "{error}");
                world.tell(
                    service,
                    Kind::Check,
                    service.story.began,
                    format!("nothing is heard from it: {error}"),
                );
            }
        }
    }

    /// Closes the notify sockets of services that no longer use them.
    pub(super) fn close_notify_sockets(&mut self) {
        let Self { services, world, .. } = self;
        world.notify.retain(|name| services.get(name).is_some_and(Service::is_listened_to));
    }

    /// Handles a message on the notify socket of a service. Only the service's own processes are accepted: another
    /// service of the same user can send there too.
    pub(super) fn notified(&mut self, notification: &Notification, now: BootInstant) {
        let Notification { service: name, sender, text } = notification;
        let mut heard = false;
        for service in self.services.of_name_mut(name).filter(|service| service.is_sender(*sender)) {
            heard = true;
            words(text).for_each(|word| hear(service, word, now));
        }
        if !heard && self.world.notify.is_first_stranger(name) {
            tracing::warn!(
                service = %name,
                pid = sender.unwrap_or_default(),
                "a message to its notify socket was ignored: the sender is no process of its current run, or had ended \
                 before it could be looked at"
            );
        }
    }
}

fn hear(service: &mut Service, word: Word<'_>, now: BootInstant) {
    match word {
        Word::Ready => service.unit.observe(now, Fact::Notified),
        Word::Status(status) => {
            service.health.said.status = status.chars().map(proto::text::printable).collect();
        }
        Word::Stopping => service.health.said.stopping = true,
        Word::Alive => service.said_alive(now),
        Word::MainPid(pid) => {
            if !std::mem::replace(&mut service.health.said.main_pid_ignored, true) {
                tracing::info!(
                    service = %service.name,
                    "MAINPID={pid} is ignored: its process is the one that was started"
                );
            }
        }
    }
}
