//! What belongs to a run: its job. The system itself knows the run's processes, so no search is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use windows_sys::Win32::System::Threading::PROCESS_QUERY_LIMITED_INFORMATION;

use super::job::Job;
use super::{Process, console, process};
use crate::os::absent::Cgroup;
use crate::os::{Identity, Left, Marked, Scan, signal};

/// The processes of a run.
#[derive(Debug)]
pub struct Tree {
    leader: Identity,
    /// `None` if the job could not be opened: then only the leader is known.
    job: Option<Arc<Job>>,
}

impl Tree {
    /// Creates the tree of the run that `leader` leads.
    pub fn new(leader: Identity, instance: &str, service: &str, _cgroup: Option<Arc<Cgroup>>) -> Self {
        Self { leader, job: Job::find(instance, service) }
    }

    /// Does nothing: the job identifies the run.
    #[must_use]
    pub fn of_run(self, _incarnation: u64, _outputs: impl Iterator<Item = (u64, u64)>) -> Self {
        self
    }

    /// Returns whether the system itself knows the run's processes.
    pub fn has_cgroup(&self) -> bool {
        self.job.is_some()
    }

    /// Signals every process in the leader's console and group, or kills the whole job.
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

    /// Kills the processes that its leader left behind.
    pub fn kill_group(&self) {
        self.kill_all();
    }

    /// Kills every process of the run.
    pub fn kill_all(&self) {
        match &self.job {
            Some(job) => job.terminate(),
            None => {
                // A process that has ended is no error.
                let _ = Process::adopt(self.leader).map(|leader| leader.signal(signal::KILL));
            }
        }
    }

    /// Returns how many processes are in it, and would get a signal.
    pub fn count(&self) -> usize {
        self.job.as_ref().map_or(1, |job| job.count())
    }

    /// Returns whether a process belongs to the run.
    pub fn has(&self, pid: u32) -> bool {
        pid == self.leader.pid || self.pids().contains(&pid)
    }

    /// Returns the processes in it.
    pub fn pids(&self) -> Vec<u32> {
        match &self.job {
            Some(job) => job.pids(),
            None => super::usage::descendants(self.leader.pid),
        }
    }

    /// Returns whether no living process of it is left, now that its leader has ended.
    pub fn group_is_empty(&self, _orphans: &[u32]) -> bool {
        self.job.as_ref().is_none_or(|job| job.count() == 0)
    }

    /// Ends once what the run left behind.
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

/// Returns every living process in the job of a service of this instance.
///
/// Jobs can be opened by name but not listed: only the services that `outputs` names are examined. Right after the
/// start of a supervisor none is named yet; processes that its files do not mention are ended when their service is
/// started again (see [`Job::make`]), and processes of a service that no file names any more are not found.
pub fn scan(instance: &str, outputs: &BTreeMap<(u64, u64), String>) -> Scan {
    let services: BTreeSet<&str> = outputs.values().map(String::as_str).collect();
    let of = |service: &str| {
        let pids = Job::find(instance, service).map(|job| job.pids()).unwrap_or_default();
        pids.into_iter().filter_map(|pid| marked(pid, service)).collect::<Vec<_>>()
    };
    Scan { found: services.into_iter().flat_map(of).collect(), silent: Vec::new() }
}

fn marked(pid: u32, service: &str) -> Option<Marked> {
    let handle = process::open_pid(pid, PROCESS_QUERY_LIMITED_INFORMATION)?;
    let identity = Identity { pid, start: process::start_time(&handle)? };
    Some(Marked { identity, service: service.into(), incarnation: 0, leads: true, user: None })
}
