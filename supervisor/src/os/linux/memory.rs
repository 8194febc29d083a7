//! Memory limits of the kernel's own, by cgroup v2, where its memory controller is to be had.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::cgroup::{Cgroup, Cgroups, own_v2_cgroup};
use crate::os::Ooms;

/// The cgroup that a supervisor has for itself, where those beside it are limited: one with processes in it can limit
/// nothing below it. Also what a systemd unit says as `DelegateSubgroup=`.
pub(super) const LEAF: &str = "supervisor";

/// What stands for no limit, and for one that an earlier supervisor may have set.
pub(super) const UNLIMITED: u64 = 0;
pub(super) const UNKNOWN: u64 = u64::MAX;

/// A run's cgroup does it, where there is one.
pub fn hold_memory(_instance: &str, _service: &str, _most: Option<u64>) {}

/// Moves this process into a leaf, if only that keeps it from limiting its services. To be called before anything is
/// started, and before it is written down in which cgroup this process is.
pub fn make_room_for_limits() {
    let Some(own) = own_v2_cgroup() else { return };
    if own.ends_with(LEAF) || !names_memory(&own, "cgroup.controllers") || hand_down(&own) {
        return;
    }
    // Somebody else's process here is not ours to move.
    let alone = fs::read_to_string(own.join("cgroup.procs"))
        .is_ok_and(|pids| pids.trim() == std::process::id().to_string());
    let enter = |cgroup: &Path| fs::write(cgroup.join("cgroup.procs"), "0");
    let leaf = own.join(LEAF);
    if !alone || fs::create_dir(&leaf).is_err() {
        return;
    }
    if enter(&leaf).is_err() || !hand_down(&own) {
        // As it was: then memory is sampled.
        let _ = enter(&own);
        let _ = fs::remove_dir(&leaf);
    }
}

/// Lets the cgroups below this one have limits.
fn hand_down(cgroup: &Path) -> bool {
    let file = "cgroup.subtree_control";
    names_memory(cgroup, file) || fs::write(cgroup.join(file), "+memory").is_ok()
}

fn names_memory(cgroup: &Path, file: &str) -> bool {
    fs::read_to_string(cgroup.join(file))
        .is_ok_and(|text| text.split_ascii_whitespace().any(|controller| controller == "memory"))
}

impl Cgroups {
    /// Sets the memory limit of a service's cgroup, or lifts it; whether the kernel holds it. Costs nothing where it is
    /// so already.
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
    /// Most are, and every start asks.
    fn is_unlimited(&self) -> bool {
        !self.read("memory.max").is_ok_and(|limit| limit.trim() != "max")
    }

    fn is_limitable(&self) -> bool {
        self.read("memory.max").is_ok()
    }

    fn limit_memory(&self, limit: Option<u64>) -> io::Result<()> {
        let text = limit.map_or_else(|| "max".into(), |bytes| bytes.to_string());
        self.write("memory.max", &text)?;
        // Without swap the limit would only move memory there. Not every kernel has swap.
        let swap = if limit.is_some() { "0" } else { "max" };
        let _ = self.write("memory.swap.max", swap);
        // All of it or nothing: half a service is worse than none.
        self.write("memory.oom.group", if limit.is_some() { "1" } else { "0" })
    }

    /// What the kernel killed in it for want of memory since this was last asked.
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

    /// A folder with the files of the kernel in it: what is read and written can be seen without a kernel that plays.
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
