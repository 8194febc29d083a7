//! A cgroup of its own for one check, where this monitor has one from its supervisor: whatever the check started ends with
//! it, also what left its group, its environment and its outputs behind.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::{fs, io};

use sereno_runtime::cgroup::v2_cgroup;

/// What the supervisor calls the folder of its cgroups; this monitor has one in it.
const SUPERVISORS: &str = "sereno-";

/// What the leaves are called; the pid of the monitor and a number follow. One is never used twice: kernels (seen: 6.18)
/// kill what is cloned into a cgroup that was killed once.
const PREFIX: &str = "check-";

/// Leaves whose processes have been killed, and that could not be removed yet.
static LEFT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The cgroup of one check; everything in it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Leaf(PathBuf);

impl Leaf {
    /// Makes one; `None`: this monitor has no cgroup of its supervisor's, and the group of processes has to do.
    pub(crate) fn make() -> io::Result<Option<Self>> {
        let own = v2_cgroup("self").filter(|own| is_ours(own));
        own.map(|own| Self::make_in(&own)).transpose()
    }

    fn make_in(own: &Path) -> io::Result<Self> {
        static ONCE: Once = Once::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Of an earlier process of this monitor, which was killed.
        ONCE.call_once(|| abandoned(own).into_iter().for_each(|leaf| drop(Self(leaf))));
        remove_left();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = own.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&path).map(|()| Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // A kernel before 5.14 has no such file, and a supervisor there makes no cgroups.
        if let Err(error) = write(&self.0.join("cgroup.kill"), "1") {
            tracing::warn!(cgroup = %self.0.display(), %error, "what a check left behind could not be killed");
        }
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.0));
        remove_left();
    }
}

/// Writes to a file of a cgroup, and makes none.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

/// Whether a cgroup is that of a daemon of some supervisor of ours.
fn is_ours(own: &Path) -> bool {
    let above = own.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    above.is_some_and(|name| name.starts_with(SUPERVISORS))
}

/// Leaves of monitors that run no more. Another monitor may be in the same cgroup: one that a check itself starts.
fn abandoned(own: &Path) -> Vec<PathBuf> {
    let is_abandoned = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PREFIX));
        let pid = name.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        pid.is_some_and(|pid| pid == std::process::id() || !Path::new(&format!("/proc/{pid}")).exists())
    };
    folders(own).into_iter().filter(is_abandoned).collect()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Removes those whose processes are gone by now; the rest is tried again at the next check.
fn remove_left() {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    left.retain(|path| remove(path).is_err_and(|error| error.kind() != io::ErrorKind::NotFound));
}

/// Removes a cgroup that has no processes, and those that a check made below it.
fn remove(path: &Path) -> io::Result<()> {
    for below in folders(path) {
        remove(&below)?;
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cgroup_that_a_supervisor_made_gets_leaves() {
        assert!(is_ours(Path::new("/sys/fs/cgroup/a/sereno-1.2.abc/health-monitor")));
        for other in ["/sys/fs/cgroup", "/", "/sys/fs/cgroup/user.slice/session-1.scope", "/sereno-1"] {
            assert!(!is_ours(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn leaves_are_new_each_time_and_those_of_ended_monitors_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path();
        // No process has such a number; process 1 always runs.
        for path in ["check-4194305-0/below/it", "check-1-0", "mine"] {
            fs::create_dir_all(own.join(path)).expect("made");
        }
        let first = Leaf::make_in(own).expect("made");
        let mut names = folders(own);
        names.sort();
        assert_eq!(names, [own.join("check-1-0"), first.path().to_owned(), own.join("mine")]);
        let second = Leaf::make_in(own).expect("made");
        assert_ne!(first.path(), second.path());
    }
}
