//! Performs the actions that the unit asks for.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sereno_config::{Ready, StopTo};

use super::world::key;
use super::{Plan, Role, Said, Service, StartFailure, World};
use crate::journal::Kind;
use crate::lifecycle::arbiter::took;
use crate::lifecycle::{BootInstant, Exit, Fact, WhyEnd};
use crate::logs::Which;
use crate::os::pipe::Output;
use crate::os::{self, Left, Process, Tree, signal};

/// A process of a service, and the run that it leads.
#[derive(Debug)]
pub struct Run {
    /// The leading process.
    pub process: Process,
    /// The run's incarnation.
    pub incarnation: u64,
    /// Whether an earlier supervisor started it: its orphans are not children of this process.
    pub adopted: bool,
}

/// Leftover processes that have been told to end, and are looked at again.
#[derive(Debug)]
pub struct Pending {
    /// The condition that must become true.
    pub what: Waiting,
    /// When to look again even if nothing happened.
    pub next_try: BootInstant,
    wait: Duration,
}

/// What a pending look waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// The process group is empty.
    Drain,
    /// No process of the run is left that this process can see.
    Sweep,
    /// A scan of all processes also finds nothing, several times in a row.
    Scan {
        /// The number of scans that must still find nothing.
        left: u8,
    },
}

impl Pending {
    fn new(what: Waiting, now: BootInstant) -> Self {
        const FIRST: Duration = Duration::from_millis(1);
        // A scan reports its end; this wait is only for the case that it never does.
        const SCAN: Duration = Duration::from_secs(5);
        let wait = if matches!(what, Waiting::Scan { .. }) { SCAN } else { FIRST };
        Self { what, next_try: now + wait, wait }
    }

    /// Doubles the wait, up to the longest: what does not end soon ends late.
    pub fn again(&mut self, now: BootInstant) {
        const LONGEST: Duration = Duration::from_millis(200);
        self.wait = (self.wait * 2).min(LONGEST);
        self.next_try = now + self.wait;
    }
}

impl Service {
    /// Starts a process. The intent is written down before the spawn, and the pid after it.
    pub fn spawn(&mut self, world: &mut World, incarnation: u64) -> Fact {
        self.reports.clear();
        self.answers.clear();
        self.held = None;
        self.said = Said::default();
        self.reload = None;
        match self.try_spawn(world, incarnation) {
            Ok(process) => {
                let message = format!("start pid {} (incarnation {incarnation})", process.pid());
                if self.role != Role::Successor
                    && let Err(error) = world.wal.started(self.name.as_str(), incarnation, process.identity())
                {
                    tracing::error!(service = %self.name, %error, "writing the write-ahead log failed");
                }
                self.adopt(world, process, incarnation, false);
                self.began = world.tell(self, Kind::Start, self.cause, message);
                self.cause = 0;
                Fact::Spawned
            }
            Err(StartFailure::Ours(reason)) => {
                self.plan = None;
                Fact::Hindered(reason)
            }
            Err(StartFailure::Service(reason)) => {
                // The folder or the program may exist again at the next try.
                self.forget_plan();
                self.ended_at = Some(SystemTime::now());
                self.cause = world.tell(self, Kind::Exit, self.cause, format!("could not start: {reason}"));
                tracing::warn!(service = %self.name, "could not start: {reason}");
                Fact::SpawnFailed(reason)
            }
        }
    }

    fn try_spawn(&mut self, world: &mut World, incarnation: u64) -> Result<Process, StartFailure> {
        if self.plan.is_none() || !self.spec.env_file.is_empty() {
            let mut extra = self.extra_env.clone();
            extra.extend(self.notify_env(world));
            extra.extend(self.socket_env());
            let account = self.account().map_err(|error| error.to_string());
            let plan = account.and_then(|account| {
                Plan::make(&self.spec, account, self.env_of_caller(world), &extra, &world.host)
            });
            // A file that could not be opened for want of a descriptor says nothing about the service.
            self.plan = Some(plan.map_err(|reason| match os::duplicate(&world.null) {
                Err(error) if os::is_shortage(&error) => StartFailure::io(&reason, &error),
                _ => StartFailure::Service(reason),
            })?);
        }
        self.hold_sockets(&mut world.inherited)?;
        if self.is_listened_to() {
            world.listen_to(self, None)?;
        }
        let ids = self.plan.as_ref().and_then(Plan::ids).cloned();
        world.open_outputs(self, ids.as_ref(), true).map_err(|error| without_home("its outputs", &error))?;
        if self.cgroup.as_ref().is_none_or(|cgroup| cgroup.is_spent())
            && let Some(cgroups) = &world.cgroups
        {
            self.cgroup = None;
            self.cgroup = cgroups.service(&self.name.file_stem()).ok().map(Arc::new);
        }
        self.set_kernel_limits(world);
        self.look_for_readiness(world, incarnation);
        let open = |which: Which| {
            Output::for_service(&world.home.fifo(&self.name, which.word()))
                .map_err(|error| without_home(&format!("its std{}", which.word()), &error))
        };
        let (out, err) = (open(Which::Out)?, open(Which::Err)?);
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
        let cgroup = self.cgroup.as_ref().map(|cgroup| cgroup.descriptor());
        let spawned = os::spawn(launch, &fds, cgroup, Some(&world.birth));
        if spawned.as_ref().is_err_and(|error| error.ours) {
            // The cgroup may be the cause: the next try makes a new one.
            self.cgroup = None;
        }
        Ok(spawned?)
    }

    /// Makes a process the current run.
    pub fn adopt(&mut self, world: &World, process: Process, incarnation: u64, adopted: bool) {
        self.pending = None;
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
        let tree = Tree::new(identity, &world.instance, self.name.as_str(), self.cgroup.clone());
        self.tree = Some(tree.of_run(incarnation, world.fifos_of(&self.name)));
        self.run = Some(Run { process, incarnation, adopted });
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

    /// Tells the run to end: by `stop.command` if there is one, else by the stop signal.
    pub fn terminate(&mut self, world: &mut World, why: WhyEnd) {
        if why == WhyEnd::NotReady {
            self.cause = world.tell(self, Kind::Decision, self.cause, "not ready in time: restart".into());
        }
        if let Some(argv) = self.spec.stop.command.clone() {
            match self.run_stop_command(world, &argv) {
                Ok(()) => {
                    self.cause =
                        world.tell(self, Kind::Signal, self.cause, format!("runs {}", argv.join(" ")));
                    return;
                }
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
        let count = if main_only { 1 } else { self.tree.as_ref().map_or(1, Tree::count).max(1) };
        let sent = self.send(number, main_only).and_then(|()| {
            // A process that SIGSTOP has frozen handles no signal until it continues.
            self.send(signal::CONT, main_only)
        });
        if let Err(error) = sent {
            tracing::warn!(service = %self.name, %error, "sending {name} failed");
            if error.kind() == std::io::ErrorKind::Unsupported {
                // It cannot receive the signal: waiting would only cost the whole stop timeout.
                let words = format!("{name} can not be sent: {error}");
                self.cause = world.tell(self, Kind::Signal, self.cause, words);
                return self.kill(world);
            }
        }
        self.cause = world.tell(self, Kind::Signal, self.cause, format!("{name} to {}", processes(count)));
    }

    /// Sends a signal to the leader, or to its whole group.
    pub fn send(&self, number: i32, main_only: bool) -> std::io::Result<()> {
        match (&self.run, &self.tree) {
            (Some(_), Some(tree)) if !main_only => tree.signal_group(number),
            (Some(run), _) => run.process.signal(number),
            (None, _) => Ok(()),
        }
    }

    fn run_stop_command(&mut self, world: &mut World, argv: &[String]) -> Result<(), String> {
        let account = self.account().map_err(|error| error.to_string())?;
        let caller = self.env_of_caller(world);
        let mut plan = Plan::of(&self.spec, account, argv, caller, &self.extra_env, &world.host)?;
        let incarnation = self.unit.incarnation();
        let open = |which: Which| Output::for_service(&world.home.fifo(&self.name, which.word()));
        let (out, err) =
            (open(Which::Out).map_err(|e| e.to_string())?, open(Which::Err).map_err(|e| e.to_string())?);
        let launch = plan.run(&world.instance, &self.name, incarnation);
        let cgroup = self.cgroup.as_ref().map(|cgroup| cgroup.descriptor());
        let process =
            os::spawn(launch, &[os::borrow(&world.null), os::borrow(&out), os::borrow(&err)], cgroup, None)
                .map_err(|error| error.to_string())?;
        self.stopper = Some(Run { process, incarnation, adopted: false });
        Ok(())
    }

    /// Kills every process of the run.
    pub fn kill(&mut self, world: &mut World) {
        let count = self.tree.as_ref().map_or(1, Tree::count).max(1);
        if let Some(tree) = &self.tree {
            tree.kill_all();
        }
        if let Some(run) = &self.run
            && let Err(error) = run.process.signal(signal::KILL)
        {
            tracing::error!(service = %self.name, %error, "killing it failed");
        }
        self.cause = world.tell(self, Kind::Signal, self.cause, format!("SIGKILL to {}", processes(count)));
    }

    /// Reaps the leader, which has ended, and returns how it ended. After a crash the rest of its group is killed,
    /// while the group still belongs to it.
    pub fn reap(&mut self, world: &mut World, now: BootInstant) -> Option<Fact> {
        let run = self.run.take()?;
        self.limits = None;
        if self.unit.ends_because().is_none()
            && let Some(tree) = &self.tree
        {
            tree.kill_group();
        }
        let exit = run.process.reap();
        let after = self.unit.uptime(now).unwrap_or_default();
        self.ended_at = Some(SystemTime::now());
        self.held = None;
        let adopted = if run.adopted && exit == Exit::Unknown { " (adopted)" } else { "" };
        let by = if matches!(exit, Exit::Signal(_)) { "ended by " } else { "" };
        let (fact, words) = self.end_of(exit);
        let message = format!("{by}{words}{adopted} after {}", took(after));
        self.cause = world.tell(self, Kind::Exit, self.cause, message);
        if run.adopted && self.cgroup.is_none() {
            // Its orphans went to another parent: only a scan finds them.
            self.needs_scan(now);
        }
        Some(fact)
    }

    /// Requires a scan of the whole host for processes of the last run, before the next run begins.
    pub fn needs_scan(&mut self, now: BootInstant) {
        self.unseen = true;
        self.pending = Some(Pending::new(Waiting::Scan { left: 2 }, now));
    }

    /// Waits until the group is empty. `orphans` are the supervisor's children that lead no run.
    pub fn drain(&mut self, orphans: &[u32], now: BootInstant) -> Option<Fact> {
        let empty = self.tree.as_ref().is_none_or(|tree| tree.group_is_empty(orphans));
        self.wait_unless(empty, Waiting::Drain, Fact::Drained, now)
    }

    /// Ends what the run left behind. `orphans` returns the supervisor's children that lead no run; called only if
    /// needed.
    pub fn sweep(&mut self, orphans: impl FnOnce() -> Vec<u32>, now: BootInstant) -> Option<Fact> {
        let left = self.tree.as_ref().map_or(Left::Nothing, |tree| tree.kill_leftovers(orphans));
        if left == Left::Nothing && (!self.unit.is_wanted() || self.unseen) {
            // All processes of the host are scanned before "stopped" is reported.
            let left = if self.cgroup.is_some() { 1 } else { 2 };
            self.pending = Some(Pending::new(Waiting::Scan { left }, now));
            return None;
        }
        self.wait_unless(left == Left::Nothing, Waiting::Sweep, Fact::Swept, now)
    }

    /// Handles a scan that found this many processes of the service, and killed them.
    pub fn scanned(&mut self, found: usize, now: BootInstant) -> Option<Fact> {
        const AFTER_KILL: Duration = Duration::from_millis(5);
        let pending = self.pending.as_mut()?;
        let Waiting::Scan { left } = &mut pending.what else { return None };
        *left = if found > 0 { 2 } else { left.saturating_sub(1) };
        if *left == 0 {
            self.pending = None;
            self.unseen = false;
            self.tree = None;
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
            self.pending = None;
            if what == Waiting::Sweep {
                self.tree = None;
            }
            return Some(fact);
        }
        match &mut self.pending {
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

fn processes(count: usize) -> String {
    if count == 1 { "1 process".into() } else { format!("{count} processes") }
}

/// Classifies a FIFO that cannot be opened. If its folder is missing, home was deleted and is about to be made again:
/// that is no fault of the service.
fn without_home(what: &str, error: &io::Error) -> StartFailure {
    match error.kind() {
        io::ErrorKind::NotFound => StartFailure::Ours(format!("{what}: {error}")),
        _ => StartFailure::io(what, error),
    }
}
