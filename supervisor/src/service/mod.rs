//! One service as it runs: its settings, its unit, its process and what watches them.
//!
//! | file | what it does |
//! |---|---|
//! | [`plan`] | settings → everything a start needs, prepared |
//! | [`driver`] | performs the unit's actions: spawn, terminate, kill, drain, sweep |
//! | [`limits`] | what a run may use, and when it counts as frozen |
//! | `failure` | why a start failed: a fault of the service, or a lack of the supervisor |
//! | [`notify`] | messages of the service over its notify socket |
//! | `notify_sockets` | the notify sockets of all services |
//! | [`answers`] | how monitors' requests were answered, so that repeats are counted |
//! | [`sockets`] | listening sockets that outlive every run |
//! | `restricted` | rights and environment of its checks' commands, where it is confined |
//! | [`reports`] | what the monitors reported of its checks |
//! | [`timer`] | its wall-clock times |
//! | [`world`] | what all services share: home, logs, cgroups, journal |

pub mod answers;
pub mod driver;
mod failure;
pub mod limits;
pub mod notify;
mod notify_sockets;
pub mod plan;
pub mod reports;
mod restricted;
pub mod sockets;
pub mod timer;
pub mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use proto::Name;
use proto::v1::Decision;

use crate::lifecycle::arbiter::Ledger;
use crate::lifecycle::unit::Rules;
use crate::lifecycle::{BootInstant, Fact, Unit};
use crate::logs::{Shared, Which};
use crate::os::{Cgroup, Tree};

pub use answers::Answers;
pub use driver::{Pending, Run};
pub use failure::{StartFailure, TooFewDescriptors};
pub use notify::Said;
pub use notify_sockets::{Notification, NotifySockets};
pub use plan::Plan;
pub use reports::Reports;
pub use restricted::Restricted;
pub use world::World;

/// The role of a service in Sereno.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A service of the user.
    Service,
    /// A daemon of Sereno that this supervisor runs: a monitor or the guard.
    Daemon,
    /// A second run of a service, which will replace the first.
    Successor,
    /// A run that was replaced, or the successor of a cancelled reload.
    Retired,
}

/// The FIFOs that a service writes its outputs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fifos {
    /// The FIFOs are not open yet.
    Closed,
    /// The supervisor reads from the FIFOs.
    Open,
    /// The supervisor reads from the FIFOs, but they have no path since home was deleted: only the run that has them
    /// open can write to them.
    Nameless,
}

/// A service as it runs.
#[derive(Debug)]
pub struct Service {
    /// The service's name.
    pub name: Name,
    /// Its role in Sereno.
    pub role: Role,
    /// The service's settings.
    pub spec: sereno_config::Service,
    /// Additional environment: for monitors, and for an instance of several.
    pub extra_env: BTreeMap<String, String>,
    /// The environment of the `ctl run` that added it, if no file names it.
    pub caller_env: Option<sereno_config::Env>,
    /// Its state, and what must be done.
    pub unit: Unit,
    /// The prepared start; made when first needed.
    pub plan: Option<Plan>,
    /// Whether it is wanted up, as last written down.
    pub written_wanted: bool,
    /// The run that has its end written down, if any.
    pub written_end: Option<u64>,
    /// The current run's process.
    pub run: Option<Run>,
    /// The processes of the current or the last run, until they are gone.
    pub tree: Option<Tree>,
    /// Its cgroup, if it has one.
    pub cgroup: Option<Arc<Cgroup>>,
    /// A wait for leftover processes to end.
    pub pending: Option<Pending>,
    /// Whether the last run may have left processes that only a scan of the whole host finds.
    pub unseen: bool,
    /// The `stop.command` that is running.
    pub stopper: Option<Run>,
    /// The sockets that are bound for it.
    pub sockets: Vec<sockets::Held>,
    /// The progress of its stdout and stderr logs.
    pub outputs: [Arc<Shared>; 2],
    /// The state of its output FIFOs.
    pub fifos: Fifos,
    /// What monitors reported of its checks.
    pub reports: Reports,
    /// The restarts that monitors were granted.
    pub ledger: Ledger,
    /// How monitors' requests about the current run were answered.
    pub answers: Answers,
    /// A requested restart that is held.
    pub held: Option<Held>,
    /// The pause, if a person paused it.
    pub pause: Option<Pause>,
    /// The event that causes the next event; 0 if none is known.
    pub cause: u64,
    /// The event that began the current run.
    pub began: u64,
    /// When the last run ended.
    pub ended_at: Option<SystemTime>,
    /// Which dependency is missing, in words.
    pub missing: Option<String>,
    /// The timer of its wall-clock times.
    pub timer: Option<timer::Timer>,
    /// Which of its files cannot be watched, and why.
    pub unwatched: Option<String>,
    /// Which process holds the port that it wants.
    pub obstacle: Option<String>,
    /// What it reported over its notify socket.
    pub said: Said,
    /// A reload that is under way or has failed.
    pub reload: Option<Reload>,
    /// What is watched of the current run.
    pub limits: Option<limits::Limits>,
}

/// A new run beside the current run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// The new run's incarnation.
    pub incarnation: u64,
    /// Why the reload failed, if it did.
    pub failed: Option<String>,
}

/// A restart that a monitor asked for and that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The answer that the request got.
    pub decision: Decision,
    /// What would release it.
    pub message: String,
    /// When asking again makes sense.
    pub until: Option<BootInstant>,
    /// The checks that asked for it.
    pub checks: BTreeSet<Name>,
    /// The number of the decision's event in the journal.
    pub seq: u64,
}

/// A pause set by a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// When it ends; `None` until a person resumes the service.
    pub until: Option<BootInstant>,
}

impl Service {
    /// Creates a service that has never run.
    pub fn new(name: Name, role: Role, spec: sereno_config::Service, seed: u64) -> Self {
        let unit = Unit::new(Rules::of(&spec), seed);
        Self::with_unit(name, role, spec, unit)
    }

    /// Creates a service with a known unit.
    pub fn with_unit(name: Name, role: Role, spec: sereno_config::Service, unit: Unit) -> Self {
        let instance = name.instance().map(|number| ("SERENO_INSTANCE".to_string(), number.to_string()));
        let extra_env = instance.into_iter().collect();
        Self {
            name,
            role,
            spec,
            extra_env,
            caller_env: None,
            written_wanted: unit.is_wanted(),
            written_end: None,
            unit,
            plan: None,
            run: None,
            tree: None,
            cgroup: None,
            pending: None,
            unseen: false,
            stopper: None,
            sockets: Vec::new(),
            outputs: Default::default(),
            fifos: Fifos::Closed,
            reports: Reports::default(),
            ledger: Ledger::default(),
            answers: Answers::default(),
            held: None,
            pause: None,
            cause: 0,
            began: 0,
            ended_at: None,
            missing: None,
            timer: None,
            unwatched: None,
            obstacle: None,
            said: Said::default(),
            reload: None,
            limits: None,
        }
    }

    /// Takes new settings over; the process continues unchanged.
    pub fn change(&mut self, spec: sereno_config::Service) {
        self.unit.set_rules(Rules::of(&spec));
        self.reports.keep_only(&spec);
        let before = self.cron().cloned();
        self.spec = spec;
        self.plan = None;
        if self.cron() != before.as_ref() {
            self.wait_for_times(None);
        }
    }

    /// Sets the environment that it was added in; `None` for the file's environment.
    pub fn set_caller_env(&mut self, env: Option<sereno_config::Env>) {
        if self.caller_env != env {
            self.caller_env = env;
            self.plan = None;
        }
    }

    /// Returns the environment that it inherits from.
    pub(super) fn env_of_caller<'a>(&'a self, world: &'a World) -> &'a sereno_config::Env {
        self.caller_env.as_ref().unwrap_or(&world.env)
    }

    /// Returns the log of an output.
    pub fn output(&self, which: Which) -> Arc<Shared> {
        let [out, err] = &self.outputs;
        Arc::clone(if which == Which::Out { out } else { err })
    }

    /// Returns whether it is the second run beside another of its name.
    pub fn is_second(&self) -> bool {
        matches!(self.role, Role::Successor | Role::Retired)
    }

    /// Returns whether it is paused. Does not look at the time: `end_pause` ends a pause that is over.
    pub fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// Ends the pause if its time is over.
    pub fn end_pause(&mut self, now: BootInstant) {
        if self.pause.is_some_and(|pause| pause.until.is_some_and(|until| until <= now)) {
            self.pause = None;
            self.unit.observe(now, Fact::Paused(false));
        }
    }

    /// Returns when something must be done even if nothing happens.
    pub fn deadline(&self) -> Option<BootInstant> {
        let pending = self.pending.as_ref().map(|pending| pending.next_try);
        let pause = self.pause.and_then(|pause| pause.until);
        let look = self.limits.as_ref().map(|limits| limits.next);
        [self.unit.deadline(), pending, pause, look, self.overdue_at()].into_iter().flatten().min()
    }

    /// Returns whether a process belongs to its current run.
    pub fn has_process(&self, pid: u32) -> bool {
        pid != 0 && (self.pid() == pid || self.tree.as_ref().is_some_and(|tree| tree.pids().contains(&pid)))
    }

    /// Returns its leader's pid; 0 if nothing runs.
    pub fn pid(&self) -> u32 {
        self.run.as_ref().map_or(0, |run| run.process.pid())
    }
}
