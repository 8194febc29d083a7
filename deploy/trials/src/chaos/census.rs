//! Finds the living processes of the test through `/proc`, and kills one of them without ever hitting another process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Names of the monitors.
pub(super) const MONITORS: [&str; 2] = ["health-monitor", "port-monitor"];

/// A process of a service or a monitor of the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Pid of the process.
    pub(super) pid: u32,
    /// Name of its service.
    pub(super) service: String,
    /// Incarnation of the service.
    pub(super) incarnation: u64,
}

/// Returns all living processes that carry a mark of the home in `folder`, or name the service program on their command line.
pub(super) fn look(folder: &Path) -> Vec<Seen> {
    let id = fs::read_to_string(folder.join("home/state/instance")).unwrap_or_default();
    let mark = format!(".{}/", id.trim());
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let known = |pid| {
        let (service, incarnation) =
            marked(pid, &mark).filter(|_| !id.is_empty()).or_else(|| named(pid, folder))?;
        start_of(pid)?;
        Some(Seen { pid, service, incarnation })
    };
    pids.filter_map(known).collect()
}

/// Groups the living processes by service and incarnation.
pub(super) fn by_run(seen: &[Seen]) -> BTreeMap<&str, BTreeMap<u64, Vec<u32>>> {
    let mut runs = BTreeMap::<&str, BTreeMap<u64, Vec<u32>>>::new();
    for one in seen {
        runs.entry(&one.service).or_default().entry(one.incarnation).or_default().push(one.pid);
    }
    runs
}

fn marked(pid: u32, mark: &str) -> Option<(String, u64)> {
    let mut environ = Vec::new();
    // A process can say that it is as long as all of its memory.
    let file = fs::File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(2 << 20).read_to_end(&mut environ).ok()?;
    let unit = environ.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"SERENO_UNIT="))?;
    unit_of(std::str::from_utf8(unit).ok()?, mark)
}

fn unit_of(unit: &str, mark: &str) -> Option<(String, u64)> {
    let (_, rest) = unit.split_once(mark)?;
    let (service, incarnation) = rest.rsplit_once('/')?;
    Some((service.into(), incarnation.parse().ok()?))
}

/// Reads service and incarnation from the command line of a helper process: some helpers have an empty environment.
fn named(pid: u32, folder: &Path) -> Option<(String, u64)> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line);
    let words: Vec<&str> = line.split('\0').collect();
    let after = |flag: &str| words.iter().skip_while(|word| **word != flag).nth(1).copied();
    let of_service =
        words.contains(&"chaos-service") && after("--folder").is_some_and(|f| Path::new(f) == folder);
    let incarnation = after("--incarnation").filter(|_| of_service)?.parse().ok()?;
    Some((after("--name")?.into(), incarnation))
}

/// Returns when a living process started, in ticks since boot; a zombie does not count as living.
pub(super) fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    if rest.starts_with(['Z', 'X']) {
        return None;
    }
    rest.split(' ').nth(19)?.parse().ok()
}

/// Returns the pid of the supervisor of the home in `folder`, if it is alive.
pub(super) fn supervisor(folder: &Path) -> Option<u32> {
    let text = fs::read_to_string(folder.join("home/run/supervisor.lock")).ok()?;
    let pid = text.trim().parse().ok()?;
    // The pid in an old file may belong to another process by now.
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line).into_owned();
    let is_ours = line.contains("supervisor") && line.contains(&*folder.to_string_lossy());
    (is_ours && start_of(pid).is_some()).then_some(pid)
}

/// Whether one monitor holds both pipes of every service open: their content then survives the supervisor.
pub(super) fn pipes_are_kept(folder: &Path, services: &[String]) -> bool {
    let pipes = folder.join("home/run/fifo");
    let is_monitor = |seen: &Seen| MONITORS.contains(&seen.service.as_str());
    look(folder).iter().filter(|seen| is_monitor(seen)).any(|monitor| {
        let open = fs::read_dir(format!("/proc/{}/fd", monitor.pid)).into_iter().flatten().flatten();
        let open: BTreeSet<_> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
        let of = |name: &String| ["out", "err"].map(|stream| pipes.join(format!("{name}.{stream}")));
        services.iter().flat_map(of).all(|pipe| open.contains(&pipe))
    })
}

/// Kills the process if `still` recognizes it. A pidfd holds the process during the check, so that its pid
/// can not be reused.
pub(super) fn kill(pid: u32, still: impl Fn() -> bool) -> io::Result<bool> {
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
    let held = match pidfd_open(number, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        opened => opened?,
    };
    if !still() {
        return Ok(false);
    }
    match pidfd_send_signal(&held, Signal::KILL) {
        Err(rustix::io::Errno::SRCH) => Ok(false),
        sent => Ok(sent.map(|()| true)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_this_home_is_read_and_no_other() {
        assert_eq!(unit_of("fe01.22.f000.0011aa/s1/17", ".0011aa/"), Some(("s1".into(), 17)));
        assert_eq!(unit_of("fe01.22.f000.0011ab/s1/17", ".0011aa/"), None);
        assert_eq!(unit_of("fe01.22.f000.0011aa/s1/x", ".0011aa/"), None);
    }

    #[test]
    fn we_live_and_a_stranger_is_not_killed() {
        let me = std::process::id();
        assert!(start_of(me).is_some());
        assert!(!kill(me, || false).expect("asked"));
        assert!(!kill(u32::MAX, || true).expect("asked"));
    }

    #[test]
    fn runs_are_told_apart() {
        let seen = |pid, service: &str, incarnation| Seen { pid, service: service.into(), incarnation };
        let all = [seen(1, "a", 1), seen(2, "a", 1), seen(3, "a", 2), seen(4, "b", 1)];
        let runs = by_run(&all);
        assert_eq!(runs["a"][&1], [1, 2]);
        assert_eq!((runs["a"].len(), runs["b"].len()), (2, 1));
    }
}
