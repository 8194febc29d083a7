//! Reads the state that an earlier supervisor left and continues from there: running processes are adopted, ended ones
//! are started again by policy, and nothing is started twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use proto::Name;
use sereno_config::Home;
use sereno_config::{Config, GUARD};

use super::command::Handle;
use super::configure::{graph, seed};
use super::found::{Found, state_path};
use super::generation::Generation;
use super::services::{RunKey, Services};
use super::{Checkpoint, Exits, Happened, Manager, channels};
use crate::disk::added::Added;
use crate::disk::applied::Applied;
use crate::disk::state::{Entry, Saver};
use crate::incidents::{Incidents, wall};
use crate::journal::allowance::Allowances;
use crate::journal::{Began, Detail, Journal, Kind};
use crate::lifecycle::arbiter::{HostBrake, took};
use crate::lifecycle::tally::HostTally;
use crate::lifecycle::unit::Rules;
use crate::lifecycle::{BootInstant, Exit, Fact, Request, Unit};
use crate::logs::Logs;
use crate::os::pipe::Both;
use crate::os::{self, Birth, Cgroup, Cgroups, FdStores, Handle as File, Host, StoredFds};
use crate::service::sockets::Inherited;
use crate::service::{NotifySockets, Role, Service, World};
use crate::watch::Watches;

/// What a manager is built from.
#[derive(Debug)]
pub struct Start {
    /// The configuration to run.
    pub config: Config,
    /// The services of `config` that no file names.
    pub added: Added,
    /// The applied file, as stored on disk.
    pub applied: Applied,
    /// The home directory and its paths; the caller holds its lock.
    pub home: Home,
    /// The name of this home in process marks.
    pub instance: String,
    /// Facts about the host, read when this process began.
    pub host: Host,
    /// The folder for cgroups, if there is one.
    pub cgroups: Option<Cgroups>,
    /// Stdin of every service.
    pub null: File,
    /// Sockets that the previous image of this process left open.
    pub inherited: Inherited,
    /// File descriptors that the monitors' fd stores kept for the supervisor.
    pub kept: StoredFds,
    /// Why the supervisor was started.
    pub wanted: Wanted,
    /// Whether an init system started it, and will start it again.
    pub under_init: bool,
    /// Set if a guard started it after another had died.
    pub revived: Option<Revived>,
}

/// How a supervisor that died was replaced.
#[derive(Debug)]
pub struct Revived {
    /// The guard that started this one.
    pub by: String,
    /// When the other died, in milliseconds since the epoch, if the guard saw it.
    pub died: Option<u64>,
}

/// Why a supervisor was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// By `up`: autostart services are started, also those stopped by hand.
    Up,
    /// By a guard or at boot: the services that were wanted continue.
    AsBefore,
    /// By the previous image of this process, which has just written the whole state to disk.
    HandedOver,
    /// By `down` while no supervisor ran: the remaining processes are ended.
    Down,
}

impl Manager {
    /// Builds the manager. Everything that can fail happens here; `run` does not fail.
    pub fn build(start: Start) -> std::io::Result<(Self, Handle)> {
        let (birth, born) = Birth::open(&start.home.run().join("birth"))?;
        let (found, wal) =
            Found::read(&start.home, &start.instance, start.wanted, born, start.kept, &start.config)?;
        let (tell, happened) = tokio::sync::mpsc::unbounded_channel();
        let to_manager = tell.clone();
        let logs = Logs::start(move |event| drop(to_manager.send(Happened::Log(event))))?;
        let journal = Journal::open(&start.home.journal());
        let (notify, notifications) = NotifySockets::new();
        let world = World {
            home: start.home.clone(),
            instance: start.instance,
            host: start.host,
            cgroups: start.cgroups,
            env: start.applied.about.env.clone(),
            logs,
            journal,
            incidents: Incidents::open(&start.home.journal()),
            wal,
            birth,
            null: start.null,
            fd_stores: FdStores::start(&start.home)?,
            notify,
            fifos: BTreeMap::new(),
            inherited: start.inherited,
            dirty: false,
        };
        let (handle, commands, changes, targets) = channels(world.journal.written());
        let mut manager = Self {
            graph: graph(&start.config),
            in_force: start.config.supervisor.clone(),
            config: start.config,
            added: start.added,
            about: Arc::new(start.applied.about),
            applied_text: start.applied.text,
            home: super::home::HomeWatch::default(),
            world,
            services: Services::default(),
            attachments: BTreeMap::new(),
            last_seen: BTreeMap::new(),
            allowances: Allowances::default(),
            tally: HostTally::default(),
            brake: HostBrake::default(),
            exits: Exits::new(),
            commands,
            happened,
            tell,
            notifications,
            stop_queue: BTreeSet::new(),
            leaving: BTreeSet::new(),
            scan_wanted: BTreeSet::new(),
            scanning: false,
            silent: super::silent::Again::default(),
            watches: Watches::default(),
            alarm: os::Alarm::default(),
            trial: None,
            handing_over: None,
            own_binary: std::env::current_exe()?,
            braked: false,
            going: None,
            next: None,
            seen: 0,
            changes: Generation::new(changes),
            targets: Generation::new(targets),
            checkpoint: Checkpoint::default(),
            kept: StoredFds::default(),
            saver: Arc::new(Saver::new(state_path(&start.home))),
            states: 0,
            began: os::now(),
            under_init: start.under_init,
        };
        manager.take_up(&found, start.wanted, start.revived);
        manager.look_again_later(found.silent);
        manager.kept = found.kept;
        // Connects only now that everything to keep has been named: an fd store drops what is not named.
        manager.world.fd_stores.connect_all();
        Ok((manager, handle))
    }

    fn take_up(&mut self, found: &Found, wanted: Wanted, revived: Option<Revived>) {
        let called_by_up = wanted == Wanted::Up;
        let now = os::now();
        let how = match wanted {
            Wanted::Up => "up",
            Wanted::AsBefore | Wanted::HandedOver => "started again",
            Wanted::Down => "started to stop what is left",
        };
        let pid = std::process::id();
        let began = match wanted {
            Wanted::HandedOver => Began::Upgraded,
            _ if self.world.journal.was_killed() => Began::Revived,
            _ => Began::Started,
        };
        let (by, died) = revived.map_or((None, None), |revived| (Some(revived.by), revived.died));
        let unsupervised = died.map(|died| wall().saturating_sub(died));
        let who = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let long = |time| if time < 1000 { format!("{time} ms") } else { took(Duration::from_millis(time)) };
        let gap = unsupervised.map(|time| format!(": nobody had supervised for {}", long(time)));
        let message = format!("supervisor pid {pid} {how}{who}{}", gap.unwrap_or_default());
        let seq = self.world.tell_own(Detail::Supervisor { pid, began, by, unsupervised }, message);
        let specs: Vec<_> =
            self.config.services.iter().map(|(name, spec)| (name.clone(), spec.clone())).collect();
        for (name, spec) in specs {
            let autostart = spec.autostart;
            let known = found.entry(&name).is_some() || found.last_incarnation(&name) > 0;
            self.take_up_service(&name, Role::Service, spec, found, seq, now);
            let caller_env = self.added.env_of(&name);
            let service = self.services.get_mut(&name).expect("it was just put in");
            service.set_caller_env(caller_env);
            // After a boot or a crash only services that were wanted are started; `up` starts every autostart service.
            let goes_on = service.unit.is_alive() && service.unit.is_wanted();
            if autostart && (called_by_up || !known) && !goes_on {
                // Nothing ran, and `up` is a fresh start: the earlier counts are cleared.
                if service.spec.schedule.is_none() {
                    service.unit.request(now, Request::Reset);
                }
                service.request(Request::Arm, seq, now);
            }
        }
        for (name, (spec, env)) in self.daemons_of(&self.config) {
            self.take_up_service(&name, Role::Daemon, spec, found, seq, now);
            let service = self.services.get_mut(&name).expect("it was just put in");
            service.env.extra = env;
            if called_by_up && !service.unit.is_alive() {
                service.unit.request(now, Request::Reset);
            }
            // The guard is this same program, and the program is a new one: an upgrade replaces both.
            let is_old = wanted == Wanted::HandedOver && name.as_str() == GUARD && service.unit.is_alive();
            service.unit.request(now, if is_old { Request::Restart } else { Request::Start });
        }
        self.restore_counts(found, wanted);
        self.go_on(found, seq, now);
        if called_by_up {
            // `up` is a fresh start: stopped services are started again.
            self.stop_queue.retain(|name| !self.config.services.get(name).is_some_and(|spec| spec.autostart));
        }
        for stray in found.strays(&self.services) {
            tracing::warn!(service = %stray.service, pid = stray.identity.pid, "ends a process that no file names");
            stray.kill();
        }
        if found.replay.down && called_by_up {
            if let Err(error) = self.world.wal.up() {
                tracing::error!(%error, "writing the write-ahead log failed");
            }
        } else if wanted == Wanted::Down {
            self.shut_down(false, "`ctl down` while nobody supervised");
        } else if found.replay.down {
            // The supervisor was killed during `down`, and is started again only to finish it.
            self.shut_down(false, "a `down` that was interrupted");
        }
    }

    fn take_up_service(
        &mut self,
        name: &Name,
        role: Role,
        spec: sereno_config::Service,
        found: &Found,
        seq: u64,
        now: BootInstant,
    ) {
        let (rules, seed) = (Rules::of(&spec), seed(name, now));
        let leader = found.leader(name);
        let entry = found.entry(name);
        let saved = found.saved(name, leader.is_some());
        let not_born = leader.is_none() && found.was_not_born(name);
        let died_unseen = leader.is_none() && !not_born && found.began_since(name);
        let current = leader.as_ref().map(|(incarnation, _)| *incarnation);
        let current = current.or_else(|| saved.as_ref().map(|saved| saved.incarnation));
        let told = current.and_then(|incarnation| found.ending(name, incarnation));
        let ran = leader.is_some() || died_unseen || told.is_some();
        let mut unit = match &saved {
            None => Unit::new(rules, seed),
            Some(saved) if !found.same_boot => Unit::after_boot(rules, saved, now, seed),
            Some(saved) => Unit::restore(rules, saved, ran, now, seed),
        };
        if let Some(why) = told {
            unit.end_run(why);
        }
        if ran && leader.is_none() {
            unit.observe(now, Fact::Exited(Exit::Unknown));
        } else if not_born && unit.is_wanted() {
            // It was about to be started, so it is started now.
            unit.request(now, Request::Start);
        }
        let was_wanted = entry.is_none_or(|entry| entry.unit.wanted);
        if unit.is_wanted() && !was_wanted {
            unit.request(now, Request::Arm);
        } else if !unit.is_wanted() && was_wanted {
            unit.request(now, Request::Stop);
        }
        if found.was_reset(name) {
            unit.request(now, Request::Reset);
        }
        unit.skip_incarnations(found.last_incarnation(name));
        let mut service = Service::with_unit(name.clone(), role, spec, unit);
        service.story.goes_on_from(seq);
        service.processes.cgroup = self.find_cgroup(entry, leader.as_ref().map(|(_, process)| process.pid()));
        if let Some(pause) = found.pause(name) {
            service.pause = Some(pause);
            service.unit.observe(now, Fact::Paused(true));
        }
        // A run has begun since the planned time was written: it was the run for that time.
        let planned = entry.and_then(|entry| entry.next_run).filter(|_| !found.began_since(name));
        service.wait_for_times(planned.map(|since| UNIX_EPOCH + Duration::from_secs(since)));
        if entry.is_some_and(|entry| entry.queued) && found.same_boot && !found.began_since(name) {
            service.queue();
        }
        if let Some((incarnation, process)) = leader {
            service.unit.skip_incarnations(incarnation);
            for other in found.other_runs(name, incarnation, process.identity()) {
                tracing::warn!(service = %name, pid = other.identity.pid, "ends a process of another run");
                other.kill();
            }
            service.unit.was_ready(found.ready_at(name, incarnation));
            service.recover_sockets(&process, &mut self.world.inherited);
            if let Err(error) = service.hold_sockets(&mut self.world.inherited) {
                tracing::error!(service = %name, "{error}");
            }
            let how = if process.has_exited() { "ended meanwhile:" } else { "adopted" };
            let pid = process.pid();
            let message = format!("{how} pid {pid} (incarnation {incarnation})");
            let adopted = !process.is_child();
            service.adopt(&self.world, process, incarnation, adopted);
            // Its output has waited in the FIFO for a reader.
            let opened = self.world.open_outputs(&mut service, self.late(name, incarnation));
            service.story.began = self.world.tell(&service, Detail::Adopted { pid }, seq, message);
            if let Err(error) = opened {
                let message = format!("its output is not read: {error}");
                tracing::error!(service = %name, "{message}");
                self.world.tell(&service, Kind::Output, service.story.began, message);
            }
        } else if saved.is_some() && found.same_boot {
            // Its last output has waited in the FIFO as well.
            let late = self.late(name, service.unit.incarnation());
            if let Err(error) = self.world.open_outputs(&mut service, late) {
                tracing::error!(service = %name, %error, "opening its outputs failed");
            }
            // Its leader is gone: processes that it left behind are found by their mark.
            service.needs_scan(now);
        }
        self.services.insert(service);
        self.watch_exit(&RunKey::first(name));
    }

    /// Returns what hands over the outputs of a run that could not be opened at once.
    fn late(&self, name: &Name, incarnation: u64) -> impl FnOnce(Both) + Send + 'static {
        let (service, tell) = (name.clone(), self.tell.clone());
        // Fails only if the manager has ended.
        move |both| drop(tell.send(Happened::Opened { service, incarnation, both }))
    }

    /// Returns the cgroup that an adopted run is in; any other next run gets a new cgroup.
    fn find_cgroup(&self, entry: Option<&Entry>, leader: Option<u32>) -> Option<Arc<Cgroup>> {
        let cgroups = self.world.cgroups.as_ref()?;
        // The saved path may belong to the previous run, if the supervisor was killed before the next checkpoint.
        if let Some(cgroup) = leader.and_then(|leader| cgroups.of(leader)) {
            return Some(Arc::new(cgroup));
        }
        let path = PathBuf::from(entry?.cgroup.as_ref()?);
        Cgroup::open(path).ok().filter(Cgroup::is_populated).map(Arc::new)
    }

    /// Does what needs the runtime: called once, before the first turn.
    pub fn begin(&mut self) {
        self.watch_home();
        self.listen_to_running();
        self.watch_files();
        // Nothing else reaps children that ended while one image of this process handed over to the next.
        self.children_ended();
    }
}
