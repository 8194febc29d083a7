//! What all services share.

use std::collections::BTreeMap;
use std::io;

use proto::Name;
use sereno_config::Env;
use sereno_config::Home;

use crate::disk::wal::Wal;
use crate::incidents::Incidents;
use crate::journal::{Entry, Journal, What};
use crate::logs::{Key, Logs, RotationPolicy, Which};
use crate::os::pipe::{Both, Output, open_both};
use crate::os::{self, Birth, Cgroups, FdStores, Handle, Host, Ids, NotifySocket};

use super::plan::PlanError;
use super::{Fifos, NotifySockets, Service, StartFailure, plan};

/// What all services share. Owned by the manager, lent to the drivers.
#[derive(Debug)]
pub struct World {
    /// The home directory and its paths.
    pub home: Home,
    /// The name of this home in process marks.
    pub instance: String,
    /// Facts about the host, read when this process began.
    pub host: Host,
    /// The folder for cgroups; `None` runs without cgroups.
    pub cgroups: Option<Cgroups>,
    /// The environment of the last `up` or `apply`.
    pub env: Env,
    /// The logs of the services.
    pub logs: Logs,
    /// The journal of events.
    pub journal: Journal,
    /// When services did not serve.
    pub incidents: Incidents,
    /// The write-ahead log.
    pub wal: Wal,
    /// The file to which a child writes its pid before it becomes another program.
    pub birth: Birth,
    /// Stdin of every service.
    pub null: Handle,
    /// The fd stores that keep copies for the next supervisor.
    pub fd_stores: FdStores,
    /// The notify sockets of the services.
    pub notify: NotifySockets,
    /// The service of every FIFO, by device and inode.
    pub fifos: BTreeMap<(u64, u64), String>,
    /// Sockets that an earlier supervisor or image bound.
    pub inherited: super::sockets::Inherited,
    /// Whether a checkpoint is due.
    pub dirty: bool,
}

impl World {
    /// Enters an event of a service into the journal. Returns its number.
    pub fn tell(&mut self, service: &Service, what: impl Into<What>, cause: u64, message: String) -> u64 {
        self.dirty = true;
        self.journal.add(Entry {
            cause,
            source: "supervisor",
            service: Some(&service.name),
            incarnation: service.unit.incarnation(),
            what: what.into(),
            message,
            evidence: String::new(),
        })
    }

    /// Enters an event of the supervisor itself into the journal. Returns its number.
    pub fn tell_own(&mut self, what: impl Into<What>, message: String) -> u64 {
        self.journal.add(Entry {
            cause: 0,
            source: "supervisor",
            service: None,
            incarnation: 0,
            what: what.into(),
            message,
            evidence: String::new(),
        })
    }

    /// Enters an event of a monitor itself into the journal.
    pub fn tell_of(&mut self, monitor: &str, what: impl Into<What>, message: String) {
        self.journal.add(Entry {
            cause: 0,
            source: monitor,
            service: None,
            incarnation: 0,
            what: what.into(),
            message,
            evidence: String::new(),
        });
    }

    /// Returns the address of a service's notify socket, for `NOTIFY_SOCKET`.
    pub fn notify_address(&self, service: &Service) -> String {
        // Only root can run a service as another user.
        let other = service.spec.user.is_some() && os::own_ids().0 == 0;
        let folder = self.home.run().join("notify");
        NotifySocket::address(&folder, &self.instance, &service.name.file_stem(), other)
    }

    /// Listens on the notify socket of a service. `earlier` is its socket, if an earlier supervisor bound one.
    pub fn listen_to(&mut self, service: &Service, earlier: Option<Handle>) -> Result<(), StartFailure> {
        let address = self.notify_address(service);
        let account = service.account().map_err(PlanError::from)?;
        let ids = plan::ids(account);
        let listening = self.notify.listen(&service.name, address, ids.as_ref(), earlier, &self.fd_stores);
        listening.map_err(|error| StartFailure::io("its notify socket", &error))
    }

    /// Returns device and inode of its FIFOs that exist.
    pub fn fifos_of(&self, service: &Name) -> impl Iterator<Item = (u64, u64)> {
        let of = |which: Which| Output::identity_of(&self.home.fifo(service, which.word()));
        Which::BOTH.into_iter().filter_map(of)
    }

    /// Returns where and how an output of a service is stored.
    pub fn keep(&self, service: &Service, which: Which) -> RotationPolicy {
        rotation(&self.home, service, which)
    }

    /// Keeps its outputs as its settings say now.
    pub fn change_rotation(&self, service: &Service) {
        for which in Which::BOTH {
            self.logs.change(key(&service.name, which), self.keep(service, which));
        }
    }

    /// Makes the outputs of a service, for its next run; does nothing if there are some that it can have.
    pub fn make_outputs(&mut self, service: &mut Service, ids: Option<&Ids>) -> io::Result<()> {
        let is_named = |which: Which| Output::is_named(&self.home.fifo(&service.name, which.word()));
        match service.outputs.fifos {
            Fifos::Open(_) if Which::BOTH.into_iter().all(is_named) => return Ok(()),
            Fifos::Open(_) | Fifos::Nameless => self.close_fifos(service),
            Fifos::Closed => {}
        }
        let mut make = |which: Which| {
            let (output, end) = Output::make(&self.home.fifo(&service.name, which.word()), ids)?;
            self.read_output(service, which, output, true);
            Ok::<_, io::Error>(end)
        };
        service.outputs.fifos = Fifos::Open([make(Which::Out)?, make(Which::Err)?]);
        Ok(())
    }

    /// Opens the outputs of the current or the last run of a service, which an earlier supervisor has read. If the
    /// service holds that up, `late` is called when they are open.
    pub fn open_outputs(
        &mut self,
        service: &mut Service,
        late: impl FnOnce(Both) + Send + 'static,
    ) -> io::Result<()> {
        let paths = Which::BOTH.map(|which| self.home.fifo(&service.name, which.word()));
        // If home was made again since this run began, the run writes to FIFOs that have no path any more.
        if let Some(run) = &service.processes.run {
            let held = Which::BOTH.map(|which| {
                let [out, err] = &paths;
                let path = if which == Which::Out { out } else { err };
                Output::held_by(run.process.pid(), which.number(), path)
            });
            if held.iter().any(Option::is_some) {
                for (which, output) in Which::BOTH.into_iter().zip(held) {
                    if let Some(output) = output {
                        self.read_output(service, which, output, false);
                    }
                }
                service.outputs.fifos = Fifos::Nameless;
                return Ok(());
            }
        }
        let both = open_both(paths, late)?;
        self.opened(service, both);
        Ok(())
    }

    /// Begins to read outputs that are open now.
    pub fn opened(&mut self, service: &mut Service, both: Both) {
        let [(out, out_end), (err, err_end)] = both;
        self.read_output(service, Which::Out, out, false);
        self.read_output(service, Which::Err, err, false);
        service.outputs.fifos = Fifos::Open([out_end, err_end]);
    }

    /// Begins to move an output into its file. `fresh` means that no run has written to it yet.
    fn read_output(&mut self, service: &Service, which: Which, output: Output, fresh: bool) {
        self.fifos.insert(output.identity(), service.name.to_string());
        self.fd_stores.output(service.name.as_str(), which.word(), &output);
        let keep = self.keep(service, which);
        self.logs.open(key(&service.name, which), output, keep, service.output(which), fresh);
    }

    /// Closes the outputs of a service that is gone for good.
    pub fn close_outputs(&mut self, service: &mut Service) {
        self.close_fifos(service);
        self.fd_stores.forget(service.name.as_str());
    }

    fn close_fifos(&mut self, service: &mut Service) {
        let ends = match std::mem::replace(&mut service.outputs.fifos, Fifos::Closed) {
            Fifos::Open(ends) => ends.map(Some),
            Fifos::Nameless | Fifos::Closed => [None, None],
        };
        for (which, end) in Which::BOTH.into_iter().zip(ends) {
            self.logs.close(key(&service.name, which), end);
        }
        self.fifos.retain(|_, owner| owner != service.name.as_str());
    }
}

/// Returns the key of an output.
pub fn key(service: &Name, which: Which) -> Key {
    Key { service: service.clone(), which }
}

/// Returns where and how an output of a service is stored.
pub fn rotation(home: &Home, service: &Service, which: Which) -> RotationPolicy {
    let log = &service.spec.log;
    let path = match which {
        Which::Out => log.stdout.clone(),
        Which::Err => log.stderr.clone(),
    };
    RotationPolicy {
        path: path.unwrap_or_else(|| home.log_file(&service.name, which.word())),
        max_size: log.max_size,
        keep: log.keep,
        compress: log.compress,
    }
}
