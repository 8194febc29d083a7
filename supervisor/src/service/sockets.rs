//! Held sockets: bound by the supervisor and handed over at each start, so that connections wait while the service is
//! down.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use proto::Name;
use serde::{Deserialize, Serialize};
use sereno_config::Socket;

use super::{Service, StartFailure};
use crate::os::{self, Handle, Process};

/// The descriptor number of a service's first socket.
const FIRST: i32 = 3;

/// A bound socket of a service.
#[derive(Debug)]
pub struct Held {
    /// The socket's settings.
    pub socket: Socket,
    /// The socket itself.
    pub handle: Handle,
}

/// Sockets that an earlier image or supervisor bound, by service and name, until their service claims them.
pub type Inherited = BTreeMap<(String, String), (SocketAddr, Handle)>;

impl Held {
    /// Duplicates the socket for another run.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self { socket: self.socket.clone(), handle: os::duplicate(&self.handle)? })
    }
}

impl Service {
    /// Binds sockets that are not bound yet, and closes bound sockets that are no longer wanted.
    pub fn hold_sockets(&mut self, inherited: &mut Inherited) -> Result<(), StartFailure> {
        let wanted = self.spec.sockets.clone();
        let mut held = std::mem::take(&mut self.sockets);
        for socket in wanted {
            let same = |held: &Held| held.socket == socket;
            let kept = held.iter().position(same).map(|place| held.swap_remove(place).handle);
            // A run can shut its copy down, and with it every other: such a socket is bound anew.
            let handle = if let Some(handle) = kept.filter(os::listens) {
                handle
            } else {
                let key = (self.name.to_string(), socket.name.clone());
                match inherited.remove(&key).filter(|(address, _)| *address == socket.listen) {
                    Some((_, handle)) if os::listens(&handle) => handle,
                    _ => os::listen(socket.listen).map_err(|error| {
                        StartFailure::io(
                            &format!("socket {}: listening on {}", socket.name, socket.listen),
                            &error,
                        )
                    })?,
                }
            };
            self.sockets.push(Held { socket, handle });
        }
        Ok(())
    }

    /// Takes the sockets from the run that still holds them, if no fd store has kept them.
    pub fn recover_sockets(&self, process: &Process, inherited: &mut Inherited) {
        for (number, socket) in (FIRST..).zip(&self.spec.sockets) {
            let key = (self.name.to_string(), socket.name.clone());
            if !inherited.contains_key(&key)
                && let Some(handle) = process.listener(number, socket.listen)
            {
                inherited.insert(key, (socket.listen, handle));
            }
        }
    }

    /// Returns the environment variables that tell a start of its sockets.
    pub fn socket_env(&self) -> impl Iterator<Item = (String, String)> + use<> {
        let names: Vec<&str> = self.spec.sockets.iter().map(|socket| socket.name.as_str()).collect();
        let told = (!names.is_empty()).then(|| {
            [
                ("LISTEN_FDS".to_string(), names.len().to_string()),
                ("LISTEN_FDNAMES".to_string(), names.join(":")),
            ]
        });
        told.into_iter().flatten()
    }
}

/// A socket, in the form in which an image of this process passes it to the next.
#[derive(Debug, Serialize, Deserialize)]
struct Left {
    service: String,
    name: String,
    listen: SocketAddr,
    number: i32,
}

/// Leaves every held socket open for the next image, and writes their numbers down.
pub fn leave(services: impl Iterator<Item = (Name, Vec<Held>)>, path: &Path) -> std::io::Result<()> {
    let mut left = Vec::new();
    for (service, sockets) in services {
        for held in sockets {
            left.push(Left {
                service: service.to_string(),
                name: held.socket.name.clone(),
                listen: held.socket.listen,
                number: os::leave_open(held.handle)?,
            });
        }
    }
    crate::disk::replace(path, &serde_json::to_vec(&left)?)
}

/// Takes the sockets that the previous image of this process left.
pub fn take(path: &Path) -> Inherited {
    let read = std::fs::read(path).ok();
    let left: Vec<Left> = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let taken = left.into_iter().filter_map(|left| {
        let handle = os::take_over(left.number).ok()?;
        Some(((left.service, left.name), (left.listen, handle)))
    });
    taken.collect()
}
