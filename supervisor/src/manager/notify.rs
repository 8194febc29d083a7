//! `NOTIFY_SOCKET`: where a service says that it is ready (the protocol of `sd_notify`).

use std::collections::BTreeMap;
use std::io;

use proto::Name;

use super::{Happened, Manager};
use crate::lifecycle::{Fact, Moment};
use crate::os::NotifySocket;
use crate::service::Service;
use crate::service::notify::{Account, Ears, Word, words};

/// Somebody listens there, for words of this user.
#[derive(Debug)]
pub(super) struct Listening {
    address: String,
    account: Account,
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
        let wanted: BTreeMap<Name, (String, Account)> = heard
            .map(|service| {
                let (user, group) = (service.spec.user.clone(), service.spec.group.clone());
                (service.name.clone(), (self.world.notify_address(service), Account { user, group }))
            })
            .collect();
        self.notify.retain(|name, at| {
            wanted
                .get(name)
                .is_some_and(|(address, account)| *address == at.address && *account == at.account)
        });
        for (name, (address, account)) in wanted {
            if !self.notify.contains_key(&name)
                && let Err(error) = self.listen(&name, address, account)
            {
                tracing::error!(service = %name, %error, "its notify socket could not be made");
            }
        }
    }

    fn listen(&mut self, name: &Name, address: String, account: Account) -> io::Result<()> {
        let kept = self.kept.notify(name.as_str());
        let kept = kept.and_then(|socket| NotifySocket::take_over(socket, &address));
        let socket = match kept {
            // What was said while nobody supervised is still in it.
            Some(socket) => socket,
            None => NotifySocket::bind(&address)?,
        };
        self.world.keepers.notify(name.as_str(), &socket);
        let (tell, service, mut ears) = (self.tell.clone(), name.clone(), Ears::of(account.clone()));
        let task = tokio::spawn(async move {
            while let Ok((text, uid)) = socket.receive().await {
                if !ears.hear(&service, uid) {
                    continue;
                }
                if tell.send(Happened::Notify { service: service.clone(), text }).is_err() {
                    return;
                }
            }
        });
        self.notify.insert(name.clone(), Listening { address, account, task: task.abort_handle() });
        Ok(())
    }

    /// A service said something.
    pub(super) fn notified(&mut self, name: &Name, text: &str, now: Moment) {
        // The old run has said it already: it is the new one that says it now.
        for key in [name.beside(), name.clone()] {
            let Some(service) = self.services.get_mut(&key) else { continue };
            let before = service.said.clone();
            words(text).for_each(|word| hear(service, word, now));
            if service.said != before {
                self.changes.grow();
            }
        }
    }
}

fn hear(service: &mut Service, word: Word<'_>, now: Moment) {
    match word {
        Word::Ready => service.unit.observe(now, Fact::Notified),
        Word::Status(status) => status.clone_into(&mut service.said.status),
        Word::Stopping => service.said.stopping = true,
        Word::Alive => service.said_alive(now),
        Word::MainPid(pid) => {
            tracing::info!(
                service = %service.name,
                "MAINPID={pid} is ignored: its process is the one that was started"
            );
        }
    }
}
