//! Sereno's own daemons that this supervisor runs: the managed monitors, and a guard where no monitor guards the
//! supervisor.

use std::collections::{BTreeMap, BTreeSet};

use proto::Name;
use sereno_config::Home;
use sereno_config::{Config, Env, GUARD, Monitor};

use super::Manager;
use super::command::Effect;
use super::configure::seed;
use super::diff::diff;
use crate::disk::{applied, launch};
use crate::lifecycle::{BootInstant, Request, State};
use crate::os;
use crate::service::{Role, Service};

/// A daemon as a service, and its environment.
type Daemon = (sereno_config::Service, Env);

/// Returns a managed monitor as a service.
pub(super) fn monitor_service(name: &Name, monitor: &Monitor, home: &Home) -> Daemon {
    let beside = |name: &str| {
        let own = std::env::current_exe().ok()?;
        let path = own.parent()?.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        path.is_file().then(|| path.display().to_string())
    };
    let program =
        monitor.program.clone().or_else(|| beside(name.as_str())).unwrap_or_else(|| name.to_string());
    let mut argv = vec![program];
    argv.extend(monitor.args.iter().cloned());
    let mut service =
        sereno_config::Service::new(sereno_config::Command::Argv(argv), home.root().to_path_buf());
    service.restart = sereno_config::daemon_policy();
    let listen = monitor.endpoint.clone().unwrap_or_else(|| home.endpoint(name.as_str()).to_string());
    let env = [
        ("SERENO_MONITOR", name.to_string()),
        ("SERENO_SUPERVISOR", home.endpoint("supervisor").to_string()),
        ("SERENO_LISTEN", listen),
        ("SERENO_HOME", home.root().display().to_string()),
        ("SERENO_CONFIG", applied::path_in(&home.state()).display().to_string()),
    ];
    (service, env.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
}

/// Returns the endpoint that a monitor serves on.
pub(super) fn monitor_endpoint(name: &Name, monitor: &Monitor, home: &Home) -> String {
    monitor.endpoint.clone().unwrap_or_else(|| home.endpoint(name.as_str()).to_string())
}

/// Returns the guard as a service: this program with `--guard`. It notifies readiness when its fd store listens.
fn guard_service(home: &Home) -> Daemon {
    let program = launch::own_program().unwrap_or_else(|_| os::own_program());
    let argv = [program.display().to_string(), "--guard".into(), home.root().display().to_string()];
    let mut service =
        sereno_config::Service::new(sereno_config::Command::Argv(argv.into()), home.root().to_path_buf());
    service.restart = sereno_config::daemon_policy();
    service.ready = sereno_config::notified();
    (service, Env::new())
}

pub(super) fn guard_name() -> Name {
    Name::new(GUARD).expect("it is a name")
}

impl Manager {
    /// Returns every daemon that a file wants this supervisor to run.
    pub(super) fn daemons_of(&self, config: &Config) -> BTreeMap<Name, Daemon> {
        let home = &self.world.home;
        let managed = config.monitors.iter().filter(|(_, monitor)| monitor.managed);
        let monitors = managed.map(|(name, monitor)| (name.clone(), monitor_service(name, monitor, home)));
        let guard = self.runs_guard(config).then(|| (guard_name(), guard_service(home)));
        monitors.chain(guard).collect()
    }

    /// Returns whether a file calls for a guard process. Under an init system none is needed.
    pub(super) fn runs_guard(&self, config: &Config) -> bool {
        !self.under_init && config.needs_guard()
    }

    /// Returns the guard, if it runs or will run.
    pub(super) fn guard(&self) -> Option<&Service> {
        self.services.get(GUARD).filter(|service| service.role == Role::Daemon)
    }

    /// Returns why nothing would restart this supervisor if it died; `None` if something would.
    pub(super) fn unguarded(&self) -> Option<&'static str> {
        let runs =
            |name: &Name| self.services.get(name).is_some_and(|monitor| monitor.processes.run.is_some());
        let guards = |(name, monitor): (&Name, &Monitor)| monitor.guards(name) && runs(name);
        let is_ready = |guard: &Service| guard.unit.state(os::now()) == State::Running;
        if self.under_init {
            None
        } else if !self.config.supervisor.guard.enabled {
            Some("guard = false")
        } else if self.config.monitors.iter().any(guards) || self.guard().is_some_and(is_ready) {
            None
        } else if self.config.needs_guard() {
            Some("the guard does not run now")
        } else {
            Some("no built-in monitor runs now")
        }
    }

    /// Returns whether a guard that a file no longer wants must stay until a monitor that guards has attached.
    pub(super) fn is_guard_still_needed(&self) -> bool {
        let guards = |(name, monitor): (&Name, &Monitor)| monitor.guards(name) && self.is_attached(name);
        self.going.is_none()
            && self.config.supervisor.guard.enabled
            && self.leaving.contains(GUARD)
            && !self.config.monitors.iter().any(guards)
    }

    /// Updates the daemons that are new, changed, or no longer managed.
    pub(super) fn change_daemons(&mut self, config: &Config, now: BootInstant) {
        let wanted = self.daemons_of(config);
        let old: BTreeSet<Name> = self
            .services
            .values()
            .filter(|s| s.role == Role::Daemon)
            .map(|service| service.name.clone())
            .collect();
        for name in old.iter().filter(|name| !wanted.contains_key(*name)) {
            self.leaving.insert(name.clone());
            self.stop_queue.insert(name.clone());
        }
        for (name, (spec, env)) in wanted {
            self.leaving.remove(&name);
            self.stop_queue.remove(&name);
            let Some(service) = self.services.get_mut(&name) else {
                let mut service = Service::new(name.clone(), Role::Daemon, spec, seed(&name, now));
                service.env.extra = env;
                service.unit.request(now, Request::Start);
                self.services.insert(service);
                continue;
            };
            let (effect, _) = diff(&service.spec, &spec);
            if effect == Effect::Restart || service.env.extra != env {
                service.change(spec);
                service.env.extra = env;
                service.unit.request(now, Request::Restart);
            }
            service.unit.request(now, Request::Start);
        }
    }
}
