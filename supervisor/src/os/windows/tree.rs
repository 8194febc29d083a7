//! What belongs to a run: its job. The system itself knows who is in it, so that there is nobody to look for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use windows_sys::Win32::System::Threading::PROCESS_QUERY_LIMITED_INFORMATION;

use super::absent::Cgroup;
use super::job::Job;
use super::{Process, console, process};
use crate::os::{Identity, Marked, signal};

/// The processes of one run.
#[derive(Debug)]
pub struct Tree {
    leader: Identity,
    /// `None`: it could not be opened; then only the leader is known.
    job: Option<Arc<Job>>,
}

/// What a round of killing found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing is left.
    Nothing,
    /// These many were still there and have been killed; ask again when they have had time to go.
    Killed(usize),
}

impl Tree {
    /// Of the run that `leader` leads.
    pub fn new(leader: Identity, instance: &str, service: &str, _cgroup: Option<Arc<Cgroup>>) -> Self {
        Self { leader, job: Job::find(instance, service) }
    }

    /// Its job says it all.
    #[must_use]
    pub fn of_run(self, _incarnation: u64, _outputs: impl Iterator<Item = (u64, u64)>) -> Self {
        self
    }

    /// Whether the system itself knows who belongs to it.
    pub fn has_cgroup(&self) -> bool {
        self.job.is_some()
    }

    /// Asks every process that shares the leader's console and group, or ends everybody.
    pub fn signal_group(&self, number: i32) -> io::Result<()> {
        if number == signal::KILL {
            self.kill_all();
            return Ok(());
        }
        if Process::adopt(self.leader).is_none() {
            return Ok(());
        }
        console::ask(self.leader.pid, number)
    }

    /// Kills what its leader left behind.
    pub fn kill_group(&self) {
        self.kill_all();
    }

    /// Kills every process of the run.
    pub fn kill_all(&self) {
        match &self.job {
            Some(job) => job.terminate(),
            None => {
                // One that is gone is what we want.
                let _ = Process::adopt(self.leader).map(|leader| leader.signal(signal::KILL));
            }
        }
    }

    /// Everybody in it, for a person: how many would get a signal.
    pub fn count(&self) -> usize {
        self.job.as_ref().map_or(1, |job| job.count())
    }

    /// Whether a process belongs to the run.
    pub fn has(&self, pid: u32) -> bool {
        pid == self.leader.pid || self.pids().contains(&pid)
    }

    /// Everybody in it.
    pub fn pids(&self) -> Vec<u32> {
        match &self.job {
            Some(job) => job.pids(),
            None => super::usage::descendants(self.leader.pid),
        }
    }

    /// Whether no living process of it is left, now that its leader has ended.
    pub fn group_is_empty(&self, _orphans: &[u32]) -> bool {
        self.job.as_ref().is_none_or(|job| job.count() == 0)
    }

    /// One round of ending what the run left behind.
    pub fn kill_leftovers(&self, _orphans: impl FnOnce() -> Vec<u32>) -> Left {
        let Some(job) = &self.job else { return Left::Nothing };
        match job.count() {
            0 => Left::Nothing,
            count => {
                job.terminate();
                Left::Killed(count)
            }
        }
    }
}

/// Every living process in the job of a service of this instance.
///
/// Jobs can be opened by name but not listed: only the services that `outputs` names are looked at. Right after the
/// start of a supervisor nobody is named yet; whoever its files say nothing of is ended when his service is started
/// again (see [`Job::make`]), and one whose service no file names any more is not found.
pub fn scan(instance: &str, outputs: &BTreeMap<(u64, u64), String>) -> Vec<Marked> {
    let services: BTreeSet<&str> = outputs.values().map(String::as_str).collect();
    let of = |service: &str| {
        let pids = Job::find(instance, service).map(|job| job.pids()).unwrap_or_default();
        pids.into_iter().filter_map(|pid| marked(pid, service)).collect::<Vec<_>>()
    };
    services.into_iter().flat_map(of).collect()
}

fn marked(pid: u32, service: &str) -> Option<Marked> {
    let handle = process::open_pid(pid, PROCESS_QUERY_LIMITED_INFORMATION)?;
    let identity = Identity { pid, start: process::start_time(&handle)? };
    Some(Marked { identity, service: service.into(), incarnation: 0, leads: true, user: None })
}

impl Marked {
    /// Kills it, if it is still the one that was found.
    pub fn kill(&self) {
        if let Some(process) = Process::adopt(self.identity) {
            // One that is gone is no error, and one that may not be killed is found again by the next scan.
            let _ = process.signal(signal::KILL);
        }
    }
}
