//! What all services share.

use std::collections::BTreeMap;
use std::io;

use proto::Name;
use sereno_config::Env;
use sereno_config::Home;

use crate::disk::wal::Wal;
use crate::journal::{Entry, Journal, Kind};
use crate::logs::{Key, Logs, RotationPolicy, Which};
use crate::os::pipe::Output;
use crate::os::{self, Birth, Cgroups, FdStores, Handle, Host, Ids, NotifySocket};

use super::{Fifos, NotifySockets, Service, StartFailure, plan};

/// What all services share. Owned by the manager, lent to the drivers.
#[derive(Debug)]
pub struct World {
    /// Where everything lies.
    pub home: Home,
    /// The name of this home in marks.
    pub instance: String,
    /// What this process found when it began.
    pub host: Host,
    /// Where cgroups are made; `None`: without.
    pub cgroups: Option<Cgroups>,
    /// The environment of the `up` or `apply` that holds.
    pub env: Env,
    /// What services write.
    pub logs: Logs,
    /// What happened.
    pub journal: Journal,
    /// What was intended.
    pub wal: Wal,
    /// Where a child writes its pid before anybody else can.
    pub birth: Birth,
    /// Stdin of every service.
    pub null: Handle,
    /// Who keeps copies for the next supervisor.
    pub fd_stores: FdStores,
    /// Where services say that they are ready.
    pub notify: NotifySockets,
    /// Device and inode of every FIFO, and whose it is.
    pub fifos: BTreeMap<(u64, u64), String>,
    /// Sockets that were bound before us.
    pub inherited: super::sockets::Inherited,
    /// A checkpoint is due.
    pub dirty: bool,
}

impl World {
    /// Writes down that something happened to a service.
    pub fn tell(&mut self, service: &Service, kind: Kind, cause: u64, message: String) -> u64 {
        self.dirty = true;
        self.journal.add(Entry {
            cause,
            source: "supervisor",
            service: Some(&service.name),
            incarnation: service.unit.incarnation(),
            kind,
            message,
            evidence: String::new(),
        })
    }

    /// Writes down that something happened to the supervisor itself.
    pub fn tell_own(&mut self, kind: Kind, message: String) -> u64 {
        self.journal.add(Entry {
            cause: 0,
            source: "supervisor",
            service: None,
            incarnation: 0,
            kind,
            message,
            evidence: String::new(),
        })
    }

    /// Writes down that something happened to a monitor itself.
    pub fn tell_of(&mut self, monitor: &str, message: String) {
        self.journal.add(Entry {
            cause: 0,
            source: monitor,
            service: None,
            incarnation: 0,
            kind: Kind::Daemon,
            message,
            evidence: String::new(),
        });
    }

    /// Where a service says that it is ready, as `NOTIFY_SOCKET` names it.
    pub fn notify_address(&self, service: &Service) -> String {
        // Only root can run a service as somebody else.
        let other = service.spec.user.is_some() && os::own_ids().0 == 0;
        let folder = self.home.run().join("notify");
        NotifySocket::address(&folder, &self.instance, &service.name.file_stem(), other)
    }

    /// Listens to a service that says something of itself. `earlier`: its socket, where an earlier supervisor bound one.
    pub fn listen_to(&mut self, service: &Service, earlier: Option<Handle>) -> Result<(), StartFailure> {
        let address = self.notify_address(service);
        let ids = plan::ids(&service.spec).map_err(StartFailure::Service)?;
        let listening = self.notify.listen(&service.name, address, ids.as_ref(), earlier, &self.fd_stores);
        listening.map_err(|error| StartFailure::io("its notify socket", &error))
    }

    /// Device and inode of its FIFOs, as far as they are there.
    pub fn fifos_of(&self, service: &Name) -> impl Iterator<Item = (u64, u64)> {
        let of = |which: Which| Output::identity_of(&self.home.fifo(service, which.word()));
        Which::BOTH.into_iter().filter_map(of)
    }

    /// Where one output of a service is kept.
    pub fn keep(&self, service: &Service, which: Which) -> RotationPolicy {
        let log = &service.spec.log;
        let path = match which {
            Which::Out => log.stdout.clone(),
            Which::Err => log.stderr.clone(),
        };
        RotationPolicy {
            path: path.unwrap_or_else(|| self.home.log_file(&service.name, which.word())),
            max_size: log.max_size,
            keep: log.keep,
            compress: log.compress,
        }
    }

    /// Takes new settings for its outputs over.
    pub fn keep_differently(&self, service: &Service) {
        for which in Which::BOTH {
            self.logs.change(key(&service.name, which), self.keep(service, which));
        }
    }

    /// Makes the outputs of a service ready to be written to; again does nothing. `fresh`: no run of it has them yet.
    pub fn open_outputs(&mut self, service: &mut Service, ids: Option<&Ids>, fresh: bool) -> io::Result<()> {
        let nameless = |which: Which| !Output::is_named(&self.home.fifo(&service.name, which.word()));
        if fresh
            && service.fifos != Fifos::Closed
            && (service.fifos == Fifos::Nameless || Which::BOTH.into_iter().any(nameless))
        {
            self.close_fifos(service);
        }
        if service.fifos != Fifos::Closed {
            return Ok(());
        }
        let mut fifos = Fifos::Open;
        for which in Which::BOTH {
            let path = self.home.fifo(&service.name, which.word());
            // Home was made anew since a run began that goes on: it writes to a FIFO that has no name any more.
            let runs = service.run.as_ref().filter(|_| !fresh).map(|run| run.process.pid());
            let held = runs.and_then(|pid| Output::held_by(pid, which.number(), &path));
            if held.is_some() {
                fifos = Fifos::Nameless;
            }
            let output = held.map_or_else(|| Output::open(&path, ids), Ok)?;
            self.fifos.insert(output.identity(), service.name.to_string());
            self.fd_stores.output(service.name.as_str(), which.word(), &output);
            let keep = self.keep(service, which);
            self.logs.open(key(&service.name, which), output, keep, service.output(which), fresh);
        }
        service.fifos = fifos;
        Ok(())
    }

    /// The outputs of a service that is gone for good.
    pub fn close_outputs(&mut self, service: &mut Service) {
        self.close_fifos(service);
        self.fd_stores.forget(service.name.as_str());
    }

    fn close_fifos(&mut self, service: &mut Service) {
        for which in Which::BOTH {
            self.logs.close(key(&service.name, which));
        }
        service.fifos = Fifos::Closed;
        self.fifos.retain(|_, owner| owner != service.name.as_str());
    }
}

/// The key of one output.
pub fn key(service: &Name, which: Which) -> Key {
    Key { service: service.clone(), which }
}
