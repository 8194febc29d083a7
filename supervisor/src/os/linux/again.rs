//! Records how this process was started, and starts it again the same way from a process that must not become its
//! parent.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use sereno_guard::launch::Launch;

use super::cgroup;

/// Records what the system knows of how this process was started. Must be called before limits are raised.
pub fn surroundings(launch: &mut Launch) {
    let mask = umask(Mode::empty());
    umask(mask);
    launch.umask = Some(mask.bits());
    launch.cgroup = cgroup::own_v2_cgroup();
    let limit = getrlimit(Resource::Nofile);
    launch.descriptors = if limit.current == limit.maximum { None } else { limit.current };
}

/// Returns this program's path, valid even if its file has been replaced since it was started.
pub fn own_program() -> PathBuf {
    "/proc/self/exe".into()
}

/// Continues as a child in a new session and in the cgroup of the first start. Returns `false` in the calling process,
/// which must end then. Must be called before there are threads.
pub fn come_back(launch: &Launch) -> io::Result<bool> {
    // SAFETY: no other thread runs, so the child has a whole copy of everything.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        _ => return Ok(false),
    }
    // Fails only for a group leader, and the child is new.
    let _ = rustix::process::setsid();
    if let Some(mask) = launch.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    if let Some(current) = launch.descriptors {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum });
    }
    if let Some(folder) = launch.cgroup.as_deref().filter(|folder| is_elsewhere(folder)) {
        // If it cannot move it stays; its own cgroup is never killed (`Cgroup::kill`).
        let _ = fs::write(folder.join("cgroup.procs"), "0");
    }
    Ok(true)
}

fn is_elsewhere(folder: &Path) -> bool {
    cgroup::own_v2_cgroup().is_none_or(|own| own != folder)
}
