//! Gives the monitors' fd stores copies of what only this process holds: unread output, sockets, and pidfds where the
//! system has them. The next supervisor asks for them before it adopts.
//!
//! A separate thread talks to the fd stores, so that a slow store delays nothing else: a message that takes too long
//! ends the connection, and everything is sent again later.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use sereno_config::Home;
use sereno_guard::close_apart;
use sereno_guard::messages::{self, Link, Message};

use crate::lifecycle::BootInstant;
use crate::os::pipe::Output;
use crate::os::{Identity, NotifySocket, Process, now};

/// How long a message to an fd store may take.
const PATIENCE: Duration = Duration::from_millis(50);
/// When an fd store that was too slow is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How long all fd stores together may take to hand over.
const HANDED_OVER: Duration = Duration::from_millis(200);
/// How long the other fd stores may take once one has handed over: they hold the same files.
const THE_OTHERS: Duration = Duration::from_millis(20);

/// A message to the thread.
enum Order {
    Keep {
        message: Message,
        file: OwnedFd,
    },
    Forget(String),
    /// Forgets the listening sockets of a service, which are closed.
    Closed(String),
    /// Connects to a monitor that may be a new process.
    Connect(PathBuf),
}

/// Sends copies to the fd stores; never blocks.
#[derive(Debug, Clone)]
pub struct FdStores {
    home: Home,
    orders: mpsc::Sender<Order>,
}

impl FdStores {
    /// Starts the thread that talks to the fd stores.
    pub fn start(home: &Home) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel();
        let fd_stores = Worker { kept: BTreeMap::new(), links: BTreeMap::new() };
        let body = move || fd_stores.run(&inbox);
        thread::Builder::new().name("keep".into()).stack_size(128 * 1024).spawn(body)?;
        Ok(Self { home: home.clone(), orders })
    }

    /// Stores the process that leads the current run of a service.
    pub fn process(&self, service: &str, process: &Process) {
        // Where a process is not a descriptor, there is nothing to store.
        let Some(descriptor) = process.descriptor() else { return };
        let Identity { pid, start } = process.identity();
        let message = Message::Keep { name: format!("pid/{service}"), note: format!("{pid} {start}") };
        self.keep(message, descriptor.try_clone_to_owned());
    }

    /// Stores an output of a service: its contents stay as long as a descriptor is open.
    pub fn output(&self, service: &str, stream: &str, output: &Output) {
        self.keep(Message::Hold { name: format!("fifo/{service}.{stream}") }, output.copy());
    }

    /// Stores a listening socket of a service.
    pub fn socket(&self, service: &str, name: &str, address: SocketAddr, socket: &OwnedFd) {
        let message = Message::Keep { name: format!("socket/{service}/{name}"), note: address.to_string() };
        self.keep(message, socket.try_clone());
    }

    /// Stores the notify socket of a service.
    pub fn notify(&self, service: &str, socket: &NotifySocket) {
        let message = Message::Keep { name: format!("notify/{service}"), note: String::new() };
        self.keep(message, socket.as_fd().try_clone_to_owned());
    }

    /// Forgets everything of a service.
    pub fn forget(&self, service: &str) {
        self.order(Order::Forget(service.into()));
    }

    /// Forgets the listening sockets of a service, which are closed, so that no fd store holds their addresses.
    pub fn closed(&self, service: &str) {
        self.order(Order::Closed(service.into()));
    }

    /// Sends everything to a monitor that has attached.
    pub fn connect(&self, monitor: &str) {
        self.order(Order::Connect(messages::path(&self.home, monitor)));
    }

    /// Sends everything to all current fd stores.
    pub fn connect_all(&self) {
        for path in messages::paths(&self.home) {
            self.order(Order::Connect(path));
        }
    }

    fn keep(&self, message: Message, file: io::Result<OwnedFd>) {
        // Without a free descriptor nothing is stored, and everything else continues.
        if let Ok(file) = file {
            self.order(Order::Keep { message, file });
        }
    }

    fn order(&self, order: Order) {
        // Fails only if the thread has panicked.
        let _ = self.orders.send(order);
    }
}

/// The state of the thread: everything to store, and the fd stores.
struct Worker {
    kept: BTreeMap<String, (Message, OwnedFd)>,
    links: BTreeMap<PathBuf, FdStore>,
}

enum FdStore {
    Connected(Link),
    TooSlow(BootInstant),
}

impl Worker {
    fn run(mut self, inbox: &mpsc::Receiver<Order>) {
        loop {
            let due = self.links.values().filter_map(FdStore::due).min();
            let order = match due {
                Some(due) => inbox.recv_timeout(due.since(now())),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(Order::Keep { message, file }) => {
                    let (Message::Keep { name, .. } | Message::Hold { name }) = &message else { continue };
                    let name = name.clone();
                    self.say(&message, Some(&file));
                    let old = self.kept.insert(name, (message, file));
                    put_away(old);
                }
                Ok(Order::Forget(service)) => self.forget(&service),
                Ok(Order::Closed(service)) => self.drop_sockets(&service),
                Ok(Order::Connect(path)) => self.connect(path),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let is_due = |keeper: &FdStore| keeper.due().is_some_and(|due| due <= now());
            let due: Vec<PathBuf> =
                self.links.iter().filter(|(_, link)| is_due(link)).map(|(path, _)| path.clone()).collect();
            for path in due {
                self.connect(path);
            }
        }
    }

    fn forget(&mut self, service: &str) {
        let names = [format!("pid/{service}"), format!("notify/{service}")]
            .into_iter()
            .chain(["out", "err"].map(|stream| format!("fifo/{service}.{stream}")));
        self.drop_all(names);
        self.drop_sockets(service);
    }

    fn drop_sockets(&mut self, service: &str) {
        let begin = format!("socket/{service}/");
        let names: Vec<String> = self.kept.keys().filter(|name| name.starts_with(&begin)).cloned().collect();
        self.drop_all(names.into_iter());
    }

    fn drop_all(&mut self, names: impl Iterator<Item = String>) {
        let mut dropped = Vec::new();
        for name in names {
            if let Some(old) = self.kept.remove(&name) {
                dropped.push(old);
                self.say(&Message::Drop { name }, None);
            }
        }
        put_away(dropped);
    }

    /// Sends a message to every fd store. A closed connection is forgotten; a store that is too slow gets everything
    /// later.
    fn say(&mut self, message: &Message, file: Option<&OwnedFd>) {
        self.links.retain(|_, keeper| {
            let FdStore::Connected(link) = keeper else { return true };
            keeper_after(link.send(message, file.map(AsFd::as_fd)), keeper)
        });
    }

    fn connect(&mut self, path: PathBuf) {
        // A monitor attaches once for each kind: a store that is still connected has everything.
        if let Some(FdStore::Connected(link)) = self.links.get(&path)
            && link.send(&Message::End, None).is_ok()
        {
            return;
        }
        // Fails for a monitor that is not built in, or has ended: its next process attaches again.
        self.links.remove(&path);
        let Ok(link) = Link::connect(&path, PATIENCE) else { return };
        let all = || {
            link.send(&Message::Begin, None)?;
            for (message, file) in self.kept.values() {
                link.send(message, Some(file.as_fd()))?;
            }
            link.send(&Message::Done, None)
        };
        let said = all();
        let mut keeper = FdStore::Connected(link);
        if keeper_after(said, &mut keeper) {
            self.links.insert(path, keeper);
        }
    }
}

impl FdStore {
    fn due(&self) -> Option<BootInstant> {
        match self {
            Self::Connected(_) => None,
            Self::TooSlow(due) => Some(*due),
        }
    }
}

/// Closes files. Closing a pipe may wait for ever, which only a thread of its own may do.
fn put_away(old: impl IntoIterator<Item = (Message, OwnedFd)>) {
    let pipes = old.into_iter().filter(|(message, _)| matches!(message, Message::Hold { .. }));
    close_apart(pipes.map(|(_, file)| file).collect());
}

/// Handles the result of a message to an fd store. Returns `false` if the store is gone.
fn keeper_after(said: io::Result<()>, keeper: &mut FdStore) -> bool {
    match said {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            *keeper = FdStore::TooSlow(now() + RETRY);
            true
        }
        Err(_) => false,
    }
}

/// The files that the fd stores handed over.
#[derive(Debug, Default)]
pub struct StoredFds(BTreeMap<String, (String, OwnedFd)>);

impl StoredFds {
    /// Asks all fd stores; a store that does not answer in time counts as empty.
    pub fn ask(home: &Home) -> Self {
        let ask = |path: PathBuf| {
            let link = Link::connect(&path, PATIENCE).ok()?;
            link.send(&Message::Give, None).ok()?;
            Some(link)
        };
        let links: Vec<Link> = messages::paths(home).into_iter().filter_map(ask).collect();
        let mut kept = Self::default();
        let mut until = now() + HANDED_OVER;
        for link in links {
            if kept.receive(&link, until).is_ok() {
                until = until.min(now() + THE_OTHERS);
            }
        }
        kept
    }

    fn receive(&mut self, link: &Link, until: BootInstant) -> io::Result<()> {
        loop {
            link.set_patience(until.since(now()))?;
            match link.receive()? {
                Some((Message::Keep { name, note }, Some(file))) => drop(self.0.insert(name, (note, file))),
                Some((Message::End, _)) => return Ok(()),
                Some(_) => {}
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            if until <= now() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    /// Returns a process that has ended meanwhile: its stored pidfd tells how it ended, or it is still a zombie.
    pub fn process(&self, service: &str, identity: Identity) -> Option<Process> {
        let note = format!("{} {}", identity.pid, identity.start);
        let kept = self.0.get(&format!("pid/{service}")).filter(|(of, _)| *of == note);
        let pidfd = kept.and_then(|(_, pidfd)| pidfd.try_clone().ok());
        pidfd.map(|pidfd| Process::kept(identity, pidfd)).or_else(|| Process::unreaped(identity))
    }

    /// Returns the stored notify socket of a service.
    pub fn notify(&mut self, service: &str) -> Option<OwnedFd> {
        self.0.remove(&format!("notify/{service}")).map(|(_, file)| file)
    }

    /// Takes out every listening socket, by service and name: a copy that stayed would hold its address when the
    /// service closes it.
    pub fn take_sockets(&mut self) -> BTreeMap<(String, String), (SocketAddr, OwnedFd)> {
        let names: Vec<String> = self.0.keys().filter(|name| name.starts_with("socket/")).cloned().collect();
        let taken = names.into_iter().filter_map(|name| {
            let (note, file) = self.0.remove(&name)?;
            let (service, socket) = name.strip_prefix("socket/")?.split_once('/')?;
            Some(((service.into(), socket.into()), (note.parse().ok()?, file)))
        });
        taken.collect()
    }
}
