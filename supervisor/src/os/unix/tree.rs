//! What belongs to a run, as far as that is the same on every Unix: its group, its descendants, its mark and FIFOs.

use std::sync::Arc;

use rustix::process::{Signal, kill_process, kill_process_group};

use super::marks::Fifos;
use super::pid as process_id;
use crate::os::{Cgroup, Identity, descendants, system};

/// The processes of a run.
#[derive(Debug)]
pub struct Tree {
    pub(in crate::os) leader: Identity,
    pub(in crate::os) instance: String,
    service: String,
    /// The run's incarnation; 0 for any run.
    incarnation: u64,
    /// Always `None` where there are no cgroups.
    pub(in crate::os) cgroup: Option<Arc<Cgroup>>,
    /// The run's FIFOs: a process that holds one of them belongs to it.
    pub(in crate::os) outputs: Fifos,
}

impl Tree {
    /// Creates the tree of the run that `leader` leads.
    pub fn new(leader: Identity, instance: &str, service: &str, cgroup: Option<Arc<Cgroup>>) -> Self {
        Self {
            leader,
            instance: instance.into(),
            service: service.into(),
            cgroup,
            incarnation: 0,
            outputs: Fifos::new(),
        }
    }

    /// Sets which run it is, and the FIFOs it writes to (device and inode).
    #[must_use]
    pub fn of_run(mut self, incarnation: u64, outputs: impl Iterator<Item = (u64, u64)>) -> Self {
        self.incarnation = incarnation;
        self.outputs = outputs.map(|output| (output, self.service.clone())).collect();
        self
    }

    /// Returns whether the kernel itself knows the run's processes.
    pub fn has_cgroup(&self) -> bool {
        self.cgroup.is_some()
    }

    /// Kills the group while its leader, dead or alive, still holds its number.
    pub fn kill_group(&self) {
        // The leader of an adopted run may be long gone, and another process may have its number.
        if system::proc::start_time(self.leader.pid).is_some_and(|start| start != self.leader.start) {
            return;
        }
        if let Some(group) = process_id(self.leader.pid) {
            // A group that is already gone is no error.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Kills every process of the run, while its leader has not been reaped.
    pub fn kill_all(&self) {
        if let Some(cgroup) = &self.cgroup
            && cgroup.kill().is_ok()
        {
            return;
        }
        // Found before the kill: processes that left the group are known only by descent.
        let family = descendants(self.leader.pid);
        self.kill_group();
        family.into_iter().for_each(kill);
    }

    /// Returns how many processes are in it, and would get a signal.
    pub fn count(&self) -> usize {
        self.pids().len()
    }

    /// Returns the processes in it.
    pub fn pids(&self) -> Vec<u32> {
        match &self.cgroup {
            Some(cgroup) => cgroup.pids(),
            None => descendants(self.leader.pid),
        }
    }

    /// Returns whether a process with this owner belongs to the run. Another run of the same service may exist beside it.
    pub(in crate::os) fn is_owned(&self, owner: Option<(String, u64)>) -> bool {
        owner.is_some_and(|(service, run)| {
            service == self.service && (run == self.incarnation || run == 0 || self.incarnation == 0)
        })
    }
}

/// Kills a process; one that is already gone is no error.
pub(in crate::os) fn kill(pid: u32) {
    if let Some(pid) = process_id(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}
