//! Performs the actions that the unit asks for.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sereno_config::{Ready, StopTo};

use super::plan::PlanError;
use super::world::key;
use super::{Fifos, Pending, Plan, Prepared, Purpose, Role, Run, Service, StartFailure, Waiting, World};
use crate::incidents::{CauseKind, Happening};
use crate::journal::{Detail, Kind};
use crate::lifecycle::arbiter::took;
use crate::lifecycle::{BootInstant, Exit, Fact};
use crate::logs::Which;
use crate::os::{self, Left, Process, Tree, signal};

impl Service {
    /// Begins a start. `None` means that what it needs is looked up first: `answer` gets it, for [`Self::spawn_with`].
    pub fn spawn(
        &mut self,
        world: &mut World,
        incarnation: u64,
        answer: impl FnOnce(Prepared) + Send + 'static,
    ) -> Option<Fact> {
        if self.plan.is_some() && self.spec.env_file.is_empty() {
            return Some(self.spawned(world, incarnation, Ok(())));
        }
        match self.prepare(world, Purpose::Start(incarnation), os::now(), answer) {
            Ok(()) => None,
            failed @ Err(_) => Some(self.spawned(world, incarnation, failed)),
        }
    }

    /// Starts a process with what was looked up.
    pub fn spawn_with(&mut self, world: &mut World, incarnation: u64, plan: Result<Plan, PlanError>) -> Fact {
        // A file that could not be opened for want of a descriptor says nothing about the service.
        let plan = plan.map_err(|reason| match os::duplicate(&world.null) {
            Err(error) if os::is_shortage(&error) => StartFailure::io(&reason.to_string(), &error),
            _ => StartFailure::Service(reason.to_string()),
        });
        let plan = plan.map(|plan| self.plan = Some(plan));
        self.spawned(world, incarnation, plan)
    }

    /// Starts a process, unless its plan has failed. The intent is written down before the spawn, and the pid after it.
    fn spawned(&mut self, world: &mut World, incarnation: u64, plan: Result<(), StartFailure>) -> Fact {
        self.health.begin_run();
        self.tally.checks.begin_run();
        self.reload = None;
        match plan.and_then(|()| self.try_spawn(world, incarnation)) {
            Ok(process) => {
                let pid = process.pid();
                let message = format!("start pid {pid} (incarnation {incarnation})");
                if self.role != Role::Successor
                    && let Err(error) = world.wal.started(self.name.as_str(), incarnation, process.identity())
                {
                    tracing::error!(service = %self.name, %error, "writing the write-ahead log failed");
                }
                self.adopt(world, process, incarnation, false);
                let start = world.tell(self, Detail::Started { pid }, self.story.cause(), message);
                self.note_happening(world, Happening::Started(incarnation));
                self.story.begin_run(start);
                Fact::Spawned
            }
            Err(StartFailure::Ours(reason)) => {
                self.plan = None;
                Fact::Hindered(reason)
            }
            Err(StartFailure::Service(reason)) => {
                // The folder or the program may exist again at the next try.
                self.forget_plan();
                self.story.ended_at = Some(SystemTime::now());
                let detail = Detail::NotStarted { reason: reason.clone() };
                let words = format!("could not start: {reason}");
                self.tell(world, detail, words.clone());
                self.note_happening(world, Happening::fault(CauseKind::Start, words, Duration::ZERO));
                tracing::warn!(service = %self.name, "could not start: {reason}");
                Fact::SpawnFailed(reason)
            }
        }
    }

    fn try_spawn(&mut self, world: &mut World, incarnation: u64) -> Result<Process, StartFailure> {
        self.hold_sockets(&mut world.inherited)?;
        if self.is_listened_to() {
            world.listen_to(self, None)?;
        }
        let ids = self.plan.as_ref().and_then(Plan::ids).cloned();
        world.make_outputs(self, ids.as_ref()).map_err(|error| without_home("its outputs", &error))?;
        if self.processes.cgroup.as_ref().is_none_or(|cgroup| cgroup.is_spent())
            && let Some(cgroups) = &world.cgroups
        {
            self.processes.cgroup = None;
            self.processes.cgroup = cgroups.service(&self.name.file_stem()).ok().map(Arc::new);
        }
        self.set_kernel_limits(world);
        self.look_for_readiness(world, incarnation);
        let [out, err] = self.handed_out().map_err(|error| without_home("its outputs", &error))?;
        let name = self.name.as_str();
        let written = match self.role {
            Role::Successor => world.wal.beside(name, incarnation),
            _ => world.wal.intend(name, incarnation),
        };
        written.map_err(|error| StartFailure::Ours(format!("writing the write-ahead log: {error}")))?;
        world.birth.expect(world.wal.last());
        let mut fds = vec![os::borrow(&world.null), os::borrow(&out), os::borrow(&err)];
        fds.extend(self.sockets.iter().map(|held| os::borrow(&held.handle)));
        let launch =
            self.plan.as_mut().expect("it was just made").run(&world.instance, &self.name, incarnation);
        let cgroup = self.processes.cgroup.as_ref().map(|cgroup| cgroup.descriptor());
        let spawned = os::spawn(launch, &fds, cgroup, Some(&world.birth));
        if spawned.as_ref().is_err_and(|error| error.ours) {
            // The cgroup may be the cause: the next try makes a new one.
            self.processes.cgroup = None;
        }
        Ok(spawned?)
    }

    /// Returns copies of the ends of its stdout and stderr that runs write to.
    pub(super) fn handed_out(&self) -> io::Result<[os::Handle; 2]> {
        match &self.outputs.fifos {
            Fifos::Open([out, err]) => Ok([out.hand_out()?, err.hand_out()?]),
            Fifos::Closed | Fifos::Nameless => {
                Err(io::Error::new(io::ErrorKind::NotFound, "its outputs cannot be opened any more"))
            }
        }
    }

    /// Makes a process the current run.
    pub fn adopt(&mut self, world: &World, process: Process, incarnation: u64, adopted: bool) {
        self.processes.pending = None;
        let identity = process.identity();
        if self.role == Role::Successor {
            // Its copies of the sockets are with its process now.
            self.sockets.clear();
        } else {
            world.fd_stores.process(self.name.as_str(), &process);
        }
        for held in &self.sockets {
            world.fd_stores.socket(self.name.as_str(), &held.socket.name, held.socket.listen, &held.handle);
        }
        let tree = Tree::new(identity, &world.instance, self.name.as_str(), self.processes.cgroup.clone());
        self.processes.tree = Some(tree.of_run(incarnation, world.fifos_of(&self.name)));
        self.processes.run = Some(Run { process, incarnation, adopted });
        self.watch_limits(world);
    }

    fn look_for_readiness(&self, world: &World, incarnation: u64) {
        let pattern = self.spec.ready.iter().find_map(|ready| match ready {
            Ready::Log(regex) => Some((regex, incarnation)),
            _ => None,
        });
        if let Some(pattern) = pattern {
            for which in Which::BOTH {
                world.logs.look_for(key(&self.name, which), Some(pattern));
            }
        }
    }

    /// Tells the run to end: by `stop.command` if there is one, else by the stop signal. What the command needs is
    /// looked up first: `answer` gets it, for [`Self::run_stop_command`].
    pub fn terminate(&mut self, world: &mut World, answer: impl FnOnce(Prepared) + Send + 'static) {
        if let Some(argv) = self.stop_command() {
            let purpose = Purpose::Stop { incarnation: self.unit.incarnation(), argv };
            match self.prepare(world, purpose, os::now(), answer) {
                Ok(()) => return,
                Err(error) => tracing::warn!(service = %self.name, "stop.command could not run: {error}"),
            }
        }
        self.signal_stop(world);
    }

    /// Sends the stop signal: at once, or after `stop.command` did not work.
    pub fn signal_stop(&mut self, world: &mut World) {
        let name = self.spec.stop.signal.clone();
        let number = signal::number(&name).unwrap_or(15);
        let main_only = self.spec.stop.to == StopTo::Main;
        let count = if main_only { 1 } else { self.processes.count() };
        let sent = self.send(number, main_only).and_then(|()| {
            // A process that SIGSTOP has frozen handles no signal until it continues.
            self.send(signal::CONT, main_only)
        });
        if let Err(error) = sent {
            tracing::warn!(service = %self.name, %error, "sending {name} failed");
            if error.kind() == std::io::ErrorKind::Unsupported {
                // It cannot receive the signal: waiting would only cost the whole stop timeout.
                self.tell(world, Kind::Signal, format!("{name} can not be sent: {error}"));
                return self.kill(world);
            }
        }
        self.tell(world, sent_to(&name, count), format!("{name} to {}", processes(count)));
    }

    /// Sends a signal to the leader, or to its whole group.
    pub fn send(&self, number: i32, main_only: bool) -> std::io::Result<()> {
        match (&self.processes.run, &self.processes.tree) {
            (Some(_), Some(tree)) if !main_only => tree.signal_group(number),
            (Some(run), _) => run.process.signal(number),
            (None, _) => Ok(()),
        }
    }

    /// Runs a command as the run itself is run: as its user, with its rights, in its cgroup and with its mark. It is told
    /// the run's main process as `MAINPID`.
    pub(super) fn run_beside(
        &self,
        world: &World,
        mut plan: Plan,
        out: &os::Handle,
        err: &os::Handle,
    ) -> Result<Process, StartFailure> {
        let launch = plan.run(&world.instance, &self.name, self.unit.incarnation());
        let cgroup = self.processes.cgroup.as_ref().map(|cgroup| cgroup.descriptor());
        Ok(os::spawn(launch, &[os::borrow(&world.null), os::borrow(out), os::borrow(err)], cgroup, None)?)
    }

    /// Kills every process of the run.
    pub fn kill(&mut self, world: &mut World) {
        let count = self.processes.count();
        if let Some(tree) = &self.processes.tree {
            tree.kill_all();
        }
        if let Some(run) = &self.processes.run
            && let Err(error) = run.process.signal(signal::KILL)
        {
            tracing::error!(service = %self.name, %error, "killing it failed");
        }
        self.tell(world, sent_to("SIGKILL", count), format!("SIGKILL to {}", processes(count)));
    }

    /// Reaps the leader, which has ended, and returns how it ended. After a crash the rest of its group is killed,
    /// while the group still belongs to it.
    pub fn reap(&mut self, world: &mut World, now: BootInstant) -> Option<Fact> {
        let run = self.processes.run.take()?;
        self.processes.limits = None;
        if self.unit.ends_because().is_none()
            && let Some(tree) = &self.processes.tree
        {
            tree.kill_group();
        }
        let exit = run.process.reap();
        let after = self.unit.uptime(now).unwrap_or_default();
        self.story.ended_at = Some(SystemTime::now());
        self.health.release();
        let adopted = if run.adopted && exit == Exit::Unknown { " (adopted)" } else { "" };
        let by = if matches!(exit, Exit::Signal(_)) { "ended by " } else { "" };
        let told = self.unit.ends_because().is_some();
        let (code, signal) = match exit.clone() {
            Exit::Code(code) => (Some(code), None),
            Exit::Signal(signal) => (None, Some(signal)),
            Exit::Unknown | Exit::NotSpawned(_) => (None, None),
        };
        let ended = exit.clone();
        let (fact, words) = self.end_of(exit);
        let out_of_memory = matches!(fact, Fact::OutOfMemory(_));
        let detail = Detail::Ended {
            code,
            signal,
            out_of_memory,
            after: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
            told,
        };
        let words = format!("{by}{words}{adopted} after {}", took(after));
        self.tell(world, detail, words.clone());
        if !told {
            self.note_crash(world, &ended, out_of_memory, &words);
        }
        if run.adopted && self.processes.cgroup.is_none() {
            // Its orphans went to another parent: only a scan finds them.
            self.needs_scan(now);
        }
        Some(fact)
    }

    /// Requires a scan of the whole host for processes of the last run, before the next run begins.
    pub fn needs_scan(&mut self, now: BootInstant) {
        self.processes.unseen = true;
        self.processes.pending = Some(Pending::new(Waiting::Scan { left: 2 }, now));
    }

    /// Waits until the group is empty. `orphans` are the supervisor's children that lead no run.
    pub fn drain(&mut self, orphans: &[u32], now: BootInstant) -> Option<Fact> {
        let empty = self.processes.tree.as_ref().is_none_or(|tree| tree.group_is_empty(orphans));
        self.wait_unless(empty, Waiting::Drain, Fact::Drained, now)
    }

    /// Ends what the run left behind. `orphans` returns the supervisor's children that lead no run; called only if
    /// needed.
    pub fn sweep(&mut self, orphans: impl FnOnce() -> Vec<u32>, now: BootInstant) -> Option<Fact> {
        let left = self.processes.tree.as_ref().map_or(Left::Nothing, |tree| tree.kill_leftovers(orphans));
        if left == Left::Nothing && (!self.unit.is_wanted() || self.processes.unseen) {
            // All processes of the host are scanned before "stopped" is reported.
            let left = if self.processes.cgroup.is_some() { 1 } else { 2 };
            self.processes.pending = Some(Pending::new(Waiting::Scan { left }, now));
            return None;
        }
        self.wait_unless(left == Left::Nothing, Waiting::Sweep, Fact::Swept, now)
    }

    /// Handles a scan that found this many processes of the service, and killed them.
    pub fn scanned(&mut self, found: usize, now: BootInstant) -> Option<Fact> {
        const AFTER_KILL: Duration = Duration::from_millis(5);
        let pending = self.processes.pending.as_mut()?;
        let Waiting::Scan { left } = &mut pending.what else { return None };
        *left = if found > 0 { 2 } else { left.saturating_sub(1) };
        if *left == 0 {
            self.processes.pending = None;
            self.processes.unseen = false;
            self.processes.tree = None;
            return Some(Fact::Swept);
        }
        *pending = Pending::new(pending.what, now);
        if found > 0 {
            // What was just killed gets a moment, and is looked for again.
            pending.next_try = now + AFTER_KILL;
        }
        None
    }

    fn wait_unless(&mut self, done: bool, what: Waiting, fact: Fact, now: BootInstant) -> Option<Fact> {
        if done {
            self.processes.pending = None;
            if what == Waiting::Sweep {
                self.processes.tree = None;
            }
            return Some(fact);
        }
        match &mut self.processes.pending {
            Some(pending) if pending.what == what => pending.again(now),
            pending => *pending = Some(Pending::new(what, now)),
        }
        None
    }

    /// Returns whether it is one of the user's services.
    pub fn is_users(&self) -> bool {
        self.role == Role::Service
    }
}

fn sent_to(signal: &str, processes: usize) -> Detail {
    Detail::SignalSent { signal: signal.into(), processes: u64::try_from(processes).unwrap_or(u64::MAX) }
}

fn processes(count: usize) -> String {
    if count == 1 { "1 process".into() } else { format!("{count} processes") }
}

/// Classifies a FIFO that cannot be opened. If its folder is missing, home was deleted and is about to be made again:
/// that is no fault of the service.
pub(super) fn without_home(what: &str, error: &io::Error) -> StartFailure {
    match error.kind() {
        io::ErrorKind::NotFound => StartFailure::Ours(format!("{what}: {error}")),
        _ => StartFailure::io(what, error),
    }
}
