//! One service as it runs: its settings, its unit, its process and what watches them.
//!
//! | file | what it does |
//! |---|---|
//! | [`plan`] | settings → everything a start needs, prepared |
//! | `prepare` | looks up what a start needs, on a thread of its own |
//! | [`driver`] | performs the unit's actions: spawn, terminate, kill, drain, sweep |
//! | `examined` | its run as evidence is taken of it, and what `stop.evidence` asks |
//! | [`limits`] | what a run may use, and when it counts as frozen |
//! | `failure` | why a start failed: a fault of the service, or a lack of the supervisor |
//! | [`notify`] | messages of the service over its notify socket |
//! | `notify_sockets` | the notify sockets of all services |
//! | [`answers`] | how requests for a restart were answered, so that repeats are counted |
//! | [`sockets`] | listening sockets that outlive every run |
//! | `processes` | the processes of the current run, and what the last one left |
//! | `health` | what is known of how well it is |
//! | `story` | what led to its present state: how its events follow from each other |
//! | `restricted` | rights and environment of its checks' commands, where it is confined |
//! | `stop_command` | runs `stop.command`, which is told the main process as `MAINPID` |
//! | [`reports`] | what the monitors reported of its checks |
//! | [`timer`] | its wall-clock times |
//! | [`world`] | what all services share: home, logs, cgroups, journal |

pub mod answers;
pub mod driver;
mod examined;
mod failure;
mod health;
pub mod limits;
pub mod notify;
mod notify_sockets;
pub mod plan;
mod prepare;
mod processes;
pub mod reports;
mod restricted;
pub mod sockets;
mod stop_command;
mod story;
pub mod timer;
pub mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use proto::Name;
use sereno_config::{Account, AccountError};

use crate::lifecycle::tally::Tally;
use crate::lifecycle::unit::Rules;
use crate::lifecycle::{BootInstant, Fact, Unit};
use crate::logs::{Shared, Which};
use crate::os::pipe::ServiceEnd;

pub use answers::Answers;
pub use failure::{StartFailure, TooFewDescriptors};
pub use health::{Health, Held};
pub use notify::Said;
pub use notify_sockets::{Notification, NotifySockets};
pub use plan::Plan;
pub use prepare::{Preparation, Prepared, Purpose};
pub use processes::{Pending, Processes, Run, Waiting};
pub use reports::Reports;
pub use restricted::Restricted;
pub use story::Story;
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
#[derive(Debug)]
pub enum Fifos {
    /// The FIFOs are not open yet.
    Closed,
    /// The supervisor reads from the FIFOs, and has the ends of stdout and stderr that runs write to.
    Open([ServiceEnd; 2]),
    /// The supervisor reads from the FIFOs, but they have no path since home was deleted: only the run that has them
    /// open can write to them.
    Nameless,
}

/// The outputs of a service.
#[derive(Debug)]
pub struct Outputs {
    /// The progress of its stdout and stderr logs.
    pub logs: [Arc<Shared>; 2],
    /// The state of the FIFOs that it writes to.
    pub fifos: Fifos,
}

/// What the write-ahead log says of a service.
#[derive(Debug)]
pub struct Written {
    /// Whether it is wanted up, as last written down.
    pub wanted: bool,
    /// The run that has its end written down, if any.
    pub end: Option<u64>,
}

/// Environment variables that do not come from the settings of a service.
#[derive(Debug, Clone, Default)]
pub struct ServiceEnv {
    /// Additional variables: for monitors, and for an instance of several.
    pub extra: BTreeMap<String, String>,
    /// The environment of the `ctl run` that added it, if no file names it.
    pub caller: Option<sereno_config::Env>,
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
    /// How many settings any service had before these.
    settings: u64,
    /// Its environment, besides its settings.
    pub env: ServiceEnv,
    /// The prepared start; made when first needed.
    pub plan: Option<Plan>,
    /// What is being looked up for it.
    pub preparation: Preparation,
    /// The user and groups of its settings, once looked up.
    account: OnceLock<Account>,
    /// Its state, and what must be done.
    pub unit: Unit,
    /// What is written down of that state.
    pub written: Written,
    /// The processes of its runs.
    pub processes: Processes,
    /// The sockets that are bound for it.
    pub sockets: Vec<sockets::Held>,
    /// Where its stdout and stderr go.
    pub outputs: Outputs,
    /// What is known of how well it is.
    pub health: Health,
    /// What is counted for the metrics.
    pub tally: Tally,
    /// What led to its present state.
    pub story: Story,
    /// The pause, if a person paused it.
    pub pause: Option<Pause>,
    /// Which dependency is missing, in words.
    pub missing: Option<String>,
    /// The timer of its wall-clock times.
    pub timer: Option<timer::Timer>,
    /// Which of its files cannot be watched, and why.
    pub unwatched: Option<String>,
    /// A reload that is under way or has failed.
    pub reload: Option<Reload>,
}

/// A new run beside the current run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// The new run's incarnation.
    pub incarnation: u64,
    /// Why the reload failed, if it did.
    pub failed: Option<String>,
}

/// A pause set by a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pause {
    /// When it ends; `None` until a person resumes the service.
    pub until: Option<BootInstant>,
}

/// Returns a number for new settings.
fn next_settings() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
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
        Self {
            name,
            role,
            spec,
            settings: next_settings(),
            env: ServiceEnv { extra: instance.into_iter().collect(), caller: None },
            plan: None,
            preparation: Preparation::default(),
            account: OnceLock::new(),
            written: Written { wanted: unit.is_wanted(), end: None },
            unit,
            processes: Processes::default(),
            sockets: Vec::new(),
            outputs: Outputs { logs: Default::default(), fifos: Fifos::Closed },
            health: Health::default(),
            tally: Tally::default(),
            story: Story::default(),
            pause: None,
            missing: None,
            timer: None,
            unwatched: None,
            reload: None,
        }
    }

    /// Takes new settings over; the process continues unchanged.
    pub fn change(&mut self, spec: sereno_config::Service) {
        self.unit.set_rules(Rules::of(&spec));
        self.health.reports.keep_only(&spec);
        let before = self.cron().cloned();
        self.spec = spec;
        self.settings = next_settings();
        self.forget_plan();
        if self.cron() != before.as_ref() {
            self.wait_for_times(None);
        }
    }

    /// Forgets what was looked up, so that the next start looks again.
    fn forget_plan(&mut self) {
        self.plan = None;
        self.preparation.begin_again();
        self.account = OnceLock::new();
    }

    /// Returns the user and groups that it runs as. They are looked up once: the answer may come over a network, and
    /// the manager waits for it.
    pub fn account(&self) -> Result<&Account, AccountError> {
        if let Some(known) = self.account.get() {
            return Ok(known);
        }
        let found = sereno_config::account(self.spec.user.as_deref(), self.spec.group.as_deref())?;
        Ok(self.account.get_or_init(|| found))
    }

    /// Sets the environment that it was added in; `None` for the file's environment.
    pub fn set_caller_env(&mut self, env: Option<sereno_config::Env>) {
        if self.env.caller != env {
            self.env.caller = env;
            self.settings = next_settings();
            self.plan = None;
            self.preparation.begin_again();
        }
    }

    /// Returns a number that no other settings have, of this or any other service.
    pub fn settings(&self) -> u64 {
        self.settings
    }

    /// Returns the run that monitors check; `None` if nothing runs, or it is about to end.
    pub fn live_incarnation(&self) -> Option<u64> {
        (self.unit.is_started() && self.processes.run.is_some()).then(|| self.unit.incarnation())
    }

    /// Returns why its run counts as frozen.
    pub fn frozen(&self) -> Option<&str> {
        self.processes.limits.as_ref()?.frozen.as_deref()
    }

    /// Returns the environment that it inherits from.
    pub(super) fn env_of_caller<'a>(&'a self, world: &'a World) -> &'a sereno_config::Env {
        self.env.caller.as_ref().unwrap_or(&world.env)
    }

    /// Returns the log of an output.
    pub fn output(&self, which: Which) -> Arc<Shared> {
        let [out, err] = &self.outputs.logs;
        Arc::clone(if which == Which::Out { out } else { err })
    }

    /// Returns whether it is the second run of a service: the new one, or the one that it has replaced.
    pub fn is_second(&self) -> bool {
        matches!(self.role, Role::Successor | Role::Retired)
    }

    /// Returns whether it is a new run that has not replaced the old one yet.
    pub fn is_successor(&self) -> bool {
        self.role == Role::Successor
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
        let pending = self.processes.pending.as_ref().map(|pending| pending.next_try);
        let pause = self.pause.and_then(|pause| pause.until);
        let look = self.processes.limits.as_ref().map(|limits| limits.next);
        let prepared = self.preparation.deadline();
        [self.unit.deadline(), pending, pause, look, prepared, self.overdue_at()].into_iter().flatten().min()
    }
}
