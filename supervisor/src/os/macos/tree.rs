//! What belongs to a run: its group, its descendants, and orphans that carry its mark or hold its FIFOs.

use std::io;
use std::os::fd::BorrowedFd;

use super::{marks, proc};
use crate::os::Left;
use crate::os::unix::marks::ancestors;
use crate::os::unix::pid as process_id;
use crate::os::unix::tree::{Tree, kill};

impl Tree {
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

    /// Returns whether a process belongs to the run.
    pub fn has(&self, pid: u32) -> bool {
        pid == self.leader.pid || self.pids().contains(&pid)
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
        let ours = ancestors(std::process::id());
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
        self.is_owned(marks::owner(pid, &self.instance, &self.outputs))
    }
}

/// Checks that no cgroup is given: there are none here.
pub(super) fn no_cgroup(cgroup: Option<BorrowedFd<'_>>) {
    debug_assert!(cgroup.is_none(), "nobody can have made one");
}
