//! Memory limits of the kernel, by cgroup v2, where the memory controller is available.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::cgroup::{Cgroup, Cgroups, own_v2_cgroup};
use crate::os::Ooms;

/// The supervisor's own cgroup where the cgroups beside it are limited: a cgroup with processes in it cannot limit
/// cgroups below it. The same name as in `DelegateSubgroup=` of a systemd unit.
pub(super) const LEAF: &str = "supervisor";

/// The values for no limit, and for a limit that an earlier supervisor may have set.
pub(super) const UNLIMITED: u64 = 0;
pub(super) const UNKNOWN: u64 = u64::MAX;

/// Does nothing: the run's cgroup enforces the limit.
pub fn hold_memory(_instance: &str, _service: &str, _most: Option<u64>) {}

/// Moves this process into a leaf cgroup, if only its place prevents limits on its services. Must be called before
/// anything is started, and before this process's cgroup is recorded.
pub fn make_room_for_limits() {
    let Some(own) = own_v2_cgroup() else { return };
    if own.ends_with(LEAF) || !names_memory(&own, "cgroup.controllers") || hand_down(&own) {
        return;
    }
    // A foreign process in this cgroup must not be moved.
    let alone = fs::read_to_string(own.join("cgroup.procs"))
        .is_ok_and(|pids| pids.trim() == std::process::id().to_string());
    let enter = |cgroup: &Path| fs::write(cgroup.join("cgroup.procs"), "0");
    let leaf = own.join(LEAF);
    if !alone || fs::create_dir(&leaf).is_err() {
        return;
    }
    if enter(&leaf).is_err() || !hand_down(&own) {
        // Move back to the previous state: memory is sampled then.
        let _ = enter(&own);
        let _ = fs::remove_dir(&leaf);
    }
}

/// Enables memory limits for the cgroups below this one.
fn hand_down(cgroup: &Path) -> bool {
    let file = "cgroup.subtree_control";
    names_memory(cgroup, file) || fs::write(cgroup.join(file), "+memory").is_ok()
}

fn names_memory(cgroup: &Path, file: &str) -> bool {
    fs::read_to_string(cgroup.join(file))
        .is_ok_and(|text| text.split_ascii_whitespace().any(|controller| controller == "memory"))
}

impl Cgroups {
    /// Sets or lifts the memory limit of a service's cgroup. Returns whether the kernel enforces it. Costs nothing if
    /// the limit is already set.
    pub fn limit_memory(&self, cgroup: &Cgroup, limit: Option<u64>) -> bool {
        let wanted = limit.unwrap_or(UNLIMITED);
        if cgroup.limit.load(Ordering::Relaxed) == wanted {
            return limit.is_some();
        }
        if limit.is_none() && cgroup.is_unlimited() {
            return false;
        }
        if limit.is_some() && !cgroup.is_limitable() {
            let above = self.base().parent();
            if !above.is_some_and(hand_down) || !hand_down(self.base()) {
                return false;
            }
        }
        let done = cgroup.limit_memory(limit).is_ok();
        cgroup.limit.store(if done { wanted } else { UNLIMITED }, Ordering::Relaxed);
        done && limit.is_some()
    }
}

impl Cgroup {
    /// Returns whether it has no limit: true for most, and checked at every start.
    fn is_unlimited(&self) -> bool {
        !self.read("memory.max").is_ok_and(|limit| limit.trim() != "max")
    }

    fn is_limitable(&self) -> bool {
        self.read("memory.max").is_ok()
    }

    fn limit_memory(&self, limit: Option<u64>) -> io::Result<()> {
        let text = limit.map_or_else(|| "max".into(), |bytes| bytes.to_string());
        self.write("memory.max", &text)?;
        // Without this the limit would only move memory to swap. Not every kernel has swap.
        let swap = if limit.is_some() { "0" } else { "max" };
        let _ = self.write("memory.swap.max", swap);
        // Kill all processes or none: half a service is worse than none.
        self.write("memory.oom.group", if limit.is_some() { "1" } else { "0" })
    }

    /// Returns what the kernel killed in it for lack of memory since the last call.
    pub fn ooms(&self) -> Ooms {
        let Ok(text) = self.read("memory.events") else { return Ooms::default() };
        let count = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        let since = |seen: &std::sync::atomic::AtomicU64, now: u64| {
            now.saturating_sub(seen.swap(now, Ordering::Relaxed))
        };
        let [limit, kills] = &self.ooms_seen;
        Ooms { at_limit: since(limit, count("oom")) > 0, killed: since(kills, count("oom_kill")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a folder with the kernel's files in it, to check what is read and written without a real cgroup.
    fn made_up() -> (tempfile::TempDir, Cgroup) {
        let folder = tempfile::tempdir().expect("a folder");
        for file in ["memory.max", "memory.oom.group", "memory.events"] {
            fs::write(folder.path().join(file), "").expect("written");
        }
        let cgroup = Cgroup::open(folder.path().into()).expect("opened");
        (folder, cgroup)
    }

    #[test]
    fn a_limit_holds_for_all_processes_or_none_and_is_lifted() {
        let (folder, cgroup) = made_up();
        let cgroups = Cgroups::at(folder.path().into());
        let read = |file: &str| fs::read_to_string(folder.path().join(file)).expect("there");
        assert!(cgroups.limit_memory(&cgroup, Some(500_000_000)));
        assert_eq!((read("memory.max").as_str(), read("memory.oom.group").as_str()), ("500000000", "1"));
        assert!(!cgroups.limit_memory(&cgroup, None), "nothing is held");
        assert_eq!((read("memory.max").as_str(), read("memory.oom.group").as_str()), ("max", "0"));

        let bare = tempfile::tempdir().expect("a folder");
        let cgroup = Cgroup::open(bare.path().into()).expect("opened");
        assert!(!Cgroups::at(bare.path().into()).limit_memory(&cgroup, Some(1)), "no controller here");
    }

    #[test]
    fn kills_are_told_once() {
        let (folder, cgroup) = made_up();
        let say = |text: &str| fs::write(folder.path().join("memory.events"), text).expect("written");
        say("low 0\nhigh 0\nmax 9\noom 0\noom_kill 0\noom_group_kill 0\n");
        assert_eq!(cgroup.ooms(), Ooms::default());
        say("low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\noom_group_kill 1\n");
        assert_eq!(cgroup.ooms(), Ooms { at_limit: true, killed: 3 });
        assert_eq!(cgroup.ooms(), Ooms::default(), "told already");
        say("max 9\noom 2\noom_kill 4\n");
        assert_eq!(cgroup.ooms(), Ooms { at_limit: false, killed: 1 }, "the host's, not its own");
    }
}
