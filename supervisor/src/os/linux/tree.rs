//! What belongs to a run: its group, its cgroup, and its orphans, which carry its mark.

use std::io;
use std::sync::Arc;

use rustix::process::{Signal, kill_process, kill_process_group, test_kill_process_group};

use super::cgroup::Cgroup;
use super::proc;
use super::proc::Fifos;
use crate::os::unix::pid as process_id;
use crate::os::{Identity, Marked};

/// The processes of a run.
#[derive(Debug)]
pub struct Tree {
    leader: Identity,
    instance: String,
    service: String,
    /// The run's incarnation; 0 for any run.
    incarnation: u64,
    cgroup: Option<Arc<Cgroup>>,
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

    /// Signals every process of the group. The leader has not been reaped, so the group number is still its own.
    pub fn signal_group(&self, number: i32) -> io::Result<()> {
        let Some(group) = process_id(self.leader.pid) else { return Ok(()) };
        // SAFETY: a system call without memory; rustix has no name for real-time signals.
        let result = unsafe { libc::kill(-group.as_raw_nonzero().get(), number) };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
    }

    /// Kills the group while its leader, dead or alive, still holds its number.
    pub fn kill_group(&self) {
        // The leader of an adopted run may be long gone, and another process may have its number.
        if proc::start_time(self.leader.pid).is_some_and(|start| start != self.leader.start) {
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
        let family = proc::descendants(self.leader.pid);
        self.kill_group();
        for pid in family {
            if let Some(pid) = process_id(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Returns how many processes are in it, and would get a signal.
    pub fn count(&self) -> usize {
        self.pids().len()
    }

    /// Returns the processes in it.
    pub fn pids(&self) -> Vec<u32> {
        match &self.cgroup {
            Some(cgroup) => cgroup.pids(),
            None => proc::descendants(self.leader.pid),
        }
    }

    /// Returns whether a process belongs to the run. Unknown, and so `false`, for an ended process other than the
    /// leader.
    pub fn has(&self, pid: u32) -> bool {
        if pid == self.leader.pid {
            return true;
        }
        match &self.cgroup {
            Some(cgroup) => cgroup.has(pid),
            None => self.is_ours(pid) || proc::descendants(self.leader.pid).contains(&pid),
        }
    }

    /// Returns whether no living process of the group is left, now that its leader has been reaped. `orphans` are the
    /// supervisor's children that lead no run.
    pub fn group_is_empty(&self, orphans: &[u32]) -> bool {
        let Some(group) = process_id(self.leader.pid) else { return true };
        if test_kill_process_group(group).is_err() {
            return true;
        }
        if let Some(cgroup) = &self.cgroup
            && !cgroup.is_populated()
        {
            return true;
        }
        // Zombies count as gone. If the group number belongs to other processes by now, they must not be waited for.
        !orphans.iter().copied().flat_map(proc::descendants).any(|pid| self.is_member(pid))
    }

    fn is_member(&self, pid: u32) -> bool {
        proc::stat(pid).is_some_and(|stat| {
            stat.group == self.leader.pid && stat.start >= self.leader.start && !stat.is_zombie()
        })
    }

    /// Ends once what the run left behind. `orphans` returns the supervisor's children that lead no run.
    pub fn kill_leftovers(&self, orphans: impl FnOnce() -> Vec<u32>) -> Left {
        if let Some(cgroup) = &self.cgroup {
            if !cgroup.is_populated() {
                return Left::Nothing;
            }
            let count = cgroup.count().max(1);
            if cgroup.kill().is_ok() {
                return Left::Killed(count);
            }
        }
        let mut killed = 0;
        for orphan in orphans().into_iter().filter(|orphan| self.is_ours(*orphan)) {
            // The orphan itself first, so that it starts no more processes; its children become this process's. This
            // process must reap it, so its pid cannot be reused.
            killed += 1;
            for pid in proc::descendants(orphan) {
                if let Some(pid) = process_id(pid) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
        }
        if killed == 0 { Left::Nothing } else { Left::Killed(killed) }
    }

    fn is_ours(&self, pid: u32) -> bool {
        if self.is_member(pid) {
            return true;
        }
        let alive = proc::stat(pid).is_some_and(|stat| !stat.is_zombie());
        let owner = if alive { proc::owner(pid, &self.instance, &self.outputs) } else { None };
        // Another run of the same service may exist beside this one.
        owner.is_some_and(|(service, run)| {
            service == self.service && (run == self.incarnation || run == 0 || self.incarnation == 0)
        })
    }
}

impl Marked {
    /// Kills the process, if it is still the one that was found.
    pub fn kill(&self) {
        if let Some(process) = super::Process::adopt(self.identity) {
            // A process that is gone is no error, and one that may not be killed is found again by the next scan.
            let _ = process.signal(crate::os::signal::KILL);
        }
    }
}
