//! What belongs to a run: its group, its cgroup, and its orphans, which carry its mark.

use std::io;

use rustix::process::test_kill_process_group;

use super::proc;
use crate::os::Left;
use crate::os::unix::pid as process_id;
use crate::os::unix::tree::{Tree, kill};

impl Tree {
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
            proc::descendants(orphan).into_iter().for_each(kill);
        }
        if killed == 0 { Left::Nothing } else { Left::Killed(killed) }
    }

    fn is_ours(&self, pid: u32) -> bool {
        if self.is_member(pid) {
            return true;
        }
        let alive = proc::stat(pid).is_some_and(|stat| !stat.is_zombie());
        let owner = if alive { proc::owner_in_time(pid, &self.instance, &self.outputs) } else { None };
        self.is_owned(owner)
    }
}
