//! A cgroup v2 for each service, where the system allows it: then the kernel itself knows every process of the service,
//! and a single write kills them all.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};

use sereno_runtime::cgroup::v2_cgroup;

use super::{memory, spawn};

/// The folder in which this supervisor makes the cgroups of its services.
#[derive(Debug, Clone)]
pub struct Cgroups {
    base: PathBuf,
}

/// The cgroup of a service.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    dir: OwnedFd,
    /// Whether it was killed once. Kernels (seen: 6.18) then also kill every process *cloned into it*, for ever: a
    /// clone takes the count of kills from its parent's cgroup and compares it with that of the new cgroup.
    spent: AtomicBool,
    /// The memory limit that was set here.
    pub(super) limit: AtomicU64,
    /// At the last look: how often memory ran out at its limit, and how many processes were killed for that.
    pub(super) ooms_seen: [AtomicU64; 2],
}

/// Why cgroups are not used.
#[derive(Debug, thiserror::Error)]
pub enum NoCgroups {
    /// The environment says so.
    #[error("switched off by SERENO_CGROUP")]
    Off,
    /// The system has none of version 2.
    #[error("no cgroup v2 is mounted")]
    NotMounted,
    /// None can be made in this folder.
    #[error("{}: {}", .0.display(), .1)]
    Folder(PathBuf, io::Error),
    /// No process can be started in one.
    #[error("entering one: {0}")]
    Entering(io::Error),
    /// The kernel is too old to kill all processes of one.
    #[error("this kernel has no cgroup.kill (Linux 5.14)")]
    NoKill,
}

impl Cgroups {
    /// Looks for a usable folder below the supervisor's own cgroup, and tests it by starting a process in a cgroup. The
    /// error says why cgroups are not used.
    pub fn probe(instance: &str) -> Result<Self, NoCgroups> {
        if std::env::var("SERENO_CGROUP").is_ok_and(|value| value == "off") {
            return Err(NoCgroups::Off);
        }
        let own = own_v2_cgroup().ok_or(NoCgroups::NotMounted)?;
        // If the supervisor is in its own leaf, the services' cgroups are beside that leaf.
        let above = own.parent().filter(|_| own.ends_with(memory::LEAF)).unwrap_or(&own);
        let cgroups = Self { base: above.join(format!("sereno-{instance}")) };
        let trial =
            cgroups.service("probe").map_err(|error| NoCgroups::Folder(cgroups.base.clone(), error))?;
        let result = spawn::can_enter(trial.descriptor()).map_err(NoCgroups::Entering);
        let killable = trial.path.join("cgroup.kill").exists();
        let _ = fs::remove_dir(&trial.path);
        result?;
        if killable { Ok(cgroups) } else { Err(NoCgroups::NoKill) }
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    #[cfg(test)]
    pub(super) fn at(base: PathBuf) -> Self {
        Self { base }
    }

    /// Creates a new, empty cgroup for a service.
    pub fn service(&self, stem: &str) -> io::Result<Cgroup> {
        fs::create_dir_all(&self.base)?;
        // A cgroup that is not empty (or cannot be removed) keeps its name, and the next number is used.
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

    /// Returns the service's cgroup that a process is in.
    pub fn of(&self, pid: u32) -> Option<Cgroup> {
        let path = v2_cgroup(&pid.to_string())?;
        // The supervisor that made it may have been in another cgroup itself.
        let is_ours = |path: &&Path| path.parent().and_then(Path::file_name) == self.base.file_name();
        Cgroup::open(path.ancestors().find(is_ours)?.into()).ok()
    }

    /// Removes empty cgroups.
    pub fn clean_up(&self) {
        remove(&self.base);
    }
}

impl Cgroup {
    /// Opens a cgroup that an earlier supervisor made. It may have been killed, so nothing is started in it any more.
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

    /// Returns whether nothing can be started in it any more.
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its descriptor, to start a process in it.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Returns whether a living process is in it or below it.
    pub fn is_populated(&self) -> bool {
        self.read("cgroup.events").is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// Kills every process in it and below it.
    pub fn kill(&self) -> io::Result<()> {
        // Refuses the supervisor's own cgroup: a supervisor that a monitor started may have been unable to leave the
        // monitor's.
        static OWN: OnceLock<Option<PathBuf>> = OnceLock::new();
        if OWN.get_or_init(own_v2_cgroup).as_ref().is_some_and(|own| own.starts_with(&self.path)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.spent.store(true, Ordering::Relaxed);
        sereno_runtime::cgroup::kill(&self.path)
    }

    /// Returns how many living processes are in it.
    pub fn count(&self) -> usize {
        self.pids().len()
    }

    /// Returns the living processes in it.
    pub fn pids(&self) -> Vec<u32> {
        let text = self.read("cgroup.procs").unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Returns whether a process is in it or below it.
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

/// Removes a cgroup and the cgroups below it, as far as they are empty.
fn remove(path: &Path) {
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&entry.path());
    }
    let _ = fs::remove_dir(path);
}

/// Returns the v2 cgroup of this process, as a path in the file system.
pub(super) fn own_v2_cgroup() -> Option<PathBuf> {
    v2_cgroup("self")
}
