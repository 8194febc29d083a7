//! The notify sockets of all services: bound at each start, and read by a task each.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use proto::Name;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::os::{FdStores, Handle, Ids, NotifySocket};

/// Messages that wait for the manager; the sockets of services that send more fill up meanwhile.
const WAITING: usize = 64;

/// A service that floods its socket is read at most `BURST` times per `BURST_PERIOD`.
const BURST: u32 = 32;
const BURST_PERIOD: Duration = Duration::from_millis(100);

/// A message that came through the notify socket of a service.
#[derive(Debug)]
pub struct Notification {
    /// Whose socket it came through.
    pub service: Name,
    /// The pid of the sender; `None` where the system does not tell.
    pub sender: Option<u32>,
    /// The message.
    pub text: String,
}

/// The notify sockets of all services.
#[derive(Debug)]
pub struct NotifySockets {
    received: mpsc::Sender<Notification>,
    listening: BTreeMap<Name, Listening>,
}

/// One socket, and the task that reads it.
#[derive(Debug)]
struct Listening {
    address: String,
    /// Device and inode of the socket in its folder.
    identity: Option<(u64, u64)>,
    task: tokio::task::AbortHandle,
    /// A sender that does not belong to the service was logged since the last start.
    stranger_logged: bool,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NotifySockets {
    /// None yet; the second half receives what comes through them.
    pub fn new() -> (Self, mpsc::Receiver<Notification>) {
        let (received, notifications) = mpsc::channel(WAITING);
        (Self { received, listening: BTreeMap::new() }, notifications)
    }

    /// Listens at an address for a service that runs as `ids`. A socket that still stands there is kept, with what was
    /// sent to it; else `earlier` is taken over, which an earlier supervisor bound; else a new one is bound. Needs a
    /// tokio runtime.
    pub fn listen(
        &mut self,
        service: &Name,
        address: String,
        ids: Option<&Ids>,
        earlier: Option<Handle>,
        fd_stores: &FdStores,
    ) -> io::Result<()> {
        if let Some(listening) = self.listening.get_mut(service) {
            if listening.is_at(&address) {
                listening.stranger_logged = false;
                return Ok(());
            }
            NotifySocket::remove(&listening.address);
            self.listening.remove(service);
        }
        let socket = match earlier.and_then(|socket| NotifySocket::take_over(socket, &address)) {
            Some(socket) => socket,
            None => NotifySocket::bind(&address, ids)?,
        };
        fd_stores.notify(service.as_str(), &socket);
        let identity = NotifySocket::identity_at(&address);
        let task = tokio::spawn(receive(socket, service.clone(), self.received.clone())).abort_handle();
        let listening = Listening { address, identity, task, stranger_logged: false };
        self.listening.insert(service.clone(), listening);
        Ok(())
    }

    /// Whether a sender that does not belong to the service is to be logged: the first one after each start.
    pub fn is_first_stranger(&mut self, service: &Name) -> bool {
        let listening = self.listening.get_mut(service);
        listening.is_some_and(|listening| !std::mem::replace(&mut listening.stranger_logged, true))
    }

    /// Removes the sockets of all other services. Dropped, they stay for the next supervisor.
    pub fn retain(&mut self, is_wanted: impl Fn(&Name) -> bool) {
        self.listening.retain(|service, listening| {
            let wanted = is_wanted(service);
            if !wanted {
                NotifySocket::remove(&listening.address);
            }
            wanted
        });
    }
}

impl Listening {
    fn is_at(&self, address: &str) -> bool {
        let is_bound = self.identity.is_some() && NotifySocket::identity_at(address) == self.identity;
        self.address == address && is_bound && !self.task.is_finished()
    }
}

/// Passes on what comes through a socket, until the manager is gone.
async fn receive(socket: NotifySocket, service: Name, received: mpsc::Sender<Notification>) {
    let (mut began, mut count) = (Instant::now(), 0);
    while let Ok((text, sender)) = socket.receive().await {
        if received.send(Notification { service: service.clone(), sender, text }).await.is_err() {
            return;
        }
        count += 1;
        if began.elapsed() > BURST_PERIOD {
            (began, count) = (Instant::now(), 0);
        } else if count >= BURST {
            sleep_until(began + BURST_PERIOD).await;
            (began, count) = (Instant::now(), 0);
        }
    }
}
