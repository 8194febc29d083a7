//! Does what must be done: polls units, performs actions, writes notes down.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proto::Name;
use sereno_config::GUARD;

use super::services::RunKey;
use super::{CHECKPOINT_AFTER, Happened, Manager, Over};
use crate::disk::state::{Entry, Pause, State};
use crate::incidents::{CauseKind, Happening};
use crate::journal::{Detail, Kind};
use crate::lifecycle::arbiter::{took, words};
use crate::lifecycle::{Action, BootInstant, Fact, Note, Request, deps};
use crate::os;
use crate::service::{Service, sockets};

/// Returns the seconds since the epoch.
fn seconds(time: std::time::SystemTime) -> Option<u64> {
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// The most starts in a turn: many services that crash at once must not delay an operator's command.
const SPAWNS: usize = 4;

impl Manager {
    /// Polls until nothing is left to do.
    pub(super) fn reconcile_all(&mut self) {
        let mut spawns = 0;
        loop {
            let now = os::now();
            self.services.values_mut().for_each(|service| service.end_pause(now));
            self.look_at_times(now);
            self.look_at_pending(now);
            self.look_at_preparations(now);
            self.stop_who_can_be_stopped(now);
            self.open_and_close_gates(now);
            if !self.reconcile(now, &mut spawns) {
                break;
            }
        }
        self.write_down_wants();
        self.forget_who_left();
        self.close_sockets_of_the_stopped();
        self.begin_scan();
        let now = os::now();
        self.settle_incidents(now);
        self.look_at_limits(now);
        let saved = self.follow_changes(now);
        if std::mem::replace(&mut self.seen, saved) != saved {
            self.checkpoint.due.get_or_insert(now + CHECKPOINT_AFTER);
        }
        self.world.journal.flush();
        self.tell_changes();
        if self.world.wal.is_large() && !self.checkpoint.failing
            || self.checkpoint.due.is_some_and(|due| due <= now)
        {
            self.write_checkpoint();
        }
    }

    /// Goes once over all services, beginning where the last turn ended early. Returns whether anything was done and
    /// the loop may continue.
    fn reconcile(&mut self, now: BootInstant, spawns: &mut usize) -> bool {
        let mut keys = self.services.keys_where(|_| true);
        if let Some(at) = self.next.take().and_then(|next| keys.iter().position(|key| *key == next)) {
            keys.rotate_left(at);
        }
        let mut acted = false;
        for key in keys {
            loop {
                let polled = self.services.run_mut(&key).map(|service| service.unit.poll(now));
                // Written down first: what the unit noted is the reason for what it wants done.
                acted |= self.write_down_notes(&key, now);
                let Some(action) = polled.flatten() else { break };
                acted = true;
                *spawns += usize::from(matches!(action, Action::Spawn(_)));
                self.perform(&key, &action, now);
            }
            if *spawns >= SPAWNS {
                self.next = Some(key);
                return false;
            }
        }
        acted
    }

    fn perform(&mut self, key: &RunKey, action: &Action, now: BootInstant) {
        let answer = self.answer();
        let Self { services, world, .. } = self;
        let Some(service) = services.run_mut(key) else { return };
        match action {
            Action::Spawn(incarnation) => self.spawn(key, *incarnation),
            Action::Examine(why) => self.examine(key, *why, now),
            Action::Terminate(why) => {
                if !self.may_end(key, *why, now) {
                    return;
                }
                // A person does not wait for evidence, and nobody longer than its time.
                self.settle_evidence(key, "");
                let Self { services, world, .. } = self;
                if let Some(service) = services.run_mut(key) {
                    service.terminate(world, answer);
                }
            }
            Action::Kill => service.kill(world),
            Action::Drain => self.drain(key, now),
            Action::Sweep => {
                if let Some(end) = service.unit.ends_because() {
                    service.tally.run_ended(end, now);
                }
                self.sweep(key, now);
            }
        }
    }

    /// Writes down what a unit noted. Returns whether there was anything.
    fn write_down_notes(&mut self, key: &RunKey, now: BootInstant) -> bool {
        let notes = self.services.run_mut(key).map(|service| service.unit.take_notes()).unwrap_or_default();
        for note in &notes {
            self.write_down(key, note, now);
        }
        !notes.is_empty()
    }

    fn write_down(&mut self, key: &RunKey, note: &Note, now: BootInstant) {
        let Self { services, world, .. } = self;
        let Some(service) = services.run_mut(key) else { return };
        let name = &key.name;
        match note {
            Note::Ready(after) if service.is_successor() => self.take_its_place(name, *after, now),
            Note::GaveUp(reason) if service.is_successor() => self.reload_failed(name, reason),
            Note::Ready(after) => {
                let summary = service.health.reports.summary();
                let how = if summary.is_empty() { String::new() } else { format!(" ({summary})") };
                let message = format!("ready after {:.1} s{how}", after.as_secs_f64());
                let at = now.elapsed();
                if let Err(error) = world.wal.ready(name.as_str(), service.unit.incarnation(), at) {
                    tracing::error!(service = %name, %error, "writing the write-ahead log failed");
                }
                let detail = Detail::Ready { after: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) };
                let seq = world.tell(service, detail, service.story.began, message);
                // The process that held its port is gone, or was never in the way; later events have another cause.
                if service.health.obstacle.take().is_some() {
                    service.story.goes_on_from(0);
                }
                if name.as_str() == GUARD {
                    // Connect now: a monitor attaches once its fd store listens, and the guard notifies readiness then.
                    self.world.fd_stores.connect(GUARD);
                }
                let service = &self.services[name];
                service.note_happening(&mut self.world, Happening::Serves);
                self.restart_dependants(name, seq, now);
            }
            Note::Stable => {
                world.tell(service, Detail::Stable, service.story.began, "stable: the streak is over".into());
            }
            Note::NotReady(missing) => {
                let message = format!("not ready within {}: no {missing}", words(service.spec.ready_timeout));
                let missing = missing.clone();
                service.tell_because(world, Detail::NotReady { missing }, 0, message.clone());
                service.note_happening(world, Happening::fault(CauseKind::Start, message, Duration::ZERO));
            }
            Note::Backoff(wait, streak) => {
                let max = service.spec.restart.max;
                let message = format!("next start in {} (streak {streak} of {max})", took(*wait));
                service.tell(world, Kind::Decision, message);
            }
            Note::Hindered(reason) => {
                let message = format!("could not start, tried again until it can: {reason}");
                world.tell(service, Kind::Exit, service.story.cause(), message);
                tracing::warn!(service = %name, "could not start, tried again until it can: {reason}");
            }
            Note::GaveUp(reason) => {
                let message = format!("failed: {reason}");
                service.tell(world, Detail::GivenUp { reason: reason.clone() }, message);
                tracing::warn!(service = %name, "{reason}");
            }
            Note::Completed => {
                service.tell(world, Detail::Completed, "completed".into());
            }
        }
    }

    /// Restarts dependants that are configured to restart with this dependency.
    pub(super) fn restart_dependants(&mut self, on: &Name, seq: u64, now: BootInstant) {
        let Some(began) = self.services.get(on).and_then(|service| service.unit.began()) else { return };
        let names: Vec<Name> = deps::dependants(&self.graph, on).cloned().collect();
        for name in names {
            let follows = self.graph[&name].get(on).is_some_and(|edge| edge.restart);
            let Some(service) = self.services.get_mut(&name).filter(|_| follows) else { continue };
            let older = service.unit.began().is_some_and(|own| own < began);
            if older && service.unit.is_started() {
                let message = format!("restart, as {on} restarted");
                let seq = self.world.tell(service, Kind::Decision, seq, message);
                service.request(Request::Restart, seq, now);
            }
        }
    }

    /// Updates which services may start. Level-triggered: computed again each time.
    fn open_and_close_gates(&mut self, now: BootInstant) {
        let missing: Vec<(Name, Option<String>)> = self
            .graph
            .iter()
            .filter(|(_, edges)| !edges.is_empty())
            .map(|(name, edges)| {
                let unit = |name: &Name| self.services.get(name).map(|service| &service.unit);
                (name.clone(), deps::missing(edges, unit))
            })
            .collect();
        for (name, missing) in missing {
            let Some(service) = self.services.get_mut(&name) else { continue };
            if service.missing != missing {
                service.unit.observe(now, Fact::Gate(missing.is_none()));
                service.missing = missing;
            }
        }
    }

    /// Stops in reverse order: a service is stopped once no dependant is still waiting to stop.
    fn stop_who_can_be_stopped(&mut self, now: BootInstant) {
        if self.stop_queue.is_empty() {
            return;
        }
        let is_up =
            |name: &Name| self.services.get(name).is_some_and(|s| s.unit.is_wanted() || !s.unit.is_down());
        let held: BTreeSet<&Name> = self
            .graph
            .iter()
            .filter(|(other, edges)| !edges.is_empty() && self.stop_queue.contains(*other) && is_up(other))
            .flat_map(|(_, edges)| edges.keys())
            .collect();
        let mut due: Vec<Name> =
            self.stop_queue.iter().filter(|name| !held.contains(name)).cloned().collect();
        // Monitors keep watching until the last service is gone.
        let services_up = self.services.values().any(|s| s.is_users() && !s.unit.is_down());
        let watch_on = self.going == Some(false) && services_up;
        due.retain(|name| !watch_on || self.services.get(name).is_some_and(Service::is_users));
        let guard_on = self.is_guard_still_needed();
        due.retain(|name| !(guard_on && name.as_str() == GUARD));
        for name in due {
            if let Some(service) = self.services.get_mut(&name) {
                service.unit.request(now, Request::Stop);
                if service.unit.is_down() {
                    self.stop_queue.remove(&name);
                }
            } else {
                self.stop_queue.remove(&name);
            }
        }
    }

    /// Closes the sockets of services that a person stopped: the address is free for other programs.
    fn close_sockets_of_the_stopped(&mut self) {
        let Self { services, world, .. } = self;
        for service in services.values_mut() {
            if !service.unit.is_wanted() && service.unit.is_down() && !service.sockets.is_empty() {
                service.sockets.clear();
                world.fd_stores.closed(service.name.as_str());
            }
        }
    }

    fn forget_who_left(&mut self) {
        self.services.forget_retired();
        let gone: Vec<Name> = self
            .leaving
            .iter()
            .filter(|name| self.services.get(*name).is_none_or(|service| service.unit.is_down()))
            .cloned()
            .collect();
        for name in gone {
            self.leaving.remove(&name);
            if let Some(mut service) = self.services.remove(&name) {
                self.world.close_outputs(&mut service);
                self.world.notify.retain(|other| *other != name);
                self.brake.well(&name);
            }
        }
    }

    /// Returns everything that the next supervisor needs to know.
    pub(super) fn state(&self) -> State {
        let services = self.services.values().filter(|service| !self.leaving.contains(&service.name));
        let now = os::now();
        let entry = |service: &Service| Entry {
            unit: service.unit.save(),
            process: service.processes.run.as_ref().map(|run| run.process.identity()),
            cgroup: service.processes.cgroup.as_ref().map(|cgroup| cgroup.path().display().to_string()),
            paused: service.pause.map(|pause| Pause { until: pause.until.map(BootInstant::elapsed) }),
            next_run: service.next_run().and_then(seconds),
            queued: service.is_queued(),
            stopping: self.going != Some(false) && self.stop_queue.contains(&service.name),
            tally: service.tally.save(now),
            reloading: service.reload.as_ref().is_some_and(|reload| reload.failed.is_none()),
        };
        State {
            boot: os::boot_id(),
            seq: self.world.wal.seq(),
            tally: self.tally.save(),
            services: services.map(|service| (service.name.to_string(), entry(service))).collect(),
        }
    }

    fn write_checkpoint(&mut self) {
        if self.checkpoint.writing {
            return;
        }
        self.checkpoint.due = None;
        self.checkpoint.writing = true;
        let first = !std::mem::replace(&mut self.checkpoint.any, true);
        self.states += 1;
        let (state, number) = (self.state(), self.states);
        let (saver, tell) = (Arc::clone(&self.saver), self.tell.clone());
        tokio::task::spawn_blocking(move || {
            let result = saver.save(number, &state);
            os::trim_heap();
            if first {
                os::trim_text();
            }
            let _ = tell.send(Happened::Checkpointed { seq: state.seq, result });
        });
    }

    /// Writes the final records, which the next supervisor will find.
    pub(super) fn finish(&mut self, over: &Over) {
        let message = match over {
            Over::Down => "down: everything is stopped",
            Over::Kept => "down: services stay",
            Over::HomeGone => "home is gone",
            Over::HandOver(_) => "hands over",
        };
        if !matches!(over, Over::HandOver(_)) {
            self.world.tell_own(Kind::Daemon, message.into());
        }
        self.world.journal.close();
        if let Over::HandOver(_) = over {
            let held = self.services.values_mut();
            let held = held.map(|service| (service.name.clone(), std::mem::take(&mut service.sockets)));
            if let Err(error) = sockets::leave(held, &self.world.home.run().join("sockets.json")) {
                tracing::error!(%error, "handing the held sockets over failed");
            }
        }
        if *over == Over::Down {
            self.world.notify.retain(|_| false);
            self.world.wal.is_down();
        }
        if let Err(error) = self.save_state() {
            tracing::error!("{error}");
        }
        if *over == Over::Down
            && let Some(cgroups) = &self.world.cgroups
        {
            self.services.clear();
            cgroups.clean_up();
        }
        tracing::info!("{message}");
    }
}
