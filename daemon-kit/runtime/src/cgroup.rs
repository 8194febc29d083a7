//! Cgroups of version 2: finds that of a process, and ends all processes of one. Only Linux has cgroups.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the v2 cgroup of a process (`self`, or a pid), as a path in the file system.
pub fn v2_cgroup(process: &str) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?.to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if !after.starts_with("cgroup2 ") {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = Path::new(&path).strip_prefix(root).ok()?;
        Some(Path::new(point).join(below))
    })
}

/// Kills every process in a cgroup and below it.
#[cfg(target_os = "linux")]
pub fn kill(cgroup: &Path) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(cgroup.join("cgroup.kill"))?;
    std::io::Write::write_all(&mut file, b"1")?;
    // The kernel sends the signal to the first thread of each process. Where that thread has ended, the others live on.
    let mut folders = vec![cgroup.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).for_each(|pid| kill_one(cgroup, pid));
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(below.map(|entry| entry.path()));
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn kill_one(cgroup: &Path, pid: i32) {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    let Some(number) = Pid::from_raw(pid) else { return };
    // Opened first and checked second: the pid may have been reused since it was read.
    let Ok(process) = pidfd_open(number, PidfdFlags::empty()) else { return };
    if v2_cgroup(&pid.to_string()).is_some_and(|path| path.starts_with(cgroup)) {
        // It may have ended by now.
        let _ = pidfd_send_signal(&process, Signal::KILL);
    }
}

/// There are no cgroups to kill here.
#[cfg(not(target_os = "linux"))]
pub fn kill(_cgroup: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
