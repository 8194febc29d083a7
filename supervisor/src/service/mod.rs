//! One service as it really is: its settings, its unit, its process and what watches them.
//!
//! | file | what it does |
//! |---|---|
//! | [`plan`] | settings → everything a start needs, prepared |
//! | [`driver`] | performs what the unit asks for: spawn, terminate, kill, drain, sweep |
//! | [`limits`] | what a run may use, and when it counts as frozen |
//! | `failure` | why a start failed: for a cause of ours, or of the service |
//! | [`notify`] | what it says of itself over its notify socket |
//! | `notify_sockets` | the notify sockets of all services |
//! | [`answers`] | how monitors' requests were answered, so that repeats are counted |
//! | [`sockets`] | listening sockets that outlive every run |
//! | `restricted` | what its checks run with, where it is confined |
//! | [`reports`] | what the monitors said of its checks |
//! | [`timer`] | its times by the clock of the wall |
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
use std::time::{Duration, SystemTime};

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

/// What a service is to Sereno.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// One of the user's.
    Service,
    /// A daemon of Sereno's own that this supervisor runs: a monitor or the guard.
    Daemon,
    /// A second run of a service, which is to take the place of the first.
    Successor,
    /// A run whose place was taken, or that was to take one and must not any more.
    Retired,
}

/// The FIFOs that a service writes its outputs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fifos {
    /// Not open yet.
    Closed,
    /// Read from.
    Open,
    /// Read from, but without a name, as home was deleted since: only the run that has them open can write to them.
    Nameless,
}

/// One service.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// What it is to Sereno.
    pub role: Role,
    /// Its settings.
    pub spec: sereno_config::Service,
    /// More environment: for monitors, and for who is one of several.
    pub extra_env: BTreeMap<String, String>,
    /// The environment it was added in, where no file names it.
    pub caller_env: Option<sereno_config::Env>,
    /// What it does and is to do.
    pub unit: Unit,
    /// Everything for the next start; made when first needed.
    pub plan: Option<Plan>,
    /// Whether it is wanted up, as far as that is written down.
    pub written_wanted: bool,
    /// The run whose end is written down, if one is.
    pub written_end: Option<u64>,
    /// Its process.
    pub run: Option<Run>,
    /// The processes of the current or the last run, until they are gone.
    pub tree: Option<Tree>,
    /// Its cgroup, where it has one.
    pub cgroup: Option<Arc<Cgroup>>,
    /// Waiting for leftovers to go.
    pub pending: Option<Pending>,
    /// The last run may have left processes that only a look at the whole host finds.
    pub unseen: bool,
    /// A `stop.command` that is under way.
    pub stopper: Option<Run>,
    /// Sockets that are bound for it.
    pub sockets: Vec<sockets::Held>,
    /// Its stdout and stderr, as they are kept.
    pub outputs: [Arc<Shared>; 2],
    /// Whether they are ready to be written to.
    pub fifos: Fifos,
    /// What monitors said of its checks.
    pub reports: Reports,
    /// What monitors may still ask for.
    pub ledger: Ledger,
    /// How requests about the current run were answered.
    pub answers: Answers,
    /// A restart that was asked for and waits.
    pub held: Option<Held>,
    /// A person paused it.
    pub pause: Option<Pause>,
    /// The event that leads to the next one; 0: none known.
    pub cause: u64,
    /// The event that began the current run.
    pub began: u64,
    /// When the last run ended.
    pub ended_at: Option<SystemTime>,
    /// Why its dependencies do not hold.
    pub missing: Option<String>,
    /// What it waits for by the clock of the wall.
    pub timer: Option<timer::Timer>,
    /// Which of its files can not be watched.
    pub unwatched: Option<String>,
    /// Who has the port that it wants.
    pub obstacle: Option<String>,
    /// What it said over its notify socket.
    pub said: Said,
    /// A new run is to take the place of this one, or could not.
    pub reload: Option<Reload>,
    /// What is watched of the current run.
    pub limits: Option<limits::Limits>,
}

/// A new run beside the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// Its number.
    pub incarnation: u64,
    /// Why it did not come about.
    pub failed: Option<String>,
}

/// A restart that a monitor asked for and that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which answer it got.
    pub decision: Decision,
    /// What would release it.
    pub message: String,
    /// When asking again makes sense.
    pub until: Option<BootInstant>,
    /// Whose requests.
    pub checks: BTreeSet<Name>,
    /// The decision in the journal.
    pub seq: u64,
}

/// A pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// `None`: until a person resumes it.
    pub until: Option<BootInstant>,
}

impl Service {
    /// A service that has never run.
    pub fn new(name: Name, role: Role, spec: sereno_config::Service, seed: u64) -> Self {
        let unit = Unit::new(Rules::of(&spec), seed);
        Self::with_unit(name, role, spec, unit)
    }

    /// A service with what is known of it.
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

    /// Takes new settings over; the process goes on as it is.
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

    /// Tells the environment it was added in; `None`: the one of the file.
    pub fn set_caller_env(&mut self, env: Option<sereno_config::Env>) {
        if self.caller_env != env {
            self.caller_env = env;
            self.plan = None;
        }
    }

    /// What it inherits from.
    pub(super) fn env_of_caller<'a>(&'a self, world: &'a World) -> &'a sereno_config::Env {
        self.caller_env.as_ref().unwrap_or(&world.env)
    }

    /// One of its outputs.
    pub fn output(&self, which: Which) -> Arc<Shared> {
        let [out, err] = &self.outputs;
        Arc::clone(if which == Which::Out { out } else { err })
    }

    /// Whether it stands beside another of its name.
    pub fn is_second(&self) -> bool {
        matches!(self.role, Role::Successor | Role::Retired)
    }

    /// Whether a person paused it; a pause whose time is over is none.
    pub fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// Ends a pause whose time is over.
    pub fn end_pause(&mut self, now: BootInstant) {
        if self.pause.is_some_and(|pause| pause.until.is_some_and(|until| until <= now)) {
            self.pause = None;
            self.unit.observe(now, Fact::Paused(false));
        }
    }

    /// When something is to be done although nothing happens.
    pub fn deadline(&self) -> Option<BootInstant> {
        let pending = self.pending.as_ref().map(|pending| pending.next_try);
        let pause = self.pause.and_then(|pause| pause.until);
        let look = self.limits.as_ref().map(|limits| limits.next);
        [self.unit.deadline(), pending, pause, look, self.overdue_at()].into_iter().flatten().min()
    }

    /// Whether a process belongs to its current run.
    pub fn has_process(&self, pid: u32) -> bool {
        pid != 0 && (self.pid() == pid || self.tree.as_ref().is_some_and(|tree| tree.pids().contains(&pid)))
    }

    /// Its leader; 0: nothing runs.
    pub fn pid(&self) -> u32 {
        self.run.as_ref().map_or(0, |run| run.process.pid())
    }

    /// How soon the first check of a starting run can be repeated: what "current interval" is.
    pub fn pace(&self, interval: Duration, now: BootInstant) -> Duration {
        const FIRST: Duration = Duration::from_millis(250);
        match self.unit.uptime(now) {
            Some(uptime) if !self.unit.is_ready() => interval.min(uptime.max(FIRST)),
            _ => interval,
        }
    }
}
