//! A changed file: what it would change, and applying it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto::Name;
use sereno_config::{Config, SupervisorTable};

use super::Manager;
use super::command::{Effect, Plan, Source, Step};
use super::diff::diff;
use crate::disk::applied::{self, About, Applied};
use crate::disk::launch;
use crate::journal::{Changed, Detail, Kind};
use crate::lifecycle::arbiter::words;
use crate::lifecycle::deps::{self, Graph};
use crate::lifecycle::{BootInstant, Fact, Request};
use crate::os;
use crate::service::{Role, Service, TooFewDescriptors};

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file has errors.
    #[error("{0}")]
    Problems(sereno_config::Problems),
    /// The plan no longer holds.
    #[error("the plan no longer holds: the file or the services have changed since; plan again")]
    Moved,
    /// A service that was added by hand conflicts with the file.
    #[error("{0} was added by \"ctl run\": {1}; \"ctl remove {0}\" takes it away")]
    Added(String, String),
    /// The name is already taken.
    #[error("{0} is there already; take another name, or take it away first")]
    Exists(Name),
    /// A service with this name is still being stopped.
    #[error("{0} is still being stopped: try again when it is gone")]
    Leaving(Name),
    /// The service is named by the file; only services added by hand are removed by hand.
    #[error("{0} stands in the file: take it out there, then \"ctl apply\"")]
    OfFile(Name),
    /// No service has this name.
    #[error("no service has the name {0}")]
    Unknown(Name),
    /// Another service depends on it.
    #[error("{0} can not be removed: {1} depends on it")]
    Needed(Name, Name),
    /// The file is for another home.
    #[error("the file's home is {0}, this supervisor's is {1}")]
    OtherHome(PathBuf, PathBuf),
    /// Another file is applied here.
    #[error(transparent)]
    OtherFile(#[from] applied::OtherFile),
    /// The services need more descriptors than the supervisor may have.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// The applied file could not be saved.
    #[error("keeping the applied file: {0}")]
    Disk(#[from] std::io::Error),
    /// What the file names could not be looked at in time.
    #[error("the env_files, folders or programs that it names do not answer within {within}", within = words(*.0))]
    NoAnswer(Duration),
    /// The supervisor is shutting down.
    #[error("the supervisor is shutting down")]
    Going,
}

/// A file that was read, and checked against the host.
#[derive(Debug)]
pub struct ReadFile {
    /// The file and its environment.
    pub source: Source,
    pub(super) config: Config,
    applied: Applied,
}

impl ReadFile {
    /// Reads a file and checks its form and what it needs of the host.
    pub fn read(source: Source) -> Result<Self, ConfigError> {
        let (config, applied) = read(&source)?;
        Ok(Self { source, config, applied })
    }
}

/// Reads a file and checks its form and what it needs of the host. Returns the configuration and what to store of it.
pub(crate) fn read(source: &Source) -> Result<(Config, Applied), ConfigError> {
    let config =
        sereno_config::load(&source.path, &source.text, &source.env).map_err(ConfigError::Problems)?;
    let wrong = sereno_config::check_world(&config, &source.env);
    if !wrong.0.is_empty() {
        return Err(ConfigError::Problems(wrong));
    }
    let text = sereno_config::applied_text(&source.path, &source.text, &source.env)
        .map_err(ConfigError::Problems)?;
    let about = About {
        source: source.path.clone(),
        checksum: applied::checksum(&source.text),
        env: source.env.clone(),
    };
    Ok((config, Applied { text, about }))
}

/// Returns the dependency graph of the services; monitors have no dependencies.
pub(super) fn graph(config: &Config) -> Graph {
    config.services.iter().map(|(name, service)| (name.clone(), service.depends_on.clone())).collect()
}

impl Manager {
    pub(super) fn plan_for(&self, config: &Config, source: &Source) -> Result<Plan, ConfigError> {
        let ours = self.world.home.root();
        if !same_place(&config.supervisor.home, ours) {
            return Err(ConfigError::OtherHome(config.supervisor.home.clone(), ours.into()));
        }
        let id = format!("{:08x}-{}", applied::checksum(&source.text), self.changes.number());
        Ok(Plan {
            id,
            steps: self.steps(config),
            monitors: self.monitor_steps(config),
            notes: notes(&self.in_force, &config.supervisor),
        })
    }

    pub(super) fn apply(
        &mut self,
        file: ReadFile,
        plan: &str,
        start: bool,
        who: &str,
    ) -> Result<Plan, ConfigError> {
        if self.going.is_some() {
            return Err(ConfigError::Going);
        }
        let ReadFile { source, config, applied } = file;
        let config = self.with_added(config)?;
        self.follow_changes(os::now());
        let now_plan = self.plan_for(&config, &source)?;
        if !plan.is_empty() && plan != now_plan.id {
            return Err(ConfigError::Moved);
        }
        TooFewDescriptors::judge(&config)?;
        self.keep(&applied, &now_plan.steps)?;
        if let Err(error) = launch::update(&self.world.home, &config) {
            tracing::error!(%error, "writing down how the supervisor was started failed");
        }
        let steps = now_plan.steps.iter().chain(&now_plan.monitors);
        let changed = steps.filter(|step| step.effect != Effect::None).count();
        let what = if start { "up" } else { "apply" };
        let message = format!("{what} by {who}: {} ({changed} changed)", source.path.display());
        let seq = self.world.tell_own(applied_detail(&now_plan), message);
        if self.config.supervisor != config.supervisor {
            for note in &now_plan.notes {
                self.world.tell_own(Kind::Config, note.clone());
            }
        }
        self.world.env.clone_from(&source.env);
        (self.about, self.applied_text) = (Arc::new(applied.about), applied.text);
        self.home.notice = None;
        let steps = self.take_over(config, now_plan.steps.clone(), start, seq);
        self.write_down_wants();
        self.write_down_ends();
        Ok(Plan { steps, ..now_plan })
    }

    /// Makes the file the applied file, also for a supervisor that is started a moment later: it too restarts the
    /// services that still run with the previous settings.
    fn keep(&mut self, applied: &Applied, steps: &[Step]) -> std::io::Result<()> {
        let runs = |step: &&Step| {
            let service = self.services.get(&step.service);
            step.effect == Effect::Restart && service.is_some_and(|service| service.unit.is_alive())
        };
        let restarts: Vec<Name> = steps.iter().filter(runs).map(|step| step.service.clone()).collect();
        let written = restarts.iter().try_for_each(|name| self.remember_restart(name));
        let written = written.and_then(|()| applied::save(&self.world.home.state(), applied));
        if written.is_err() {
            for name in &restarts {
                self.forget_restart(name);
            }
        }
        written
    }

    /// Returns what the file would change: stops first (dependants before their dependencies), then the rest in the
    /// opposite order.
    pub(super) fn steps(&self, config: &Config) -> Vec<Step> {
        let users = self.services.values().filter(|service| service.is_users());
        let old: BTreeMap<&Name, &Service> = users
            .filter(|s| !self.leaving.contains(&s.name))
            .map(|service| (&service.name, service))
            .collect();
        let stop = |name: &Name| Step { service: name.clone(), effect: Effect::Stop, changes: Vec::new() };
        let mut steps: Vec<Step> = deps::order(&self.graph)
            .iter()
            .rev()
            .filter(|name| old.contains_key(name) && !config.services.contains_key(*name))
            .map(stop)
            .collect();
        for name in deps::order(&graph(config)) {
            let new = &config.services[&name];
            let (effect, changes) = match old.get(&name) {
                None if new.autostart && new.schedule.is_some() => {
                    (Effect::Start, vec!["a job: it waits for its time".into()])
                }
                None if new.autostart => (Effect::Start, Vec::new()),
                None => (Effect::Live, vec!["added, not started (autostart = false)".into()]),
                Some(service) => match diff(&service.spec, new) {
                    // It is no longer a job: it must run now instead of waiting.
                    (Effect::Restart, changes) if waits_for_its_time(service) && new.schedule.is_none() => {
                        (if new.autostart { Effect::Start } else { Effect::Live }, changes)
                    }
                    // A stopped service reads the change at its next start, and a change does not interrupt a job's
                    // run.
                    (Effect::Restart, changes) if !service.unit.is_alive() || is_job(service, new) => {
                        (Effect::Live, changes)
                    }
                    compared => compared,
                },
            };
            steps.push(Step { service: name, effect, changes });
        }
        steps
    }

    pub(super) fn take_over(
        &mut self,
        config: Config,
        mut steps: Vec<Step>,
        start: bool,
        seq: u64,
    ) -> Vec<Step> {
        let now = os::now();
        self.graph = graph(&config);
        for step in &mut steps {
            let name = step.service.clone();
            if step.effect != Effect::None {
                self.end_reload(&name, "its settings have changed", now);
            }
            if step.effect == Effect::Stop {
                self.leaving.insert(name.clone());
                self.stop_queue.insert(name.clone());
                if let Some(service) = self.services.get_mut(&name) {
                    service.story.goes_on_from(seq);
                }
                continue;
            }
            let spec = config.services[&name].clone();
            let autostart = spec.autostart;
            self.leaving.remove(&name);
            if let Some(service) = self.services.get_mut(&name) {
                if step.effect != Effect::None {
                    let becomes_job = spec.schedule.is_some() && service.spec.schedule.is_none();
                    service.change(spec);
                    if becomes_job && service.unit.is_wanted() {
                        // The current run is not a run of the job, and a pending start must wait for the schedule.
                        service.request(Request::Stop, seq, now);
                        service.request(Request::Arm, seq, now);
                    }
                    service.watch_limits(&self.world);
                    self.world.change_rotation(service);
                }
            } else {
                let mut service = Service::new(name.clone(), Role::Service, spec, seed(&name, now));
                service.wait_for_times(None);
                self.services.insert(service);
            }
            let caller_env = self.added.env_of(&name);
            if let Some(service) = self.services.get_mut(&name) {
                service.set_caller_env(caller_env);
            }
            let service = &self.services[&name];
            let (alive, waits) = (service.unit.is_alive(), waits_for_its_time(service));
            if step.effect == Effect::Restart && self.services[&name].spec.schedule.is_none() {
                self.request(&name, Request::Restart, seq, now);
            } else if autostart && !alive && (start && !waits || step.effect == Effect::Start) {
                step.effect = Effect::Start;
                self.request(&name, Request::Arm, seq, now);
            }
        }
        self.change_daemons(&config, now);
        self.config = config;
        self.watched_again(now);
        self.close_notify_sockets();
        self.watch_files();
        steps
    }

    fn request(&mut self, name: &Name, request: Request, seq: u64, now: BootInstant) {
        self.stop_queue.remove(name);
        if let Some(service) = self.services.get_mut(name) {
            if service.spec.schedule.is_none() && !service.unit.is_alive() {
                // Applies also to a service that was wanted before and had failed.
                let _ = self.world.wal.start(name.as_str());
            }
            service.request(request, seq, now);
        }
    }

    /// Tells every unit which of its checks have a monitor now.
    pub(super) fn watched_again(&mut self, now: BootInstant) {
        let kinds = self.watched_kinds();
        for service in self.services.values_mut() {
            for (id, check) in &service.spec.checks {
                let watched = kinds.contains(&check.kind);
                service.unit.observe(now, Fact::Watched(id.clone(), watched));
            }
        }
    }
}

/// Returns a note for each key that is only read at startup and has changed since.
fn notes(in_force: &SupervisorTable, new: &SupervisorTable) -> Vec<String> {
    let changed = [
        ("listen", in_force.listen != new.listen),
        ("metrics", in_force.metrics != new.metrics),
        ("tls", in_force.tls != new.tls),
    ];
    let note =
        |(key, _)| format!("[supervisor] {key} is not as it runs: \"ctl upgrade\" brings it into force");
    changed.into_iter().filter(|(_, changed)| *changed).map(note).collect()
}

/// Returns whether this is a job that waits for its time and does not run now.
fn waits_for_its_time(service: &Service) -> bool {
    service.spec.schedule.is_some() && service.unit.is_wanted() && !service.unit.is_alive()
}

/// Returns whether this is a job both before and after the change.
fn is_job(service: &Service, new: &sereno_config::Service) -> bool {
    service.spec.schedule.is_some() && new.schedule.is_some()
}

/// Returns a seed for the random part of a service's backoff: services that crash together must not restart together.
pub(super) fn seed(name: &Name, now: BootInstant) -> u64 {
    let bytes = name.as_str().bytes().map(u64::from);
    bytes.fold(u64::from(now.elapsed().subsec_nanos()), |seed, byte| seed.wrapping_mul(31).wrapping_add(byte))
}

fn same_place(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.into());
    real(a) == real(b)
}

fn applied_detail(plan: &Plan) -> Detail {
    let steps = plan.steps.iter().chain(&plan.monitors).filter(|step| step.effect != Effect::None);
    let change = |step: &Step| Changed { service: step.service.to_string(), changes: step.changes.clone() };
    Detail::Applied { changes: steps.map(change).collect() }
}
