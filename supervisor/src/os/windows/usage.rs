//! Descendants of processes, and what they use.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::windows::io::AsRawHandle;
use std::time::Duration;

use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::PROCESS_QUERY_LIMITED_INFORMATION;

use super::Cgroup;
use super::handle::{done, own};
use super::job::Job;
use super::process::{open_pid, start_time, times};
use crate::os::Look;
use crate::os::examination::ProcessFacts;

/// Always empty: orphans get no new parent here, and stay in the job of their service.
pub fn orphans(_is_leader: impl Fn(u32) -> bool) -> Vec<u32> {
    Vec::new()
}

/// Returns a process and all that belong to it, itself first: its whole job, else its descendants.
pub fn descendants(root: u32) -> Vec<u32> {
    match open_pid(root, PROCESS_QUERY_LIMITED_INFORMATION).and_then(|process| Job::of(&process)) {
        Some(job) => std::iter::once(root).chain(job.pids().into_iter().filter(|pid| *pid != root)).collect(),
        None => below(root),
    }
}

/// Returns a process and its descendants. A child stores its parent's pid even after another process has got that pid:
/// a process older than its parent is no child.
fn below(root: u32) -> Vec<u32> {
    let children = children();
    let started = |pid: u32| start_time(&open_pid(pid, PROCESS_QUERY_LIMITED_INFORMATION)?);
    let (mut all, mut next) = (vec![root], 0);
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        let Some(parent) = started(pid) else { continue };
        let of_it = children.get(&pid).into_iter().flatten().copied();
        let younger = of_it.filter(|child| started(*child).is_some_and(|start| start >= parent));
        let new: Vec<u32> = younger.filter(|child| !all.contains(child)).collect();
        all.extend(new);
    }
    all
}

/// Returns the children of every process, by the parent's pid that they store.
fn children() -> BTreeMap<u32, Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let size = u32::try_from(size_of::<PROCESSENTRY32W>()).expect("small");
    let mut entry = PROCESSENTRY32W { dwSize: size, ..Default::default() };
    // SAFETY: the handle is new and owned here, and the structure contains its length.
    unsafe {
        let Ok(snapshot) = own(CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0)) else { return children };
        let mut more = Process32FirstW(snapshot.as_raw_handle(), &raw mut entry);
        while more != 0 {
            children.entry(entry.th32ParentProcessID).or_default().push(entry.th32ProcessID);
            more = Process32NextW(snapshot.as_raw_handle(), &raw mut entry);
        }
    }
    children
}

/// Returns CPU time in seconds and resident memory in bytes of a set of processes. For a whole job the system's counter
/// is used, which includes ended processes.
pub fn usage_of(pids: &[u32]) -> (f64, u64) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the CPU time of a process is far below 2^52 units of 100 ns"
    )]
    let seconds = |units: u64| units as f64 / 1e7;
    let (cpu, memory) = pids
        .iter()
        .filter_map(|pid| used(*pid))
        .fold((0.0, 0), |(cpu, memory), (units, bytes)| (cpu + seconds(units), memory + bytes));
    let leader = pids.first().and_then(|pid| open_pid(*pid, PROCESS_QUERY_LIMITED_INFORMATION));
    let counted = leader.and_then(|leader| Job::of(&leader)).map_or(0, |job| job.cpu());
    (if counted > 0 { seconds(counted) } else { cpu }, memory)
}

/// Returns when a process started, and what is known of it.
pub(in crate::os) fn facts_of(pid: u32) -> Option<(u64, ProcessFacts)> {
    let start = start_time(&open_pid(pid, PROCESS_QUERY_LIMITED_INFORMATION)?)?;
    let (cpu, memory) = used(pid)?;
    let cpu = Duration::from_nanos(cpu.saturating_mul(100));
    Some((start, ProcessFacts { pid, cpu, memory, ..ProcessFacts::default() }))
}

fn used(pid: u32) -> Option<(u64, u64)> {
    let process = open_pid(pid, PROCESS_QUERY_LIMITED_INFORMATION)?;
    let (_, cpu) = times(&process)?;
    let size = u32::try_from(size_of::<PROCESS_MEMORY_COUNTERS>()).expect("small");
    let mut memory = PROCESS_MEMORY_COUNTERS { cb: size, ..Default::default() };
    // SAFETY: the structure contains its length.
    done(unsafe { K32GetProcessMemoryInfo(process.as_raw_handle(), &raw mut memory, size) }).ok()?;
    Some((cpu, u64::try_from(memory.WorkingSetSize).unwrap_or(0)))
}

/// Looks at the processes of a run. Stuck processes cannot be recognised from outside here.
pub fn look(leader: u32, _cgroup: Option<&Cgroup>, _stuck: bool) -> Look {
    let mut look = Look::default();
    let mut all = DefaultHasher::new();
    for pid in descendants(leader) {
        let Some((units, bytes)) = used(pid) else { continue };
        (pid, units).hash(&mut all);
        look.memory += bytes;
    }
    look.used = all.finish();
    look
}
