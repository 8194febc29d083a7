//! `NOTIFY_SOCKET`: where a service says that it is ready (the protocol of `sd_notify`).

use std::io;

use proto::Name;

use super::{Happened, Manager};
use crate::lifecycle::{Fact, Moment};
use crate::os::NotifySocket;
use crate::service::Service;
use crate::service::notify::{Word, words};

/// Somebody listens there.
#[derive(Debug)]
pub(super) struct Listening {
    address: String,
    task: tokio::task::AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Manager {
    /// Listens for every service that says something of itself, and for no other.
    pub(super) fn listen_for_notify(&mut self) {
        let heard = self.services.values().filter(|service| !service.is_second() && service.is_listened_to());
        let wanted: Vec<(Name, String)> =
            heard.map(|service| (service.name.clone(), self.world.notify_address(service))).collect();
        let stays = |name: &Name, at: &Listening| wanted.iter().any(|(n, a)| n == name && *a == at.address);
        self.notify.retain(|name, listening| stays(name, listening));
        for (name, address) in wanted {
            if !self.notify.contains_key(&name)
                && let Err(error) = self.listen(&name, address)
            {
                tracing::error!(service = %name, %error, "its notify socket could not be made");
            }
        }
    }

    fn listen(&mut self, name: &Name, address: String) -> io::Result<()> {
        let kept = self.kept.notify(name.as_str());
        let kept = kept.and_then(|socket| NotifySocket::take_over(socket, &address));
        let socket = match kept {
            // What was said while nobody supervised is still in it.
            Some(socket) => socket,
            None => NotifySocket::bind(&address)?,
        };
        self.world.keepers.notify(name.as_str(), &socket);
        let (tell, service) = (self.tell.clone(), name.clone());
        let task = tokio::spawn(async move {
            while let Ok((text, uid)) = socket.receive().await {
                if tell.send(Happened::Notify { service: service.clone(), text, uid }).is_err() {
                    return;
                }
            }
        });
        self.notify.insert(name.clone(), Listening { address, task: task.abort_handle() });
        Ok(())
    }

    /// A service said something.
    pub(super) fn notified(&mut self, name: &Name, text: &str, uid: Option<u32>, now: Moment) {
        let Some(service) = self.services.get(name) else { return };
        if !service.may_speak(uid) {
            tracing::warn!(service = %name, ?uid, "a stranger speaks into its notify socket; passed over");
            return;
        }
        // The old run has said it already: it is the new one that says it now.
        for key in [name.beside(), name.clone()] {
            if let Some(service) = self.services.get_mut(&key) {
                words(text).for_each(|word| hear(service, word, now));
            }
        }
        self.changed();
    }
}

fn hear(service: &mut Service, word: Word<'_>, now: Moment) {
    match word {
        Word::Ready => service.unit.observe(now, Fact::Notified),
        Word::Status(status) => status.clone_into(&mut service.said.status),
        Word::Stopping => service.said.stopping = true,
        Word::Alive => service.said_alive(now),
        Word::MainPid(pid) => {
            tracing::info!(service = %service.name, "MAINPID={pid} is ignored: its process is the one that was started");
        }
    }
}
