//! The notify sockets of all services: bound at each start, each read by its own task.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use proto::Name;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::os::{FdStores, Handle, Ids, NotifySocket};

/// The most messages that wait for the manager; further messages wait in their sockets.
const WAITING: usize = 64;

/// A service that floods its socket is read at most `BURST` times per `BURST_PERIOD`.
const BURST: u32 = 32;
const BURST_PERIOD: Duration = Duration::from_millis(100);

/// Reading a message takes a few microseconds, unless its sender makes it expensive.
const CHEAP: Duration = Duration::from_micros(200);

/// A message from the notify socket of a service.
#[derive(Debug)]
pub struct Notification {
    /// The service that owns the socket.
    pub service: Name,
    /// The pid of the sender; `None` where the system does not tell.
    pub sender: Option<u32>,
    /// The text of the message.
    pub text: String,
}

/// The notify sockets of all services.
#[derive(Debug)]
pub struct NotifySockets {
    received: mpsc::Sender<Notification>,
    listening: BTreeMap<Name, Listening>,
}

/// A socket, and the task that reads it.
#[derive(Debug)]
struct Listening {
    address: String,
    /// Device and inode of the socket file.
    identity: Option<(u64, u64)>,
    task: tokio::task::AbortHandle,
    /// Whether a sender outside the service was logged since the last start.
    stranger_logged: bool,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NotifySockets {
    /// Creates an empty set; the second half receives the messages.
    pub fn new() -> (Self, mpsc::Receiver<Notification>) {
        let (received, notifications) = mpsc::channel(WAITING);
        (Self { received, listening: BTreeMap::new() }, notifications)
    }

    /// Listens at an address for a service that runs as `ids`. A socket that still exists there is kept, with the
    /// messages sent to it; else `earlier`, which an earlier supervisor bound, is taken over; else a new socket is
    /// bound. Needs a tokio runtime.
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

    /// Returns whether to log a sender outside the service: only the first one after each start.
    pub fn is_first_stranger(&mut self, service: &Name) -> bool {
        let listening = self.listening.get_mut(service);
        listening.is_some_and(|listening| !std::mem::replace(&mut listening.stranger_logged, true))
    }

    /// Removes the sockets of services that are not wanted. Sockets that are dropped otherwise stay for the next
    /// supervisor.
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

/// Passes messages on from a socket until the manager is gone.
async fn receive(socket: NotifySocket, service: Name, received: mpsc::Sender<Notification>) {
    let (mut began, mut count) = (Instant::now(), 0);
    while let Ok((text, sender, took)) = socket.receive().await {
        if received.send(Notification { service: service.clone(), sender, text }).await.is_err() {
            return;
        }
        if took > CHEAP {
            // At most a twentieth of a processor goes to a service that makes reading expensive.
            sleep(took * 20).await;
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
