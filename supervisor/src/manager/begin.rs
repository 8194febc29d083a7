//! The state an earlier supervisor left, and going on from there: what runs is adopted, what is gone is started again
//! by policy, and nothing is started twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daemon_kit::Home;
use daemon_kit::file::Config;
use proto::Name;

use super::command::Handle;
use super::configure::{graph, monitor_service, seed};
use super::{Checkpoint, Exits, Happened, Manager, channels};
use crate::disk::applied::Applied;
use crate::disk::state::{self, Entry, Saver, State};
use crate::disk::wal::{Replay, Wal};
use crate::journal::{Journal, Kind};
use crate::lifecycle::arbiter::HostBrake;
use crate::lifecycle::saved::Saved;
use crate::lifecycle::unit::Rules;
use crate::lifecycle::{Exit, Fact, Moment, Request, Unit};
use crate::logs::Logs;
use crate::os::{self, Cgroup, Cgroups, Handle as File, Host, Identity, Keep, Kept, Marked, Process};
use crate::service::sockets::Inherited;
use crate::service::{Pause, Role, Service, World};

/// What a manager is made of.
#[derive(Debug)]
pub struct Start {
    /// The file to run.
    pub config: Config,
    /// The same, as kept.
    pub applied: Applied,
    /// Where everything lies; the caller holds its lock.
    pub home: Home,
    /// The name of this home in marks.
    pub instance: String,
    /// What this process found when it began.
    pub host: Host,
    /// Where cgroups are made.
    pub cgroups: Option<Cgroups>,
    /// Stdin of every service.
    pub null: File,
    /// Sockets that the image of this process before this one left open.
    pub inherited: Inherited,
    /// What the monitors kept for us.
    pub kept: Kept,
    /// `up` called it: autostart services are started, also those stopped by hand.
    pub called_by_up: bool,
}

/// What an earlier supervisor left.
#[derive(Debug, Default)]
pub struct Found {
    state: Option<State>,
    replay: Replay,
    marked: Vec<Marked>,
    kept: Kept,
    same_boot: bool,
}

impl Found {
    /// Reads the state, then the log of intents beyond it, then looks at who runs.
    fn read(state_path: &Path, wal_path: &Path, instance: &str, kept: Kept) -> std::io::Result<(Self, Wal)> {
        let state = state::load(state_path);
        let same_boot = state.as_ref().is_none_or(|state| state.boot == os::boot_id());
        let seq = state.as_ref().map_or(0, |state| state.seq);
        let (wal, replay) = Wal::open(wal_path, seq)?;
        // Without a trace of an earlier one there is nobody to look for.
        let first = state.is_none()
            && replay.runs.is_empty()
            && seq == 0
            && !state_path.with_extension("json.damaged").exists();
        let marked = if first { Vec::new() } else { os::scan(instance, &BTreeMap::new()) };
        Ok((Self { state, replay, marked, kept, same_boot }, wal))
    }

    fn entry(&self, name: &Name) -> Option<&Entry> {
        self.state.as_ref()?.services.get(name.as_str())
    }

    /// The process that leads the run of a service, if it still does.
    fn leader(&self, name: &Name) -> Option<(u64, Process)> {
        if !self.same_boot {
            return None;
        }
        let saved = self.entry(name).and_then(|entry| Some((entry.unit.incarnation, entry.process?)));
        let intended = self.replay.runs.get(name.as_str());
        match intended.map(|run| (run.incarnation, run.identity)) {
            Some((incarnation, Some(identity))) => self.take_hold(name, incarnation, identity),
            // Killed between the spawn and the line after it: only its mark tells.
            Some((incarnation, None)) => self.marked_leader(name, incarnation),
            None => saved
                .and_then(|(incarnation, identity)| self.take_hold(name, incarnation, identity))
                .or_else(|| self.state.is_none().then(|| self.marked_leader(name, 0)).flatten()),
        }
    }

    /// A leader that lives, or that has ended meanwhile and of which somebody knows how.
    fn take_hold(&self, name: &Name, incarnation: u64, identity: Identity) -> Option<(u64, Process)> {
        let ended = || Some((incarnation, self.kept.process(name.as_str(), identity)?));
        adopt(incarnation, identity).or_else(ended)
    }

    /// The oldest process of the newest run that carries the mark: it started the others.
    fn marked_leader(&self, name: &Name, incarnation: u64) -> Option<(u64, Process)> {
        let of_it = self.marked.iter().filter(|m| m.service == name.as_str() && m.incarnation >= incarnation);
        let leader =
            of_it.max_by_key(|m| (m.incarnation, std::cmp::Reverse((m.identity.start, m.identity.pid))))?;
        adopt(leader.incarnation, leader.identity)
    }

    /// The last number used for a run of a service.
    fn last_incarnation(&self, name: &Name) -> u64 {
        let intended = self.replay.runs.get(name.as_str()).map_or(0, |run| run.incarnation);
        let marked = self.marked.iter().filter(|m| m.service == name.as_str()).map(|m| m.incarnation);
        marked.max().unwrap_or(0).max(intended)
    }

    /// What is written down of a service, or what must be true of one that only the log of intents or its process
    /// tells of.
    fn saved(&self, name: &Name, runs: bool) -> Option<Saved> {
        let known = || (runs || self.last_incarnation(name) > 0).then(Saved::unknown);
        let saved = self.entry(name).map(|entry| entry.unit.clone()).or_else(known)?;
        Some(Saved { wanted: self.want(name).unwrap_or(saved.wanted), ..saved })
    }

    /// What a person wanted of it since the checkpoint.
    fn want(&self, name: &Name) -> Option<bool> {
        self.replay.wants.get(name.as_str()).copied()
    }

    /// Whether a run was begun (or was about to be) since the checkpoint.
    fn began_since(&self, name: &Name) -> bool {
        self.same_boot && self.replay.runs.contains_key(name.as_str())
    }

    /// When a run became ready, as far as the log of intents says.
    fn ready_at(&self, name: &Name, incarnation: u64) -> Option<Moment> {
        let run = self.replay.runs.get(name.as_str()).filter(|run| run.incarnation == incarnation);
        let of_run = run.and_then(|run| run.ready);
        let of_checkpoint = self.replay.ready.get(name.as_str()).filter(|(of, _)| *of == incarnation);
        of_run.or_else(|| of_checkpoint.and_then(|(_, at)| *at)).map(Moment::since_boot)
    }

    /// Processes of services that no file names any more.
    fn strays<'a>(&'a self, known: &'a BTreeMap<Name, Service>) -> impl Iterator<Item = &'a Marked> {
        self.marked.iter().filter(|marked| !known.contains_key(marked.service.as_str()))
    }
}

fn adopt(incarnation: u64, identity: Identity) -> Option<(u64, Process)> {
    Some((incarnation, Process::adopt(identity)?))
}

impl Manager {
    /// Makes one. Everything that can fail comes here; running does not fail.
    pub fn build(start: Start) -> std::io::Result<(Self, Handle, crate::logs::Threads)> {
        let state_path = start.home.state().join("state.json");
        let (found, wal) =
            Found::read(&state_path, &start.home.run().join("wal"), &start.instance, start.kept)?;
        let (tell, happened) = tokio::sync::mpsc::unbounded_channel();
        let to_manager = tell.clone();
        let (logs, threads) = Logs::start(move |event| drop(to_manager.send(Happened::Log(event))))?;
        let journal = Journal::open(&start.home.journal());
        let world = World {
            home: start.home.clone(),
            instance: start.instance,
            host: start.host,
            cgroups: start.cgroups,
            env: start.applied.about.env.clone(),
            logs,
            journal,
            wal,
            null: start.null,
            keepers: Keep::start(&start.home)?,
            fifos: BTreeMap::new(),
            inherited: start.inherited,
            dirty: false,
        };
        let (handle, commands, changes, targets) = channels();
        let mut manager = Self {
            graph: graph(&start.config),
            config: start.config,
            about: Arc::new(start.applied.about),
            world,
            services: BTreeMap::new(),
            attachments: BTreeMap::new(),
            brake: HostBrake::default(),
            exits: Exits::new(),
            commands,
            happened,
            tell,
            stop_queue: BTreeSet::new(),
            leaving: BTreeSet::new(),
            scan_wanted: BTreeSet::new(),
            scanning: false,
            notify: BTreeMap::new(),
            trial: None,
            handing_over: None,
            own_binary: std::env::current_exe()?,
            going: None,
            next: None,
            seen: Vec::new(),
            changes,
            targets,
            checkpoint: Checkpoint::default(),
            kept: Kept::default(),
            saver: Arc::new(Saver::new(state_path)),
            states: 0,
            began: os::now(),
        };
        manager.take_up(&found, start.called_by_up);
        manager.kept = found.kept;
        // Only now that all is named that is to be kept: what is not named is let go.
        manager.world.keepers.connect_all();
        Ok((manager, handle, threads))
    }

    fn take_up(&mut self, found: &Found, called_by_up: bool) {
        let now = os::now();
        let how = if called_by_up { "up" } else { "started again" };
        let seq = self.world.tell_own(Kind::Daemon, format!("supervisor pid {} {how}", std::process::id()));
        let specs: Vec<_> =
            self.config.services.iter().map(|(name, spec)| (name.clone(), spec.clone())).collect();
        for (name, spec) in specs {
            let autostart = spec.autostart;
            let known = found.entry(&name).is_some() || found.last_incarnation(&name) > 0;
            self.take_up_service(&name, Role::Service, spec, found, seq, now);
            let service = self.services.get_mut(&name).expect("it was just put in");
            // After a boot or a crash only what was wanted is; `up` wants every autostart service.
            let goes_on = service.unit.is_alive() && service.unit.is_wanted();
            if autostart && (called_by_up || !known) && !goes_on {
                // Nothing ran, and a person begins anew: what was counted before is over.
                service.unit.request(now, Request::Reset);
                service.cause = seq;
                service.unit.request(now, Request::Start);
            }
        }
        let monitors: Vec<_> = self.config.monitors.iter().filter(|(_, monitor)| monitor.managed).collect();
        let monitors: Vec<_> = monitors
            .into_iter()
            .map(|(name, m)| (name.clone(), monitor_service(name, m, &self.world.home)))
            .collect();
        for (name, (spec, env)) in monitors {
            self.take_up_service(&name, Role::Monitor, spec, found, seq, now);
            let service = self.services.get_mut(&name).expect("it was just put in");
            service.extra_env = env;
            if called_by_up && !service.unit.is_alive() {
                service.unit.request(now, Request::Reset);
            }
            service.unit.request(now, Request::Start);
        }
        for stray in found.strays(&self.services) {
            tracing::warn!(service = %stray.service, pid = stray.identity.pid, "ends a process that no file names");
            stray.kill();
        }
        if found.replay.down && called_by_up {
            if let Err(error) = self.world.wal.up() {
                tracing::error!(%error, "writing the log of intents failed");
            }
        } else if found.replay.down {
            // Killed in the middle of `down`: started again only to finish it.
            self.shut_down(false, "a `down` that was interrupted");
        }
    }

    fn take_up_service(
        &mut self,
        name: &Name,
        role: Role,
        spec: daemon_kit::file::Service,
        found: &Found,
        seq: u64,
        now: Moment,
    ) {
        let (rules, seed) = (Rules::of(&spec), seed(name, now));
        let leader = found.leader(name);
        let entry = found.entry(name);
        let saved = found.saved(name, leader.is_some());
        let died_unseen = leader.is_none() && found.began_since(name);
        let mut unit = match &saved {
            None => Unit::new(rules, seed),
            Some(saved) if !found.same_boot => Unit::after_boot(rules, saved, now, seed),
            Some(saved) => Unit::restore(rules, saved, leader.is_some() || died_unseen, now, seed),
        };
        if died_unseen {
            unit.observe(now, Fact::Exited(Exit::Unknown));
        }
        if let Some(up) = found.want(name).filter(|up| entry.is_some_and(|entry| entry.unit.wanted != *up)) {
            unit.request(now, if up { Request::Start } else { Request::Stop });
        }
        unit.skip_incarnations(found.last_incarnation(name));
        let mut service = Service::with_unit(name.clone(), role, spec, unit);
        service.cause = seq;
        service.cgroup = self.find_cgroup(entry, leader.as_ref().map(|(_, process)| process.pid()));
        if let Some(pause) = entry.and_then(|entry| entry.paused).filter(|_| found.same_boot) {
            service.pause = Some(Pause { until: pause.until.map(Moment::since_boot) });
            service.unit.observe(now, Fact::Paused(true));
        }
        if let Some((incarnation, process)) = leader {
            service.unit.skip_incarnations(incarnation);
            service.unit.was_ready(found.ready_at(name, incarnation));
            if let Err(error) = service.hold_sockets(&mut self.world.inherited) {
                tracing::error!(service = %name, "{error}");
            }
            let how = if process.has_exited() { "ended meanwhile:" } else { "adopted" };
            let message = format!("{how} pid {} (incarnation {incarnation})", process.pid());
            let adopted = !process.is_child();
            service.adopt(&self.world, process, incarnation, adopted);
            // Its output has waited in the FIFO for somebody to come.
            if let Err(error) = self.world.open_outputs(&mut service, None) {
                tracing::error!(service = %name, %error, "opening its outputs failed");
            }
            service.began = self.world.tell(&service, Kind::Start, seq, message);
        } else if saved.is_some() && found.same_boot {
            // What it wrote last has waited in the FIFO as well.
            if let Err(error) = self.world.open_outputs(&mut service, None) {
                tracing::error!(service = %name, %error, "opening its outputs failed");
            }
            // Its leader is gone: what it left behind is found by its mark.
            service.needs_scan(now);
        }
        self.services.insert(name.clone(), service);
        self.watch_exit(name);
    }

    /// The cgroup that an adopted run is in; the next run of any other gets a new one.
    fn find_cgroup(&self, entry: Option<&Entry>, leader: Option<u32>) -> Option<Arc<Cgroup>> {
        let cgroups = self.world.cgroups.as_ref()?;
        // What was written down may be of the run before: killed before the next checkpoint.
        if let Some(cgroup) = leader.and_then(|leader| cgroups.of(leader)) {
            return Some(Arc::new(cgroup));
        }
        let path = PathBuf::from(entry?.cgroup.as_ref()?);
        Cgroup::open(path).ok().filter(Cgroup::is_populated).map(Arc::new)
    }

    /// What needs the runtime: once, before the first turn.
    pub(super) fn begin(&mut self) {
        self.listen_for_notify();
        // Who ended while one image of this process handed over to the next is waited for by nobody else.
        self.children_ended();
        self.changed();
        self.targets_changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::wal::Intended;

    #[test]
    fn a_run_that_came_and_went_after_the_checkpoint_is_neither_forgotten_nor_doubled() {
        let name = Name::new("web").expect("a name");
        let mut found = Found { same_boot: true, ..Found::default() };
        assert!(found.saved(&name, false).is_none() && !found.began_since(&name), "never heard of");
        let run = Intended { incarnation: 3, identity: None, ready: None };
        found.replay.runs.insert("web".into(), run);
        let saved = found.saved(&name, false).expect("it was wanted up");
        assert!(saved.wanted && found.began_since(&name));
        found.replay.wants.insert("web".into(), false);
        assert!(!found.saved(&name, false).expect("known").wanted, "a person stopped it in the last moment");
        found.same_boot = false;
        assert!(!found.began_since(&name), "a reboot has swept it");
    }
}
