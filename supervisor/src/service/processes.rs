//! The processes of a service: those of its current run, and what the last one left.

use std::sync::Arc;
use std::time::Duration;

use super::limits::Limits;
use crate::evidence::Taking;
use crate::lifecycle::BootInstant;
use crate::os::{Cgroup, Process, Tree};

/// The processes of a service.
#[derive(Debug, Default)]
pub struct Processes {
    /// The current run's leader.
    pub run: Option<Run>,
    /// The processes of the current or the last run, until they are gone.
    pub tree: Option<Tree>,
    /// Its cgroup, if it has one.
    pub cgroup: Option<Arc<Cgroup>>,
    /// A wait for leftover processes to end.
    pub pending: Option<Pending>,
    /// Whether the last run may have left processes that only a scan of the whole host finds.
    pub unseen: bool,
    /// The `stop.command` that is running.
    pub stopper: Option<Run>,
    /// Evidence of the current run that is being taken.
    pub taking: Option<Taking>,
    /// What is watched of the current run.
    pub limits: Option<Limits>,
}

impl Processes {
    /// Returns the leader's pid; 0 if nothing runs.
    pub fn pid(&self) -> u32 {
        self.run.as_ref().map_or(0, |run| run.process.pid())
    }

    /// Returns whether a process belongs to the current run.
    pub fn has(&self, pid: u32) -> bool {
        pid != 0 && (self.pid() == pid || self.tree.as_ref().is_some_and(|tree| tree.pids().contains(&pid)))
    }

    /// Returns the processes that this supervisor started and has not reaped: the run's leader and a `stop.command`.
    pub fn led(&self) -> impl Iterator<Item = &Run> {
        self.run.iter().chain(&self.stopper)
    }

    /// Returns how many processes the current run has, at least 1.
    pub fn count(&self) -> usize {
        self.tree.as_ref().map_or(1, Tree::count).max(1)
    }

    /// Returns what is waited for.
    pub fn waits_for(&self) -> Option<Waiting> {
        self.pending.as_ref().map(|pending| pending.what)
    }
}

/// A process of a service, and the run that it leads.
#[derive(Debug)]
pub struct Run {
    /// The leading process.
    pub process: Process,
    /// The run's incarnation.
    pub incarnation: u64,
    /// Whether an earlier supervisor started it: its orphans are not children of this process.
    pub adopted: bool,
}

/// Leftover processes that have been told to end, and are looked at again.
#[derive(Debug)]
pub struct Pending {
    /// The condition that must become true.
    pub what: Waiting,
    /// When to look again even if nothing happened.
    pub next_try: BootInstant,
    wait: Duration,
}

/// What a pending look waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// The process group is empty.
    Drain,
    /// No process of the run is left that this process can see.
    Sweep,
    /// A scan of all processes also finds nothing, several times in a row.
    Scan {
        /// The number of scans that must still find nothing.
        left: u8,
    },
}

impl Pending {
    pub(super) fn new(what: Waiting, now: BootInstant) -> Self {
        const FIRST: Duration = Duration::from_millis(1);
        // A scan reports its end; this wait is only for the case that it never does.
        const SCAN: Duration = Duration::from_secs(5);
        let wait = if matches!(what, Waiting::Scan { .. }) { SCAN } else { FIRST };
        Self { what, next_try: now + wait, wait }
    }

    /// Doubles the wait, up to the longest: what does not end soon ends late.
    pub fn again(&mut self, now: BootInstant) {
        const LONGEST: Duration = Duration::from_millis(200);
        self.wait = (self.wait * 2).min(LONGEST);
        self.next_try = now + self.wait;
    }
}
