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

/// The processes of one run.
#[derive(Debug)]
pub struct Tree {
    leader: Identity,
    instance: String,
    service: String,
    /// Of which run; 0: of whichever.
    incarnation: u64,
    /// Its FIFOs: whoever holds one belongs to it.
    outputs: Fifos,
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
        Self {
            leader,
            instance: instance.into(),
            service: service.into(),
            incarnation: 0,
            outputs: Fifos::new(),
        }
    }

    /// Which run it is, and the FIFOs it writes to (device and inode).
    #[must_use]
    pub fn of_run(mut self, incarnation: u64, outputs: impl Iterator<Item = (u64, u64)>) -> Self {
        self.incarnation = incarnation;
        self.outputs = outputs.map(|output| (output, self.service.clone())).collect();
        self
    }

    /// Never: the system does not know who belongs together.
    pub fn has_cgroup(&self) -> bool {
        false
    }

    /// Signals every process of the group. The leader has not been reaped: the group is its own.
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
            // What macOS says of a group in which nobody lives.
            Some(libc::EPERM) if self.members().is_empty() => Ok(()),
            _ => Err(error),
        }
    }

    /// Kills the group while its leader, dead or alive, still holds its number.
    pub fn kill_group(&self) {
        // The leader of an adopted run may be long gone, and its number somebody else's.
        if proc::facts(self.leader.pid).is_some_and(|facts| facts.start != self.leader.start) {
            return;
        }
        if let Some(group) = process_id(self.leader.pid) {
            // Gone already is what we want.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Kills every process of the run, while its leader has not been reaped.
    pub fn kill_all(&self) {
        // Found before anybody dies: whoever left the group is known only by descent.
        let family = proc::descendants(self.leader.pid);
        self.kill_group();
        family.into_iter().for_each(kill);
    }

    /// Everybody in it, for a person: how many would get a signal.
    pub fn count(&self) -> usize {
        self.pids().len()
    }

    /// Whether a process belongs to the run.
    pub fn has(&self, pid: u32) -> bool {
        pid == self.leader.pid || self.pids().contains(&pid)
    }

    /// Everybody in it.
    pub fn pids(&self) -> Vec<u32> {
        proc::descendants(self.leader.pid)
    }

    /// Whether no living process of the group is left, now that its leader has ended.
    pub fn group_is_empty(&self, _orphans: &[u32]) -> bool {
        self.members().is_empty()
    }

    /// The living of the group. One whose number somebody else has by now is not ours.
    fn members(&self) -> Vec<u32> {
        proc::group(self.leader.pid).into_iter().filter(|pid| self.is_member(*pid)).collect()
    }

    fn is_member(&self, pid: u32) -> bool {
        proc::facts(pid).is_some_and(|facts| {
            facts.group == self.leader.pid && facts.start >= self.leader.start && !facts.is_zombie
        })
    }

    /// One round of ending what the run left behind. `orphans` are those who have nobody of a run above them.
    pub fn kill_leftovers(&self, orphans: impl FnOnce() -> Vec<u32>) -> Left {
        let mut left = self.members();
        let ours = proc::ancestors(std::process::id());
        let is_left = |pid: &u32| !ours.contains(pid) && !left.contains(pid) && self.is_ours(*pid);
        let found: Vec<u32> = orphans().into_iter().filter(is_left).collect();
        left.extend(found);
        for orphan in &left {
            // Found before anybody dies; itself first, so that nothing it would start escapes.
            proc::descendants(*orphan).into_iter().for_each(kill);
        }
        if left.is_empty() { Left::Nothing } else { Left::Killed(left.len()) }
    }

    fn is_ours(&self, pid: u32) -> bool {
        // Whoever is older than the run was not left by it: that is nearly everybody, and cheaply known.
        if !proc::facts(pid).is_some_and(|facts| facts.start >= self.leader.start && !facts.is_zombie) {
            return false;
        }
        // Another run of the same service may stand beside this one.
        marks::owner(pid, &self.instance, &self.outputs).is_some_and(|(service, run)| {
            service == self.service && (run == self.incarnation || run == 0 || self.incarnation == 0)
        })
    }
}

fn kill(pid: u32) {
    if let Some(pid) = process_id(pid) {
        // Gone already is what we want.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Nothing can be started into a cgroup here.
pub(super) fn no_cgroup(cgroup: Option<BorrowedFd<'_>>) {
    debug_assert!(cgroup.is_none(), "nobody can have made one");
}
