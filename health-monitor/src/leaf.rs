//! A separate cgroup for one check, if this monitor has a cgroup from its supervisor. All processes that
//! the check started end with it, also those that left its process group, environment and outputs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::{fs, io};

use sereno_runtime::cgroup::{kill, v2_cgroup};

/// Prefix of the supervisor's cgroup folder; this monitor's cgroup is inside it.
const SUPERVISORS: &str = "sereno-";

/// Prefix of the leaves' names, followed by the monitor's pid and a number. A name is never reused: kernels
/// (seen: 6.18) kill processes that are cloned into a cgroup that was killed before.
const PREFIX: &str = "check-";

/// Leaves whose processes have been killed, but that could not be removed yet.
static LEFT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The cgroup of one check; dropping this kills every process in it.
#[derive(Debug)]
pub(crate) struct Leaf(PathBuf);

impl Leaf {
    /// Creates a leaf. Returns `None` if this monitor has no cgroup from its supervisor; the process group
    /// must then suffice.
    pub(crate) fn make() -> io::Result<Option<Self>> {
        let own = v2_cgroup("self").filter(|own| is_ours(own));
        own.map(|own| Self::make_in(&own)).transpose()
    }

    fn make_in(own: &Path) -> io::Result<Self> {
        static ONCE: Once = Once::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Leaves of an earlier process of this monitor, which was killed.
        ONCE.call_once(|| abandoned(own).into_iter().for_each(|leaf| drop(Self(leaf))));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = own.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&path).map(|()| Self(path))
    }

    /// Returns the path of the cgroup.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // Kernels before 5.14 lack this file, and there the supervisor creates no cgroups.
        if let Err(error) = kill(&self.0) {
            tracing::warn!(cgroup = %self.0.display(), %error, "what a check left behind could not be killed");
        }
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.0));
        remove_left();
    }
}

/// Writes to an existing file of a cgroup.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

/// Whether a cgroup belongs to a daemon of one of our supervisors.
fn is_ours(own: &Path) -> bool {
    let above = own.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    above.is_some_and(|name| name.starts_with(SUPERVISORS))
}

/// Returns leaves of monitors that no longer run. Another monitor may share this cgroup: a monitor started by a check.
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

/// Removes leaves whose processes have ended; the others are tried again at the next check.
pub(crate) fn remove_left() {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    left.retain(|path| remove(path).is_err_and(|error| error.kind() != io::ErrorKind::NotFound));
}

/// Removes a cgroup without processes, and the cgroups that a check created below it.
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
        // No process has the first pid; process 1 always runs.
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
