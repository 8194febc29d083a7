//! Handles events: exits, children, output, scans.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use proto::Name;

use super::{CHECKPOINT_AGAIN, Checkpoint, Ended, Happened, Manager};
use crate::lifecycle::{BootInstant, Exit, Fact};
use crate::logs::LogEvent;
use crate::os::{self, Marked};
use crate::service::Service;
use crate::service::driver::Waiting;

impl Manager {
    /// Begins to watch for the end of this run.
    pub(super) fn watch_exit(&mut self, name: &Name) {
        let Some(run) = self.services.get(name).and_then(|service| service.run.as_ref()) else { return };
        let ended = Ended::Leader(name.clone(), run.incarnation);
        match run.process.exited() {
            Ok(exited) => self.exits.push(Box::pin(exited.map(move |()| ended))),
            // The supervisor still hears of its own children by SIGCHLD.
            Err(error) => tracing::error!(service = %name, %error, "watching its process failed"),
        }
    }

    pub(super) fn watch_stopper(&mut self, name: &Name) {
        let Some(run) = self.services.get(name).and_then(|service| service.stopper.as_ref()) else { return };
        let ended = Ended::Stopper(name.clone());
        if let Ok(exited) = run.process.exited() {
            self.exits.push(Box::pin(exited.map(move |()| ended)));
        }
    }

    pub(super) fn process_ended(&mut self, ended: &Ended) {
        let now = os::now();
        match ended {
            Ended::Leader(name, incarnation) => {
                let Some(service) = self.services.get_mut(name) else { return };
                // Both the pidfd and SIGCHLD report it; the first report has already reaped it.
                if service.run.as_ref().is_none_or(|run| run.incarnation != *incarnation) {
                    return;
                }
                let (why, up) = (service.unit.ends_because(), service.unit.uptime(now).unwrap_or_default());
                if let Some(fact) = service.reap(&mut self.world, now) {
                    service.unit.observe(now, fact);
                }
                let exit = service.cause;
                self.hear_last_words(name, exit, why, up);
                self.targets.grow();
                self.end_reload(name, "the run it was to replace has ended", now);
            }
            Ended::Stopper(name) => self.stopper_ended(name),
            Ended::Trial => self.trial_ended(),
        }
    }

    fn stopper_ended(&mut self, name: &Name) {
        let Some(service) = self.services.get_mut(name) else { return };
        let Some(stopper) = service.stopper.take() else { return };
        let exit = stopper.process.reap();
        if exit != Exit::Code(0) && service.run.is_some() {
            tracing::warn!(service = %name, "stop.command ended with {exit}; sending the signal instead");
            service.signal_stop(&mut self.world);
        }
    }

    /// Reaps ended children: runs, and orphans that no other process would reap.
    pub(super) fn children_ended(&mut self) {
        loop {
            let (_, leader) = os::orphans_reaped(|pid| self.leads(pid).is_some());
            let Some(ended) = leader.and_then(|pid| self.leads(pid)) else { break };
            self.process_ended(&ended);
        }
        let now = os::now();
        let waits = |(_, service): &(&Name, &Service)| {
            service.pending.as_ref().is_some_and(|p| matches!(p.what, Waiting::Drain | Waiting::Sweep))
        };
        let names: Vec<Name> = self.services.iter().filter(waits).map(|(key, _)| key.clone()).collect();
        if names.is_empty() {
            return;
        }
        // Looked up once for all services: a hundred services that stop together would each need it.
        let orphans = self.orphans();
        for name in names {
            self.look_again(&name, &orphans, now);
        }
    }

    /// Returns the run or command that a child of this process leads.
    fn leads(&self, pid: u32) -> Option<Ended> {
        if self.trial.as_ref().is_some_and(|trial| trial.run.process.pid() == pid) {
            return Some(Ended::Trial);
        }
        self.services.iter().find_map(|(key, service)| {
            let is = |run: &crate::service::Run| run.process.pid() == pid;
            if let Some(run) = service.run.as_ref().filter(|run| is(run)) {
                return Some(Ended::Leader(key.clone(), run.incarnation));
            }
            service.stopper.as_ref().filter(|run| is(run)).map(|_| Ended::Stopper(key.clone()))
        })
    }

    /// Returns the children of this process that lead no run.
    fn orphans(&self) -> Vec<u32> {
        let runs =
            self.services.values().flat_map(|service| [service.run.as_ref(), service.stopper.as_ref()]);
        let leaders: BTreeSet<u32> = runs.flatten().map(|run| run.process.pid()).collect();
        os::orphans(|pid| leaders.contains(&pid))
    }

    /// Looks again at leftover processes, where the next look is due.
    pub(super) fn look_at_pending(&mut self, now: BootInstant) {
        let due =
            |(_, service): &(&Name, &Service)| service.pending.as_ref().is_some_and(|p| p.next_try <= now);
        let names: Vec<Name> = self.services.iter().filter(due).map(|(key, _)| key.clone()).collect();
        if names.is_empty() {
            return;
        }
        let orphans = self.orphans();
        for name in names {
            self.look_again(&name, &orphans, now);
        }
    }

    fn look_again(&mut self, name: &Name, orphans: &[u32], now: BootInstant) {
        let Some(service) = self.services.get_mut(name) else { return };
        match service.pending.as_ref().map(|pending| pending.what) {
            Some(Waiting::Drain) => {
                if let Some(fact) = service.drain(orphans, now) {
                    service.unit.observe(now, fact);
                }
            }
            Some(Waiting::Sweep) => self.sweep_with(name, || orphans.to_vec(), now),
            Some(Waiting::Scan { .. }) => self.want_scan(name, now),
            None => {}
        }
    }

    pub(super) fn drain(&mut self, name: &Name, now: BootInstant) {
        let orphans = self.orphans();
        if let Some(service) = self.services.get_mut(name)
            && let Some(fact) = service.drain(&orphans, now)
        {
            service.unit.observe(now, fact);
        }
    }

    pub(super) fn sweep(&mut self, name: &Name, now: BootInstant) {
        let runs =
            self.services.values().flat_map(|service| [service.run.as_ref(), service.stopper.as_ref()]);
        let leaders: BTreeSet<u32> = runs.flatten().map(|run| run.process.pid()).collect();
        self.sweep_with(name, || os::orphans(|pid| leaders.contains(&pid)), now);
    }

    fn sweep_with(&mut self, name: &Name, orphans: impl FnOnce() -> Vec<u32>, now: BootInstant) {
        let Some(service) = self.services.get_mut(name) else { return };
        if let Some(fact) = service.sweep(orphans, now) {
            service.unit.observe(now, fact);
        } else if matches!(service.pending.as_ref().map(|pending| pending.what), Some(Waiting::Scan { .. })) {
            self.want_scan(name, now);
        }
    }

    /// Requests a scan of all processes; a single scan serves every service that waits for one.
    fn want_scan(&mut self, name: &Name, now: BootInstant) {
        if let Some(pending) = self.services.get_mut(name).and_then(|service| service.pending.as_mut()) {
            pending.again(now);
        }
        self.scan_wanted.insert(name.clone());
    }

    /// Begins the requested scan, on its own thread: on a large host it takes milliseconds.
    pub(super) fn begin_scan(&mut self) {
        if self.scanning || self.scan_wanted.is_empty() {
            return;
        }
        self.scanning = true;
        let wanted = std::mem::take(&mut self.scan_wanted);
        let (instance, fifos, tell) =
            (self.world.instance.clone(), self.world.fifos.clone(), self.tell.clone());
        tokio::task::spawn_blocking(move || {
            let found = os::scan(&instance, &fifos);
            // Fails only if the manager has ended.
            let _ = tell.send(Happened::Scanned { wanted, found });
        });
    }

    fn scanned(&mut self, wanted: &BTreeSet<Name>, found: &[Marked]) {
        self.scanning = false;
        let now = os::now();
        for name in wanted {
            let two = self.services.get(name).is_some_and(Service::is_second)
                || self.services.contains_key(&name.beside());
            let Some(service) = self.services.get_mut(name) else { continue };
            // A run that has begun meanwhile is not a leftover.
            if service.run.is_some() {
                continue;
            }
            let is_it = |marked: &&Marked| {
                marked.service == service.name.as_str()
                    && (!two || marked.incarnation == service.unit.incarnation())
            };
            let of_it: Vec<&Marked> = found.iter().filter(is_it).collect();
            for marked in &of_it {
                marked.kill();
            }
            if let Some(fact) = service.scanned(of_it.len(), now) {
                service.unit.observe(now, fact);
            } else if of_it.is_empty() {
                // The second look follows at once; killed processes get a moment to end.
                self.scan_wanted.insert(name.clone());
            }
        }
    }

    pub(super) fn happened(&mut self, happened: Happened) {
        let now = os::now();
        match happened {
            Happened::Log(LogEvent::Matched { service, incarnation }) => {
                for key in [service.beside(), service] {
                    if let Some(service) = self.services.get_mut(&key)
                        && service.unit.incarnation() == incarnation
                    {
                        service.unit.observe(now, Fact::Logged);
                    }
                }
            }
            Happened::Files(news) => self.files_changed(news, now),
            Happened::Seen(all) => self.seen(all),
            Happened::Scanned { wanted, found } => self.scanned(&wanted, &found),
            Happened::Stranger { service, incarnation, port, stranger } => {
                self.stranger_found(&service, incarnation, port, &stranger);
            }
            Happened::LastWords { service, incarnation, exit, lines } => {
                self.last_words(&service, incarnation, exit, &lines);
            }
            Happened::Checkpointed { seq, result } => {
                self.checkpoint = Checkpoint { writing: false, ..std::mem::take(&mut self.checkpoint) };
                self.checkpoint.failing = result.is_err();
                match result
                    .and_then(|()| self.world.wal.checkpointed(seq).map_err(|error| error.to_string()))
                {
                    Ok(()) => {}
                    Err(error) => {
                        tracing::error!("writing the state failed: {error}");
                        // Its records stay in the write-ahead log meanwhile.
                        self.checkpoint.due.get_or_insert(now + CHECKPOINT_AGAIN);
                    }
                }
            }
        }
    }
}
