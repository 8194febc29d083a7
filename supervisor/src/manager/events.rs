//! Handles events: exits, children, output, scans.

use std::collections::BTreeSet;

use futures_util::FutureExt;

use super::services::RunKey;
use super::{CHECKPOINT_AGAIN, Checkpoint, Ended, Happened, Manager};
use crate::journal::Kind;
use crate::lifecycle::{BootInstant, Exit, Fact};
use crate::logs::LogEvent;
use crate::os::{self, Marked};
use crate::service::{Fifos, Pending, Run, Service, Waiting};

impl Manager {
    /// Begins to watch for the end of this run.
    pub(super) fn watch_exit(&mut self, key: &RunKey) {
        let Some(run) = self.services.run(key).and_then(|service| service.processes.run.as_ref()) else {
            return;
        };
        let ended = Ended::Leader(key.clone(), run.incarnation);
        match run.process.exited() {
            Ok(exited) => self.exits.push(Box::pin(exited.map(move |()| ended))),
            // The supervisor still hears of its own children by SIGCHLD.
            Err(error) => tracing::error!(service = %key.name, %error, "watching its process failed"),
        }
    }

    pub(super) fn watch_stopper(&mut self, key: &RunKey) {
        let stopper = self.services.run(key).and_then(|service| service.processes.stopper.as_ref());
        let Some(run) = stopper else { return };
        let ended = Ended::Stopper(key.clone());
        if let Ok(exited) = run.process.exited() {
            self.exits.push(Box::pin(exited.map(move |()| ended)));
        }
    }

    pub(super) fn process_ended(&mut self, ended: &Ended) {
        let now = os::now();
        match ended {
            Ended::Leader(key, incarnation) => {
                let Some(service) = self.services.run_mut(key) else { return };
                // Both the pidfd and SIGCHLD report it; the first report has already reaped it.
                if service.processes.run.as_ref().is_none_or(|run| run.incarnation != *incarnation) {
                    return;
                }
                // What was seen of it comes before its end.
                self.settle_evidence(key, "");
                let Some(service) = self.services.run_mut(key) else { return };
                let (why, up) = (service.unit.ends_because(), service.unit.uptime(now).unwrap_or_default());
                if let Some(fact) = service.reap(&mut self.world, now) {
                    service.unit.observe(now, fact);
                }
                let exit = service.story.cause();
                self.hear_last_words(key, exit, why, up);
                if !key.second {
                    self.end_reload(&key.name, "the run it was to replace has ended", now);
                }
            }
            Ended::Stopper(key) => self.stopper_ended(key),
            Ended::Trial => self.trial_ended(),
        }
    }

    fn stopper_ended(&mut self, key: &RunKey) {
        let Some(service) = self.services.run_mut(key) else { return };
        let Some(stopper) = service.processes.stopper.take() else { return };
        let exit = stopper.process.reap();
        if exit != Exit::Code(0) && service.processes.run.is_some() {
            tracing::warn!(service = %key.name, "stop.command ended with {exit}; sending the signal instead");
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
        self.look_again_at(now, |pending| matches!(pending.what, Waiting::Drain | Waiting::Sweep));
    }

    /// Looks again at the leftover processes of every run whose wait fulfils a condition.
    fn look_again_at(&mut self, now: BootInstant, holds: impl Fn(&Pending) -> bool) {
        let keys = self.services.keys_where(|service| service.processes.pending.as_ref().is_some_and(&holds));
        if keys.is_empty() {
            return;
        }
        // Looked up once for all services: a hundred services that stop together would each need it.
        let orphans = self.orphans();
        for key in keys {
            self.look_again(&key, &orphans, now);
        }
    }

    /// Returns the run or command that a child of this process leads.
    fn leads(&self, pid: u32) -> Option<Ended> {
        if self.trial.as_ref().is_some_and(|trial| trial.run.process.pid() == pid) {
            return Some(Ended::Trial);
        }
        self.services.runs().find_map(|service| {
            let is = |run: &&Run| run.process.pid() == pid;
            if let Some(run) = service.processes.run.as_ref().filter(is) {
                return Some(Ended::Leader(service.key(), run.incarnation));
            }
            service.processes.stopper.as_ref().filter(is).map(|_| Ended::Stopper(service.key()))
        })
    }

    /// Returns the children of this process that lead no run.
    fn orphans(&self) -> Vec<u32> {
        let leaders = self.leaders();
        os::orphans(|pid| leaders.contains(&pid))
    }

    /// Returns the pids of all children that lead a run or are a `stop.command`.
    fn leaders(&self) -> BTreeSet<u32> {
        self.services
            .runs()
            .flat_map(|service| service.processes.led())
            .map(|run| run.process.pid())
            .collect()
    }

    /// Looks again at leftover processes, where the next look is due.
    pub(super) fn look_at_pending(&mut self, now: BootInstant) {
        self.look_again_at(now, |pending| pending.next_try <= now);
    }

    fn look_again(&mut self, key: &RunKey, orphans: &[u32], now: BootInstant) {
        let Some(service) = self.services.run_mut(key) else { return };
        match service.processes.waits_for() {
            Some(Waiting::Drain) => {
                if let Some(fact) = service.drain(orphans, now) {
                    service.unit.observe(now, fact);
                }
            }
            Some(Waiting::Sweep) => self.sweep_with(key, || orphans.to_vec(), now),
            Some(Waiting::Scan { .. }) => self.want_scan(key, now),
            None => {}
        }
    }

    pub(super) fn drain(&mut self, key: &RunKey, now: BootInstant) {
        let orphans = self.orphans();
        if let Some(service) = self.services.run_mut(key)
            && let Some(fact) = service.drain(&orphans, now)
        {
            service.unit.observe(now, fact);
        }
    }

    pub(super) fn sweep(&mut self, key: &RunKey, now: BootInstant) {
        let leaders = self.leaders();
        self.sweep_with(key, || os::orphans(|pid| leaders.contains(&pid)), now);
    }

    fn sweep_with(&mut self, key: &RunKey, orphans: impl FnOnce() -> Vec<u32>, now: BootInstant) {
        let Some(service) = self.services.run_mut(key) else { return };
        if let Some(fact) = service.sweep(orphans, now) {
            service.unit.observe(now, fact);
        } else if matches!(service.processes.waits_for(), Some(Waiting::Scan { .. })) {
            self.want_scan(key, now);
        }
    }

    /// Requests a scan of all processes; a single scan serves every service that waits for one.
    fn want_scan(&mut self, key: &RunKey, now: BootInstant) {
        if let Some(pending) =
            self.services.run_mut(key).and_then(|service| service.processes.pending.as_mut())
        {
            pending.again(now);
        }
        self.scan_wanted.insert(key.clone());
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
            let scan = os::scan(&instance, &fifos);
            // Fails only if the manager has ended.
            let _ = tell.send(Happened::Scanned { wanted, scan });
        });
    }

    fn scanned(&mut self, wanted: &BTreeSet<RunKey>, found: &[Marked]) {
        self.scanning = false;
        let now = os::now();
        for key in wanted {
            let two = self.services.beside(&key.name).is_some();
            let Some(service) = self.services.run_mut(key) else { continue };
            // A run that has begun meanwhile is not a leftover.
            if service.processes.run.is_some() {
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
                self.scan_wanted.insert(key.clone());
            }
        }
    }

    pub(super) fn happened(&mut self, happened: Happened) {
        let now = os::now();
        match happened {
            Happened::Log(LogEvent::Matched { service, incarnation }) => {
                for service in self.services.of_name_mut(&service) {
                    if service.unit.incarnation() == incarnation {
                        service.unit.observe(now, Fact::Logged);
                    }
                }
            }
            Happened::Prepared(prepared) => self.prepared(prepared),
            Happened::Files(news) => self.files_changed(news, now),
            Happened::Seen(all) => self.seen(all),
            Happened::Scanned { wanted, scan } => {
                self.scanned(&wanted, &scan.found);
                self.look_again_later(scan.silent);
            }
            Happened::Judged(scan) => self.judged(scan),
            Happened::Stranger { of, incarnation, port, stranger } => {
                self.stranger_found(&of, incarnation, port, &stranger);
            }
            Happened::Evidence { of, because, subject, evidence } => {
                self.evidence_taken(&of, because, subject, evidence, now);
            }
            Happened::Told { of, incarnation, told } => self.evidence_told(&of, incarnation, &told, now),
            Happened::LastWords { service, incarnation, exit, lines } => {
                self.last_words(&service, incarnation, exit, &lines);
            }
            Happened::Opened { service, incarnation, both } => {
                let Self { services, world, .. } = self;
                let service = services.get_mut(&service);
                // A run that has begun meanwhile has other outputs.
                let is_it = |service: &&mut Service| {
                    service.unit.incarnation() == incarnation
                        && matches!(service.outputs.fifos, Fifos::Closed)
                };
                if let Some(service) = service.filter(is_it) {
                    world.opened(service, both);
                    world.tell(service, Kind::Output, service.story.began, "its output is read again".into());
                } else {
                    // Closing them may take as long as opening them did.
                    std::thread::spawn(move || drop(both));
                }
            }
            Happened::Checkpointed { seq, result } => {
                self.checkpoint = Checkpoint { writing: false, ..std::mem::take(&mut self.checkpoint) };
                self.checkpoint.failing = result.is_err();
                match result.and_then(|()| self.world.wal.checkpointed(seq)) {
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
