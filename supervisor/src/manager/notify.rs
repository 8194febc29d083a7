//! `NOTIFY_SOCKET`: where a service says that it is ready (the protocol of `sd_notify`).

use std::io;

use daemon_kit::file::Ready;
use proto::Name;

use super::{Happened, Manager};
use crate::os::NotifySocket;

impl Manager {
    /// Listens for every service that is ready when it says so, and for no other.
    pub(super) fn listen_for_notify(&mut self) {
        let wants = |ready: &[Ready]| ready.iter().any(|ready| matches!(ready, Ready::Notify));
        let wanted: Vec<Name> = self
            .services
            .values()
            .filter(|service| !service.is_second() && wants(&service.spec.ready))
            .map(|service| service.name.clone())
            .collect();
        self.notify.retain(|name, task| {
            wanted.contains(name) || {
                task.abort();
                false
            }
        });
        for name in wanted {
            if !self.notify.contains_key(&name)
                && let Err(error) = self.listen(&name)
            {
                tracing::error!(service = %name, %error, "its notify socket could not be made");
            }
        }
    }

    fn listen(&mut self, name: &Name) -> io::Result<()> {
        let kept = self.kept.notify(name.as_str()).and_then(|socket| NotifySocket::take_over(socket).ok());
        let socket = match kept {
            // What was said while nobody supervised is still in it.
            Some(socket) => socket,
            None => NotifySocket::bind(&self.world.notify_path(name))?,
        };
        self.world.keepers.notify(name.as_str(), &socket);
        let (tell, service) = (self.tell.clone(), name.clone());
        let task = tokio::spawn(async move {
            while let Ok(text) = socket.receive().await {
                if tell.send(Happened::Notify { service: service.clone(), text }).is_err() {
                    return;
                }
            }
        });
        self.notify.insert(name.clone(), task.abort_handle());
        Ok(())
    }
}
