//! `ctl reload`: a new run begins beside the old run, on the same held sockets, and replaces it once the new run is
//! ready; only then is the old run told to end. If the new run does not become ready, the old run continues unchanged.
//!
//! Meanwhile two runs have the same name: the second is in the manager's map beside the first, under a key that cannot
//! be a name, and is handled each turn like any other service.

use std::time::Duration;

use proto::Name;
use sereno_config::{Policy, Ready};

use super::command::Outcome;
use super::configure::seed;
use super::{Manager, Service};
use crate::journal::Kind;
use crate::lifecycle::unit::Rules;
use crate::lifecycle::{BootInstant, Request, Unit};
use crate::service::{Fifos, Reload, Role, sockets};

impl Manager {
    pub(super) fn reload(
        &mut self,
        name: &Name,
        seq: u64,
        now: BootInstant,
        outcome: &dyn Fn(bool, String) -> Outcome,
    ) -> Outcome {
        let key = name.beside();
        let service = self.services.get(name).expect("it was just selected");
        let instead = if service.spec.sockets.is_empty() {
            "without `sockets` a new run can not listen beside the old one"
        } else if !service.unit.is_ready() {
            "no run is ready that could serve meanwhile"
        } else if service.fifos == Fifos::Nameless {
            "its outputs have to be opened anew, as home was made anew"
        } else if self.trial.is_some() || self.handing_over.is_some() {
            "an upgrade is under way"
        } else if self.services.get(&key).is_some_and(|second| second.role == Role::Successor) {
            return outcome(true, "already reloading".into());
        } else if self.services.contains_key(&key) {
            "the run before is still going"
        } else {
            let current = service.unit.incarnation();
            return match self.begin_reload(name, seq, now) {
                Ok(incarnation) => {
                    let note = self.remember(name, |wal, name| wal.reload(name, current));
                    outcome(true, format!("reloading as incarnation {incarnation}{note}"))
                }
                Err(error) => outcome(false, format!("its sockets could not be handed on: {error}")),
            };
        };
        let outcome = self.restart(name, seq, now, outcome);
        Outcome { message: format!("{}; {instead}", outcome.message), ..outcome }
    }

    fn begin_reload(&mut self, name: &Name, seq: u64, now: BootInstant) -> std::io::Result<u64> {
        let service = self.services.get_mut(name).expect("it was just selected");
        let held = service.sockets.iter().map(sockets::Held::try_clone).collect::<Result<_, _>>()?;
        let incarnation = service.unit.reserve_incarnation();
        let spec = successor(&service.spec, service.unit.took().unwrap_or_default());
        let mut unit = Unit::new(Rules::of(&spec), seed(name, now));
        unit.skip_incarnations(incarnation - 1);
        unit.request(now, Request::Start);
        let mut second = Service::with_unit(name.clone(), Role::Successor, spec, unit);
        second.extra_env.clone_from(&service.extra_env);
        second.sockets = held;
        second.outputs.clone_from(&service.outputs);
        second.fifos = Fifos::Open;
        second.cause = seq;
        service.reload = Some(Reload { incarnation, failed: None });
        self.services.insert(name.beside(), second);
        Ok(incarnation)
    }

    /// Makes the new run, which is ready, the service's run; the old run ends.
    pub(super) fn take_its_place(&mut self, key: &Name, after: Duration, now: BootInstant) {
        let Some(mut second) = self.services.remove(key) else { return };
        let name = second.name.clone();
        let Some(service) = self.services.get_mut(&name).filter(|service| service.unit.is_started()) else {
            self.services.insert(key.clone(), second);
            return self.end_reload(&name, "the old run is to go", now);
        };
        let message = format!("ready after {:.1} s, beside the old run", after.as_secs_f64());
        let seq = self.world.tell(&second, Kind::Ready, second.began, message);
        let new = service.unit.renewed(&second.unit);
        let mut old = std::mem::replace(&mut service.unit, new);
        old.request(now, Request::Stop);
        std::mem::swap(&mut service.run, &mut second.run);
        std::mem::swap(&mut service.tree, &mut second.tree);
        std::mem::swap(&mut service.cgroup, &mut second.cgroup);
        service.limits = second.limits.take();
        service.said = std::mem::take(&mut second.said);
        service.began = second.began;
        service.reload = None;
        service.held = None;
        service.reports.clear();
        second.unit = old;
        second.role = Role::Retired;
        second.cause = seq;
        if let Some(run) = &service.run {
            self.world.fd_stores.process(name.as_str(), &run.process);
            let identity = run.process.identity();
            let written = self.world.wal.intend(name.as_str(), run.incarnation).and_then(|()| {
                self.world.wal.started(name.as_str(), run.incarnation, identity)?;
                self.world.wal.ready(name.as_str(), run.incarnation, now.elapsed())
            });
            if let Err(error) = written {
                tracing::error!(service = %name, %error, "writing the write-ahead log failed");
            }
        }
        self.services.insert(key.clone(), second);
        self.leaving.insert(key.clone());
        // Each run is watched under its own key.
        self.watch_exit(&name);
        self.watch_exit(key);
        self.watched_again(now);
        self.restart_dependants(&name, seq, now);
        self.targets.grow();
    }

    /// Records that the reload failed: the old run continues.
    pub(super) fn reload_failed(&mut self, key: &Name, reason: &str) {
        let Some(second) = self.services.get(key) else { return };
        let name = second.name.clone();
        self.world.tell(second, Kind::GiveUp, second.cause, format!("reload failed: {reason}"));
        tracing::warn!(service = %name, "reload failed: {reason}");
        if let Some(reload) = self.services.get_mut(&name).and_then(|service| service.reload.as_mut()) {
            reload.failed = Some(reason.into());
        }
        self.leaving.insert(key.clone());
        self.changes.grow();
    }

    /// Ends a reload because the service is needed for something else, or the old run has ended.
    pub(super) fn end_reload(&mut self, name: &Name, why: &str, now: BootInstant) {
        let key = name.beside();
        if let Some(second) = self.services.get_mut(&key).filter(|second| second.role == Role::Successor) {
            second.unit.request(now, Request::Stop);
            second.role = Role::Retired;
            self.reload_failed(&key, why);
        }
    }
}

/// Returns the settings that decide whether the new run is ready. A check connects to a socket that both runs hold, so
/// its answer may come from the old run: where only checks could show readiness, the new run must instead stay up for
/// twice the time that the old run took.
fn successor(spec: &sereno_config::Service, took: Duration) -> sereno_config::Service {
    const LEAST: Duration = Duration::from_secs(1);
    let mut spec = spec.clone();
    let checked = !std::mem::take(&mut spec.checks).is_empty();
    spec.ready.retain(|ready| !matches!(ready, Ready::Check(_)));
    if checked && spec.ready.iter().all(|ready| matches!(ready, Ready::Started)) {
        spec.ready = vec![Ready::Delay((2 * took).clamp(LEAST, spec.ready_timeout.max(LEAST)))];
    }
    spec.restart.policy = Policy::Never;
    spec
}
