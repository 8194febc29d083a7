//! What belongs to a run: its group, its descendants, and orphans that carry its mark or hold its FIFOs.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::process::{Signal, kill_process, kill_process_group};

use super::absent::Cgroup;
use super::marks::{self, Fifos};
use super::proc;
use crate::os::Identity;
use crate::os::unix::pid as process_id;

/// The processes of a run.
#[derive(Debug)]
pub struct Tree {
    leader: Identity,
    instance: String,
    service: String,
    /// The run's incarnation; 0 for any run.
    incarnation: u64,
    /// The run's FIFOs: a process that holds one of them belongs to it.
    outputs: Fifos,
}

/// What a round of killing found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing is left.
    Nothing,
    /// This many were still there and have been killed; ask again when they have had time to end.
    Killed(usize),
}

impl Tree {
    /// Creates the tree of the run that `leader` leads.
    pub fn new(leader: Identity, instance: &str, service: &str, _cgroup: Option<Arc<Cgroup>>) -> Self {
        Self {
            leader,
            instance: instance.into(),
            service: service.into(),
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

    /// Always `false`: the system does not know the run's processes.
    pub fn has_cgroup(&self) -> bool {
        false
    }

    /// Signals every process of the group. The leader has not been reaped, so the group number is still its own.
    pub fn signal_group(&self, number: i32) -> io::Result<()> {
        let Some(group) = process_id(self.leader.pid) else { return Ok(()) };
        // SAFETY: a system call without memory.
        let result = unsafe { libc::kill(-group.as_raw_nonzero().get(), number) };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ESRCH) => Ok(()),
            // macOS returns this for a group without living processes.
            Some(libc::EPERM) if self.members().is_empty() => Ok(()),
            _ => Err(error),
        }
    }

    /// Kills the group while its leader, dead or alive, still holds its number.
    pub fn kill_group(&self) {
        // The leader of an adopted run may be long gone, and another process may have its number.
        if proc::facts(self.leader.pid).is_some_and(|facts| facts.start != self.leader.start) {
            return;
        }
        if let Some(group) = process_id(self.leader.pid) {
            // A group that is already gone is no error.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Kills every process of the run, while its leader has not been reaped.
    pub fn kill_all(&self) {
        // Found before the kill: processes that left the group are known only by descent.
        let family = proc::descendants(self.leader.pid);
        self.kill_group();
        family.into_iter().for_each(kill);
    }

    /// Returns how many processes are in it, and would get a signal.
    pub fn count(&self) -> usize {
        self.pids().len()
    }

    /// Returns whether a process belongs to the run.
    pub fn has(&self, pid: u32) -> bool {
        pid == self.leader.pid || self.pids().contains(&pid)
    }

    /// Returns the processes in it.
    pub fn pids(&self) -> Vec<u32> {
        proc::descendants(self.leader.pid)
    }

    /// Returns whether no living process of the group is left, now that its leader has ended.
    pub fn group_is_empty(&self, _orphans: &[u32]) -> bool {
        self.members().is_empty()
    }

    /// Returns the living processes of the group. Other processes that got the group number later are ignored.
    fn members(&self) -> Vec<u32> {
        proc::group(self.leader.pid).into_iter().filter(|pid| self.is_member(*pid)).collect()
    }

    fn is_member(&self, pid: u32) -> bool {
        proc::facts(pid).is_some_and(|facts| {
            facts.group == self.leader.pid && facts.start >= self.leader.start && !facts.is_zombie
        })
    }

    /// Ends once what the run left behind. `orphans` returns the processes that no process of a run is a parent of.
    pub fn kill_leftovers(&self, orphans: impl FnOnce() -> Vec<u32>) -> Left {
        let mut left = self.members();
        let ours = proc::ancestors(std::process::id());
        let is_left = |pid: &u32| !ours.contains(pid) && !left.contains(pid) && self.is_ours(*pid);
        let found: Vec<u32> = orphans().into_iter().filter(is_left).collect();
        left.extend(found);
        for orphan in &left {
            // Found before the kill; the orphan itself first, so that it starts no more processes.
            proc::descendants(*orphan).into_iter().for_each(kill);
        }
        if left.is_empty() { Left::Nothing } else { Left::Killed(left.len()) }
    }

    fn is_ours(&self, pid: u32) -> bool {
        // A process older than the run was not left by it: this excludes nearly all processes, at little cost.
        if !proc::facts(pid).is_some_and(|facts| facts.start >= self.leader.start && !facts.is_zombie) {
            return false;
        }
        // Another run of the same service may exist beside this one.
        marks::owner(pid, &self.instance, &self.outputs).is_some_and(|(service, run)| {
            service == self.service && (run == self.incarnation || run == 0 || self.incarnation == 0)
        })
    }
}

fn kill(pid: u32) {
    if let Some(pid) = process_id(pid) {
        // A process that is already gone is no error.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Checks that no cgroup is given: there are none here.
pub(super) fn no_cgroup(cgroup: Option<BorrowedFd<'_>>) {
    debug_assert!(cgroup.is_none(), "nobody can have made one");
}
