//! Answers what can be read from a home that nobody supervises: what happened, what services wrote, and which of them
//! still run. Changes nothing.

use std::sync::Arc;

use proto::Name;
use sereno_config::{Config, Home};
use tokio::sync::{mpsc, watch};

use super::command::{Command, Handle, Unwritten};
use super::configure::seed;
use super::daemons::monitor_service;
use super::log_files::log_files;
use super::services::Services;
use super::view::{monitor_of, target};
use super::{Found, channels};
use crate::disk::applied::About;
use crate::incidents::{Incident, file, outages::Outages, wall};
use crate::journal::read::last_number;
use crate::lifecycle::check_runs::CheckRuns;
use crate::lifecycle::tally::{HostTally, Restarts};
use crate::lifecycle::{State, Unit, unit::Rules};
use crate::os;
use crate::service::{Role, Service};
use crate::snapshot::{CheckView, ServiceView, View};

/// What a home holds.
#[derive(Debug)]
pub struct Reader {
    home: Home,
    services: Services,
    view: View,
    next: u64,
    commands: mpsc::Receiver<Command>,
}

impl Reader {
    /// Reads a home. Returns the handle through which it is asked.
    pub fn open(home: &Home, instance: &str, config: &Config, about: About) -> (Self, Handle) {
        let found = Found::peek(home, instance, config);
        let next = last_number(&home.journal()) + 1;
        let incidents = file::read(&home.journal().join("incidents.jsonl")).unwrap_or_default();
        let mut outages = Outages::default();
        for incident in &incidents {
            outages.add(incident);
        }
        let mut services = Services::default();
        let mut views = Vec::new();
        for (name, spec) in &config.services {
            let (service, pid) = left(name, Role::Service, spec.clone(), &found);
            let open = incidents.iter().rev().find(|of| of.is_open() && of.service == name.as_str());
            views.push(view(&service, pid, open, &outages, config));
            services.insert(service);
        }
        for (name, monitor) in &config.monitors {
            let (spec, _) = monitor_service(name, monitor, home);
            services.insert(left(name, Role::Daemon, spec, &found).0);
        }
        views.sort_by(|a, b| a.name.counted().cmp(&b.name.counted()));
        let view = View {
            generation: 1,
            uptime: std::time::Duration::ZERO,
            instance: instance.into(),
            about: Arc::new(about),
            going: true,
            brake: None,
            unguarded: None,
            notice: None,
            monitors: Vec::new(),
            guard: None,
            services: views,
            incidents_open: 0,
            tally: HostTally::default(),
        };
        let (handle, commands, ..) = channels(watch::Sender::new(next).subscribe());
        (Self { home: home.clone(), services, view, next, commands }, handle)
    }

    /// Answers until nobody can ask any more. What only a supervisor can do is left without an answer.
    pub async fn answer(mut self) {
        while let Some(command) = self.commands.recv().await {
            match command {
                Command::View(reply) => drop(reply.send(self.view.clone())),
                Command::Journal(reply) => {
                    drop(reply.send(Unwritten { events: Vec::new(), next: self.next }));
                }
                Command::LogFiles(selection, reply) => {
                    drop(reply.send(log_files(&self.services, &self.home, &selection)));
                }
                _ => {}
            }
        }
    }
}

/// Returns a service as the last supervisor left it, and the pid of its run if that still goes on; 0 if not.
fn left(name: &Name, role: Role, spec: sereno_config::Service, found: &Found) -> (Service, u32) {
    let leader = found.leader(name).filter(|(_, process)| !process.has_exited());
    let now = os::now();
    let (rules, seed) = (Rules::of(&spec), seed(name, now));
    let mut unit = match found.saved(name, leader.is_some()) {
        None => Unit::new(rules, seed),
        Some(saved) if !found.same_boot => Unit::after_boot(rules, &saved, now, seed),
        Some(saved) => Unit::restore(rules, &saved, leader.is_some(), now, seed),
    };
    unit.skip_incarnations(found.last_incarnation(name));
    if let Some((incarnation, _)) = &leader {
        unit.skip_incarnations(*incarnation);
        unit.was_ready(found.ready_at(name, *incarnation));
    }
    let pid = leader.map_or(0, |(_, process)| process.pid());
    (Service::with_unit(name.clone(), role, spec, unit), pid)
}

fn view(
    service: &Service,
    pid: u32,
    open: Option<&Incident>,
    outages: &Outages,
    config: &Config,
) -> ServiceView {
    let (unit, now) = (&service.unit, os::now());
    let runs = pid != 0;
    let state = match unit.state(now) {
        state if runs => state,
        state @ (State::Completed | State::Failed) => state,
        _ => State::Stopped,
    };
    let checks = service.spec.checks.iter().map(|(id, check)| CheckView {
        id: id.clone(),
        monitor: monitor_of(config, &check.kind),
        kind: check.kind.clone(),
        target: target(&check.spec),
        report: None,
        failures: check.failures,
        window: check.window,
        runs: CheckRuns::default(),
    });
    ServiceView {
        name: service.name.clone(),
        wanted: unit.is_wanted(),
        state,
        reason: runs.then(|| "nobody supervises it".into()),
        pid,
        cgroup: None,
        incarnation: unit.incarnation(),
        restarts: unit.restarts(),
        restarts_by_cause: Restarts::default(),
        unready: std::time::Duration::ZERO,
        streak: unit.streak(),
        uptime: unit.uptime(now).filter(|_| runs),
        next_start: None,
        job: service.spec.schedule.is_some(),
        next_run: None,
        kill_in: None,
        last_exit: unit.last_exit().map(|exit| (exit.clone(), None)),
        tags: service.spec.tags.clone(),
        paused: None,
        held: None,
        dropped: 0,
        frozen: false,
        status_text: String::new(),
        reload: None,
        checks: checks.collect(),
        availability: outages.of(service.name.as_str(), open, wall()),
        incident: open.map(|incident| incident.id),
    }
}
