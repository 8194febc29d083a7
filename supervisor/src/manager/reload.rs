//! `ctl reload`: a new run begins beside the old run, on the same held sockets, and replaces it once the new run is
//! ready; only then is the old run told to end. If the new run does not become ready, the old run continues unchanged.
//!
//! Meanwhile the service has two runs: the second is a unit of its own beside the first (`services`), and is handled each
//! turn like any other.

use std::time::Duration;

use proto::Name;
use sereno_config::{Policy, Ready};

use super::command::Outcome;
use super::configure::seed;
use super::services::RunKey;
use super::{Manager, Service};
use crate::journal::{Detail, Kind};
use crate::lifecycle::unit::Rules;
use crate::lifecycle::{BootInstant, Request, Unit, WhyEnd};
use crate::service::{Fifos, Reload, Role, sockets};

impl Manager {
    pub(super) fn reload(
        &mut self,
        name: &Name,
        seq: u64,
        now: BootInstant,
        outcome: &dyn Fn(bool, String) -> Outcome,
    ) -> Outcome {
        let service = self.services.get(name).expect("it was just selected");
        let beside = self.services.beside(name);
        let instead = if service.spec.sockets.is_empty() {
            "without `sockets` a new run can not listen beside the old one"
        } else if !service.unit.is_ready() {
            "no run is ready that could serve meanwhile"
        } else if matches!(service.outputs.fifos, Fifos::Nameless) {
            "its outputs have to be opened anew, as home was made anew"
        } else if self.trial.is_some() || self.handing_over.is_some() {
            "an upgrade is under way"
        } else if beside.is_some_and(Service::is_successor) {
            return outcome(true, "already reloading".into());
        } else if beside.is_some() {
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
        let mut second = Service::with_unit(name.clone(), Role::Successor, spec, unit);
        second.env.clone_from(&service.env);
        second.preparation = service.preparation.beside();
        second.sockets = held;
        second.outputs.logs.clone_from(&service.outputs.logs);
        if let Fifos::Open([out, err]) = &service.outputs.fifos {
            second.outputs.fifos = Fifos::Open([out.try_clone()?, err.try_clone()?]);
        }
        second.request(Request::Start, seq, now);
        service.reload = Some(Reload { incarnation, failed: None });
        self.services.insert(second);
        Ok(incarnation)
    }

    /// Makes the new run, which is ready, the service's run; the old run ends.
    pub(super) fn take_its_place(&mut self, name: &Name, after: Duration, now: BootInstant) {
        if !self.services.get(name).is_some_and(|service| service.unit.is_started()) {
            return self.end_reload(name, "the old run is to go", now);
        }
        let Some(mut second) = self.services.take_beside(name) else { return };
        let service = self.services.get_mut(name).expect("it was just looked at");
        let message = format!("ready after {:.1} s, beside the old run", after.as_secs_f64());
        let detail = Detail::Ready { after: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) };
        let seq = self.world.tell(&second, detail, second.story.began, message);
        let new = service.unit.renewed(&second.unit);
        service.tally.run_ended(WhyEnd::Restart, now);
        service.tally.checks.begin_run();
        second.unit = std::mem::replace(&mut service.unit, new);
        std::mem::swap(&mut service.processes, &mut second.processes);
        second.processes.limits = None;
        service.health.reports.clear();
        service.health.release();
        service.health.said = std::mem::take(&mut second.health.said);
        service.story.began = second.story.began;
        service.reload = None;
        second.role = Role::Retired;
        second.request(Request::Stop, seq, now);
        if let Some(run) = &service.processes.run {
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
        self.services.insert(second);
        // Each run is watched under its own key.
        self.watch_exit(&RunKey::first(name));
        self.watch_exit(&RunKey::second(name));
        self.watched_again(now);
        self.restart_dependants(name, seq, now);
    }

    /// Records that the reload failed: the old run continues.
    pub(super) fn reload_failed(&mut self, name: &Name, reason: &str) {
        let Some(second) = self.services.run_mut(&RunKey::second(name)) else { return };
        second.role = Role::Retired;
        self.world.tell(second, Kind::GiveUp, second.story.cause(), format!("reload failed: {reason}"));
        tracing::warn!(service = %name, "reload failed: {reason}");
        if let Some(reload) = self.services.get_mut(name).and_then(|service| service.reload.as_mut()) {
            reload.failed = Some(reason.into());
        }
    }

    /// Ends a reload because the service is needed for something else, or the old run has ended.
    pub(super) fn end_reload(&mut self, name: &Name, why: &str, now: BootInstant) {
        let second = self.services.run_mut(&RunKey::second(name));
        if let Some(second) = second.filter(|second| second.is_successor()) {
            second.unit.request(now, Request::Stop);
            self.reload_failed(name, why);
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
