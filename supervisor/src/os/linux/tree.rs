//! What belongs to a run: its group, its cgroup, and the orphans that came to the supervisor with its mark.

use std::io;
use std::sync::Arc;

use rustix::process::{Signal, kill_process, kill_process_group, test_kill_process_group};

use super::cgroup::Cgroup;
use super::proc;
use super::proc::Fifos;
use crate::os::unix::pid as process_id;
use crate::os::{Identity, Marked};

/// The processes of one run.
#[derive(Debug)]
pub struct Tree {
    leader: Identity,
    instance: String,
    service: String,
    /// Of which run; 0: of whichever.
    incarnation: u64,
    cgroup: Option<Arc<Cgroup>>,
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

    /// Which run it is, and the FIFOs it writes to (device and inode).
    #[must_use]
    pub fn of_run(mut self, incarnation: u64, outputs: impl Iterator<Item = (u64, u64)>) -> Self {
        self.incarnation = incarnation;
        self.outputs = outputs.map(|output| (output, self.service.clone())).collect();
        self
    }

    /// Whether the kernel itself knows who belongs to it.
    pub fn has_cgroup(&self) -> bool {
        self.cgroup.is_some()
    }

    /// Signals every process of the group. The leader has not been reaped: the group is its own.
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
        // The leader of an adopted run may be long gone, and its number somebody else's.
        if proc::start_time(self.leader.pid).is_some_and(|start| start != self.leader.start) {
            return;
        }
        if let Some(group) = process_id(self.leader.pid) {
            // Gone already is what we want.
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
        // Found before anybody dies: whoever left the group is known only by descent.
        let family = proc::descendants(self.leader.pid);
        self.kill_group();
        for pid in family {
            if let Some(pid) = process_id(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Everybody in it, for a person: how many would get a signal.
    pub fn count(&self) -> usize {
        self.pids().len()
    }

    /// Everybody in it.
    pub fn pids(&self) -> Vec<u32> {
        match &self.cgroup {
            Some(cgroup) => cgroup.pids(),
            None => proc::descendants(self.leader.pid),
        }
    }

    /// Whether a process belongs to the run. One that has ended and is not its leader cannot be told.
    pub fn has(&self, pid: u32) -> bool {
        if pid == self.leader.pid {
            return true;
        }
        match &self.cgroup {
            Some(cgroup) => cgroup.has(pid),
            None => self.is_ours(pid) || proc::descendants(self.leader.pid).contains(&pid),
        }
    }

    /// Whether a living process of the group is left, now that its leader has been reaped. `orphans` are the
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
        // Zombies count as gone. A group whose number somebody else has by now is not ours to wait for.
        !orphans.iter().copied().flat_map(proc::descendants).any(|pid| self.is_member(pid))
    }

    fn is_member(&self, pid: u32) -> bool {
        proc::stat(pid).is_some_and(|stat| {
            stat.group == self.leader.pid && stat.start >= self.leader.start && !stat.is_zombie()
        })
    }

    /// One round of ending what the run left behind. `orphans` are the supervisor's children that lead no run.
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
            // Itself first: nothing it would start then escapes, and its children come to us. Ours to reap, so its
            // pid can not become somebody else's.
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
        // Another run of the same service may stand beside this one.
        owner.is_some_and(|(service, run)| {
            service == self.service && (run == self.incarnation || run == 0 || self.incarnation == 0)
        })
    }
}

impl Marked {
    /// Kills it, if it is still the one that was found.
    pub fn kill(&self) {
        if let Some(process) = super::Process::adopt(self.identity) {
            // One that is gone is no error, and one that may not be killed is found again by the next scan.
            let _ = process.signal(crate::os::signal::KILL);
        }
    }
}
