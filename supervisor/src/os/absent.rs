//! Stand-ins for what only Linux has or needs, so that no code above depends on the system.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::examination::{Examination, MOST_PROCESSES};
#[cfg(target_os = "macos")]
use super::macos::look::facts_of;
use super::pipe::{Output, ServiceEnd};
#[cfg(windows)]
use super::windows::usage::facts_of;
use super::{Borrowed, Identity, Ooms, Scan, Silent, descendants, now};
use crate::lifecycle::BootInstant;

/// Never called with any: on this system no look at a process waits for it.
pub fn scan_again(_: &[Silent], _: &str, _: &BTreeMap<(u64, u64), String>) -> Scan {
    Scan::default()
}

/// Why there are none, and what opening one says.
const WHY: (&str, &str) = if cfg!(windows) {
    ("Windows has job objects instead", "Windows has no cgroups")
} else {
    ("macOS has no cgroups", "macOS has no cgroups")
};

/// Returns how many processes a process and its descendants are, and their CPU time and memory as `usage_of` does.
pub fn usage_of_tree(root: u32) -> (usize, f64, u64) {
    let pids = descendants(root);
    let (cpu, memory) = super::usage_of(&pids);
    (pids.len(), cpu, memory)
}

/// Never exists: a run is a job on Windows. On macOS it is its group, its descendants, and the processes that carry its
/// mark or hold its FIFOs.
#[derive(Debug, Clone)]
pub enum Cgroups {}

/// Never exists, as there are no cgroups.
#[derive(Debug)]
pub enum Cgroup {}

/// Why cgroups are not used.
#[derive(Debug, thiserror::Error)]
#[error("{}", WHY.0)]
pub struct NoCgroups;

impl Cgroups {
    /// Always fails, with the reason.
    pub fn probe(_instance: &str) -> Result<Self, NoCgroups> {
        Err(NoCgroups)
    }

    /// Never called: there is no value.
    pub fn service(&self, _stem: &str) -> io::Result<Cgroup> {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn of(&self, _pid: u32) -> Option<Cgroup> {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn clean_up(&self) {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn limit_memory(&self, _cgroup: &Cgroup, _limit: Option<u64>) -> bool {
        match *self {}
    }
}

impl Cgroup {
    /// Always fails: there are no cgroups.
    pub fn open(_path: PathBuf) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, WHY.1))
    }

    /// Never called: there is no value.
    pub fn path(&self) -> &Path {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn descriptor(&self) -> Borrowed<'_> {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn kill(&self) -> io::Result<()> {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn is_populated(&self) -> bool {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn is_spent(&self) -> bool {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn pids(&self) -> Vec<u32> {
        match *self {}
    }

    /// Never called: there is no value.
    pub fn ooms(&self) -> Ooms {
        match *self {}
    }
}

/// Does nothing: memory is sampled.
pub fn make_room_for_limits() {}

/// Not needed: a service can not hold up whoever reads its output.
#[derive(Debug)]
pub struct StallTimer;

impl StallTimer {
    /// Whether a service can hold up a thread of this process on this system.
    pub const IS_NEEDED: bool = false;

    /// Makes the timer.
    pub fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Does nothing: it never rings.
    pub fn set(&self, _after: Duration) {}

    /// Always `false`: it never rings.
    pub fn rings(&self) -> bool {
        false
    }
}

/// Always `false`: opening a pipe does not wait here.
pub fn is_opening_stuck() -> bool {
    false
}

/// Opens the outputs at these paths.
pub fn open_both(paths: [PathBuf; 2], _late: impl FnOnce(Both) + Send + 'static) -> io::Result<Both> {
    let [out, err] = paths;
    Ok([Output::open(&out)?, Output::open(&err)?])
}

/// Looks at the run that `leader` leads, until this time at the latest: its processes, and what they use. Threads, open
/// files and sockets are not looked at here.
pub fn examine(leader: Identity, _cgroup: Option<&Cgroup>, until: BootInstant) -> Examination {
    const BETWEEN: Duration = Duration::from_millis(100);
    let began = now();
    let mut processes = Vec::new();
    if facts_of(leader.pid).is_some_and(|(start, _)| start == leader.start) {
        let pids = descendants(leader.pid).into_iter().take(MOST_PROCESSES);
        processes.extend(pids.filter_map(|pid| facts_of(pid).map(|(_, facts)| facts)));
    }
    super::pipe::pause(BETWEEN.min(until.since(now())));
    for process in &mut processes {
        let cpu = facts_of(process.pid).map(|(_, facts)| facts.cpu);
        process.used = cpu.map(|cpu| cpu.saturating_sub(process.cpu));
    }
    let left_out = vec!["threads, descriptors and sockets are not available on this system"];
    Examination { processes, between: now().since(began), left_out, ..Examination::default() }
}

/// Both ends of stdout and stderr.
pub type Both = [(Output, ServiceEnd); 2];
