//! The picture of services and monitors that clients see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::{Endpoint, Name};
use sereno_config::{Check, CheckSpec, Config, Monitor};

use super::{Manager, daemons};
use crate::incidents::wall;
use crate::lifecycle::arbiter::took;
use crate::lifecycle::{BootInstant, State};
use crate::os;
use crate::service::Service;
use crate::service::reports::Report;
use crate::snapshot::{CheckView, MonitorView, ServiceView, View};

impl Manager {
    pub(super) fn view(&self) -> View {
        let now = os::now();
        View {
            generation: self.changes.number(),
            uptime: now.since(self.began),
            instance: self.world.instance.clone(),
            about: Arc::clone(&self.about),
            going: self.going.is_some(),
            brake: self.brake_holds(now).map(|(why, _)| why),
            unguarded: self.unguarded(),
            notice: self.home.notice.clone(),
            monitors: self.view_monitors(now),
            tally: self.tally.clone(),
            incidents_open: self.world.incidents.all_open().count() as u64,
            guard: self.guard().map(|guard| self.view_service(guard, now)),
            services: self.view_services(now),
        }
    }

    fn view_services(&self, now: BootInstant) -> Vec<ServiceView> {
        let users = self.services.values().filter(|service| service.is_users());
        let mut views: Vec<_> = users.map(|service| self.view_service(service, now)).collect();
        views.sort_by(|a, b| a.name.counted().cmp(&b.name.counted()));
        views
    }

    fn view_monitors(&self, now: BootInstant) -> Vec<MonitorView> {
        let configured = &self.config.monitors;
        let mut views: Vec<_> =
            configured.iter().map(|(name, monitor)| self.view_monitor(name, monitor, now)).collect();
        // Add the monitors that no file names, one row for each name. Their claimed endpoints are not passed on to
        // clients.
        let unconfigured: BTreeMap<&Name, _> = self.unconfigured().map(|a| (&a.monitor, a)).collect();
        views.extend(unconfigured.into_iter().map(|(name, attachment)| MonitorView {
            name: name.clone(),
            kind: attachment.kind.clone(),
            endpoint: String::new(),
            managed: false,
            program: String::new(),
            attached: true,
            blind: attachment.blind.clone(),
            process: None,
        }));
        views
    }

    fn view_monitor(&self, name: &Name, monitor: &Monitor, now: BootInstant) -> MonitorView {
        let attachment = self.attachments.values().find(|attachment| attachment.monitor == *name);
        // Where the file gives no endpoint the monitor may give it, unless clients would send their tokens there in the
        // clear.
        let claimed = attachment.map(|attachment| attachment.endpoint.clone());
        let endpoint = claimed.filter(|uri| monitor.endpoint.is_none() && may_be_claimed(uri));
        MonitorView {
            name: name.clone(),
            kind: monitor.kinds.first().cloned().unwrap_or_default(),
            endpoint: endpoint.unwrap_or_else(|| daemons::monitor_endpoint(name, monitor, &self.world.home)),
            managed: monitor.managed,
            program: monitor.program.clone().unwrap_or_default(),
            attached: attachment.is_some(),
            blind: attachment.and_then(|attachment| attachment.blind.clone()),
            process: self.services.get(name).map(|service| self.view_service(service, now)),
        }
    }

    fn view_service(&self, service: &Service, now: BootInstant) -> ServiceView {
        let unit = &service.unit;
        let state = unit.state(now);
        let trouble = service.outputs.logs.iter().find_map(|shared| shared.trouble());
        let reason = match state {
            State::Waiting => service.missing.clone(),
            _ => unit.reason(now),
        };
        let leaves = service.health.said.stopping && service.unit.is_started();
        let reason = reason.or_else(|| leaves.then(|| "says that it is stopping".into()));
        let frozen = service.frozen();
        let reason = reason.or_else(|| frozen.map(|why| format!("frozen: {why}")));
        let reason = reason.or_else(|| self.why_reloading(service, now));
        let reason = reason.or_else(|| service.timeless());
        let unwatched = service.unwatched.as_ref().filter(|_| unit.is_wanted());
        let reason = reason.or_else(|| unwatched.map(|what| format!("watch: {what}")));
        let reason = match (&service.health.obstacle, state) {
            (Some(obstacle), State::Starting | State::Backoff | State::Failed) => {
                Some(reason.map_or_else(|| obstacle.clone(), |reason| format!("{reason}; {obstacle}")))
            }
            _ => reason,
        };
        let reason =
            reason.or_else(|| trouble.map(|trouble| format!("its log can not be written: {trouble}")));
        let checks = service.spec.checks.iter().map(|(id, check)| {
            let said = service.health.reports.of(id);
            let monitor = said
                .map_or_else(|| monitor_of(&self.config, &check.kind), |(monitor, _)| monitor.to_string());
            let report = said.map(|(monitor, report)| self.as_of_now(monitor, report, check, now));
            CheckView {
                id: id.clone(),
                monitor,
                kind: check.kind.clone(),
                target: target(&check.spec),
                failures: check.failures,
                window: check.window,
                runs: service.tally.checks.of(id),
                report,
            }
        });
        let incidents = &self.world.incidents;
        let open = incidents.of(&service.name);
        ServiceView {
            name: service.name.clone(),
            wanted: unit.is_wanted(),
            state,
            reason,
            pid: service.processes.pid(),
            cgroup: service.processes.cgroup.clone(),
            incarnation: unit.incarnation(),
            restarts: unit.restarts(),
            restarts_by_cause: service.tally.restarts(),
            unready: service.tally.unready(now),
            streak: unit.streak(),
            uptime: unit.uptime(now),
            next_start: unit.next_start(now),
            job: service.spec.schedule.is_some(),
            next_run: service.next_run(),
            kill_in: unit.kill_in(now),
            last_exit: unit.last_exit().map(|exit| (exit.clone(), service.story.ended_at)),
            tags: service.spec.tags.clone(),
            paused: service.pause.map(|pause| pause.until.map(|until| until.since(now))),
            held: service
                .health
                .held
                .as_ref()
                .map(|held| (held.decision, held.message.clone(), held.until.map(|until| until.since(now)))),
            dropped: service.outputs.logs.iter().map(|shared| shared.dropped()).sum(),
            frozen: frozen.is_some(),
            status_text: service.health.said.status.clone(),
            reload: service.reload.clone(),
            checks: checks.collect(),
            availability: incidents.outages().of(service.name.as_str(), open, wall()),
            incident: open.map(|incident| incident.id),
        }
    }

    /// Returns a report with its age. The report of a detached monitor becomes unknown after two intervals of the
    /// check.
    fn as_of_now(
        &self,
        monitor: &Name,
        report: &Report,
        check: &Check,
        now: BootInstant,
    ) -> (Report, Duration) {
        let age = now.since(report.at);
        let mut report = report.clone();
        if self.silent_for(monitor, now).is_some_and(|silent| silent > 2 * check.interval) {
            (report.passing, report.foreign, report.stalled) = (None, false, false);
            report.detail = format!("unknown, {} old", took(age));
        }
        (report, age)
    }

    /// Returns what a new run beside this run is waiting for.
    fn why_reloading(&self, service: &Service, now: BootInstant) -> Option<String> {
        let reload = service.reload.as_ref()?;
        if let Some(failed) = &reload.failed {
            return Some(format!("reload failed: {failed}"));
        }
        let waits = self.services.beside(&service.name)?.unit.reason(now)?;
        Some(format!("reloading: incarnation {} {waits}", reload.incarnation))
    }
}

/// Returns the name of the monitor that serves a kind of check; empty if none does.
pub(super) fn monitor_of(config: &Config, kind: &str) -> String {
    let serves = |monitor: &&Monitor| monitor.kinds.iter().any(|own| own == kind);
    let found = config.monitors.iter().find(|(_, monitor)| serves(monitor));
    found.map_or_else(String::new, |(name, _)| name.to_string())
}

/// Returns whether clients may use the endpoint that a monitor claims: over `http://` they would send their tokens in
/// the clear.
fn may_be_claimed(uri: &str) -> bool {
    Endpoint::parse(uri).is_ok_and(|endpoint| !matches!(endpoint, Endpoint::Http(_)))
}

/// Returns what a check looks at, for people.
pub(super) fn target(spec: &CheckSpec) -> String {
    match spec {
        CheckSpec::Http(http) => http.url.clone(),
        CheckSpec::Tcp { addresses, .. } => addresses.first().cloned().unwrap_or_default(),
        CheckSpec::Exec { argv, .. } => argv.join(" "),
        CheckSpec::Options(options) => {
            options.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_is_sent_to_where_it_would_show_its_token() {
        let claimed = ["unix:///run/x.sock", "https://host:7610", "http://127.0.0.1:9", "", "file:///x"];
        assert_eq!(claimed.map(may_be_claimed), [true, true, false, false, false]);
    }
}
