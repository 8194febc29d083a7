//! How this process was started, and being started again like that by somebody who is not to be its parent.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use sereno_guard::launch::Launch;

use super::cgroup;

/// What the system knows of how this process was started. To be called before limits are raised.
pub fn surroundings(launch: &mut Launch) {
    let mask = umask(Mode::empty());
    umask(mask);
    launch.umask = Some(mask.bits());
    launch.cgroup = cgroup::own_v2_cgroup();
    let limit = getrlimit(Resource::Nofile);
    launch.descriptors = if limit.current == limit.maximum { None } else { limit.current };
}

/// This program, also where its file has been replaced since it was started.
pub fn own_program() -> PathBuf {
    "/proc/self/exe".into()
}

/// Goes on as a process that is nobody's child and in nobody's group, where the first one was started; `false` in the
/// one that was called, which is to end. To be called before there are threads.
pub fn come_back(launch: &Launch) -> io::Result<bool> {
    // SAFETY: no other thread runs, so the child has a whole copy of everything.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        _ => return Ok(false),
    }
    // Fails only for one that leads a group, and that is new.
    let _ = rustix::process::setsid();
    if let Some(mask) = launch.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    if let Some(current) = launch.descriptors {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum });
    }
    if let Some(folder) = launch.cgroup.as_deref().filter(|folder| is_elsewhere(folder)) {
        // Where it can not go it stays; its own cgroup is never killed (`Cgroup::kill`).
        let _ = fs::write(folder.join("cgroup.procs"), "0");
    }
    Ok(true)
}

fn is_elsewhere(folder: &Path) -> bool {
    cgroup::own_v2_cgroup().is_none_or(|own| own != folder)
}
