//! A cgroup v2 for each service, where one can be made: then "every process of the service" is a fact of the kernel's,
//! and one write kills them all.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};

use sereno_runtime::cgroup::v2_cgroup;

use super::{memory, spawn};

/// Where this supervisor makes the cgroups of its services.
#[derive(Debug, Clone)]
pub struct Cgroups {
    base: PathBuf,
}

/// The cgroup of one service.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    dir: OwnedFd,
    /// It was killed once. Kernels (seen: 6.18) then kill whatever is *cloned into* it as well, for ever: a clone takes
    /// the count of kills from its parent's cgroup and compares it with that of the new one.
    spent: AtomicBool,
    /// Its memory limit, as far as it was set here.
    pub(super) limit: AtomicU64,
    /// How often memory ran out at its limit, and how many were killed for it, when last asked.
    pub(super) ooms_seen: [AtomicU64; 2],
}

impl Cgroups {
    /// Below the supervisor's own cgroup, proved by starting a process in one. The error says why there are none.
    pub fn probe(instance: &str) -> Result<Self, String> {
        if std::env::var("SERENO_CGROUP").is_ok_and(|value| value == "off") {
            return Err("switched off by SERENO_CGROUP".into());
        }
        let own = own_v2_cgroup().ok_or("no cgroup v2 is mounted")?;
        // A leaf of our own: those of the services stand beside it.
        let above = own.parent().filter(|_| own.ends_with(memory::LEAF)).unwrap_or(&own);
        let cgroups = Self { base: above.join(format!("sereno-{instance}")) };
        let trial =
            cgroups.service("probe").map_err(|error| format!("{}: {error}", cgroups.base.display()))?;
        let result = spawn::can_enter(trial.descriptor()).map_err(|error| format!("entering one: {error}"));
        let killable = trial.path.join("cgroup.kill").exists();
        let _ = fs::remove_dir(&trial.path);
        result?;
        if killable { Ok(cgroups) } else { Err("this kernel has no cgroup.kill (Linux 5.14)".into()) }
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    #[cfg(test)]
    pub(super) fn at(base: PathBuf) -> Self {
        Self { base }
    }

    /// A new, empty cgroup for a service.
    pub fn service(&self, stem: &str) -> io::Result<Cgroup> {
        fs::create_dir_all(&self.base)?;
        // One that is not empty (or can not be removed) keeps its name, and the next in line is taken.
        for number in 0..1_000 {
            let name = if number == 0 { stem.to_string() } else { format!("{stem}+{number}") };
            let path = self.base.join(name);
            remove(&path);
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.and_then(|()| Cgroup::at(path, false)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The one of a service that a process is in.
    pub fn of(&self, pid: u32) -> Option<Cgroup> {
        let path = v2_cgroup(&pid.to_string())?;
        // The supervisor that made it may have been in another one itself.
        let is_ours = |path: &&Path| path.parent().and_then(Path::file_name) == self.base.file_name();
        Cgroup::open(path.ancestors().find(is_ours)?.into()).ok()
    }

    /// Removes those that are empty.
    pub fn clean_up(&self) {
        remove(&self.base);
    }
}

impl Cgroup {
    /// One that an earlier supervisor made. Whether it was killed is not known, so nothing is started in it any more.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        Self::at(path, true)
    }

    fn at(path: PathBuf, spent: bool) -> io::Result<Self> {
        let dir = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self {
            path,
            dir,
            spent: AtomicBool::new(spent),
            limit: AtomicU64::new(if spent { memory::UNKNOWN } else { memory::UNLIMITED }),
            ooms_seen: Default::default(),
        })
    }

    /// Whether nothing can be started in it any more.
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// To start a process into it.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Whether a living process is in it or below it.
    pub fn is_populated(&self) -> bool {
        self.read("cgroup.events").is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// Kills everything in it and below it.
    pub fn kill(&self) -> io::Result<()> {
        // A supervisor that a monitor started, and that could not leave the monitor's cgroup.
        static OWN: OnceLock<Option<PathBuf>> = OnceLock::new();
        if OWN.get_or_init(own_v2_cgroup).as_ref().is_some_and(|own| own.starts_with(&self.path)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let file = self.open_file("cgroup.kill", OFlags::WRONLY)?;
        self.spent.store(true, Ordering::Relaxed);
        rustix::io::write(&file, b"1")?;
        Ok(())
    }

    /// How many living processes are in it.
    pub fn count(&self) -> usize {
        self.pids().len()
    }

    /// The living processes in it.
    pub fn pids(&self) -> Vec<u32> {
        let text = self.read("cgroup.procs").unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Whether a process is in it or below it.
    pub(super) fn has(&self, pid: u32) -> bool {
        v2_cgroup(&pid.to_string()).is_some_and(|path| path.starts_with(&self.path))
    }

    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let file = self.open_file(name, OFlags::WRONLY | OFlags::TRUNC)?;
        rustix::io::write(&file, text.as_bytes())?;
        Ok(())
    }

    pub(super) fn read(&self, name: &str) -> io::Result<String> {
        let file = fs::File::from(self.open_file(name, OFlags::RDONLY)?);
        io::read_to_string(file)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(&self.dir, name, flags | OFlags::CLOEXEC, Mode::empty())?)
    }
}

/// Removes a cgroup and those below it, as far as they are empty.
fn remove(path: &Path) {
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&entry.path());
    }
    let _ = fs::remove_dir(path);
}

/// The v2 cgroup of this process, as a path in the file system.
pub(super) fn own_v2_cgroup() -> Option<PathBuf> {
    v2_cgroup("self")
}
