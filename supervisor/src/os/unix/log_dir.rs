//! The folder of a log. Everything in it is opened relative to its descriptor and never through a link, so that a
//! service that may write there cannot make the supervisor open another user's file.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sereno_config::{Ownership, may_follow};

use crate::os::LogPathError;

/// The folder is only passed through: search permission is enough.
#[cfg(target_os = "linux")]
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Does not wait for the other end of a FIFO, and does not follow links.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Mode of a new folder: no other user can write in it, whatever the umask.
const NEW_FOLDER: Mode = Mode::RWXU.union(Mode::RGRP).union(Mode::XGRP).union(Mode::ROTH).union(Mode::XOTH);
const NEW_LOG: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP);

/// The most symbolic links that are followed on the way to a folder, as in the kernel.
const MOST_LINKS: u32 = 40;
/// How often a file is opened again that was replaced meanwhile, as a rotation does.
const TRIES: u32 = 8;

/// An open folder that holds logs. Its files are named by the last component of a path.
#[derive(Debug)]
pub struct LogDir {
    folder: OwnedFd,
    path: PathBuf,
}

/// Owner, group and mode of a log, for the files that are made from it.
#[derive(Debug, Clone, Copy)]
pub struct LogRights {
    uid: u32,
    gid: u32,
    mode: Mode,
}

impl LogRights {
    /// Returns the rights of an open file.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::of_stat(&rustix::fs::fstat(file)?))
    }

    fn of_stat(stat: &Stat) -> Self {
        let mode = Mode::from_raw_mode(stat.st_mode) & (Mode::RWXU | Mode::RWXG | Mode::RWXO);
        Self { uid: stat.st_uid, gid: stat.st_gid, mode }
    }

    /// Gives a new file these rights. If its group cannot be set, the group gets no rights.
    fn apply(self, file: &OwnedFd) -> io::Result<()> {
        let now = Self::of_stat(&rustix::fs::fstat(file)?);
        let mut mode = self.mode;
        if (now.uid, now.gid) != (self.uid, self.gid) {
            let (uid, gid) = (rustix::fs::Uid::from_raw(self.uid), rustix::fs::Gid::from_raw(self.gid));
            let owned = rustix::fs::fchown(file, Some(uid), Some(gid));
            // Only root may give a file to another user, but a group of this user can always be set.
            if owned.is_err() && now.gid != self.gid && rustix::fs::fchown(file, None, Some(gid)).is_err() {
                mode -= Mode::RWXG;
            }
        }
        if now.mode != mode {
            rustix::fs::fchmod(file, mode)?;
        }
        Ok(())
    }
}

impl LogDir {
    /// Opens the folder that holds a log.
    pub fn of(log: &Path) -> io::Result<Self> {
        Self::walk(log, false)
    }

    /// Does the same, and creates missing folders.
    pub fn made_for(log: &Path) -> io::Result<Self> {
        Self::walk(log, true)
    }

    fn walk(log: &Path, make: bool) -> io::Result<Self> {
        let folder = std::path::absolute(
            log.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        )?;
        let mut left = Vec::new();
        let mut reached = Self::root()?;
        reached.follow(&folder, &mut left)?;
        let mut links = 0;
        while let Some(name) = left.pop() {
            let next = match reached.enter(&name, make) {
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    links += 1;
                    let target = reached.link(&name)?;
                    if links > MOST_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    reached.follow(&target, &mut left)?;
                    continue;
                }
                entered => entered?,
            };
            if name == ".." {
                reached.path.pop();
            } else {
                reached.path.push(&name);
            }
            reached.folder = next;
        }
        Ok(reached)
    }

    fn root() -> io::Result<Self> {
        Ok(Self { folder: rustix::fs::open("/", FOLDER, Mode::empty())?, path: "/".into() })
    }

    /// Puts the components of a path before those that are left; an absolute path begins at the root.
    fn follow(&mut self, path: &Path, left: &mut Vec<OsString>) -> io::Result<()> {
        for component in path.components().rev() {
            match component {
                Component::Normal(name) => left.push(name.into()),
                Component::ParentDir => left.push("..".into()),
                Component::RootDir => *self = Self::root()?,
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(())
    }

    fn enter(&self, name: &OsStr, make: bool) -> Result<OwnedFd, Errno> {
        match rustix::fs::openat(&self.folder, name, FOLDER, Mode::empty()) {
            Err(Errno::NOENT) if make => {
                match rustix::fs::mkdirat(&self.folder, name, NEW_FOLDER) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
                rustix::fs::openat(&self.folder, name, FOLDER, Mode::empty())
            }
            opened => opened,
        }
    }

    /// Returns where a symbolic link in this folder leads, if its owner may decide that.
    fn link(&self, name: &OsStr) -> io::Result<PathBuf> {
        let link = self.stat(name)?;
        if FileType::from_raw_mode(link.st_mode) != FileType::Symlink {
            return Err(LogPathError::NoFolder(self.path.join(name)).into());
        }
        let folder = rustix::fs::fstat(&self.folder)?;
        may_follow(ownership(&link), ownership(&folder), None)
            .map_err(|cause| LogPathError::Link { path: self.path.join(name), cause })?;
        let target = rustix::fs::readlinkat(&self.folder, name, Vec::new())?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    /// Opens a subfolder, if no other user can write in it; `make` creates it if it is missing.
    ///
    /// A user that can write in this folder could have put another folder in its place, full of the supervisor's files.
    pub fn folder(&self, name: &str, make: bool) -> io::Result<Self> {
        let path = self.path.join(name);
        let folder = match self.enter(OsStr::new(name), make) {
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(LogPathError::NoFolder(path).into()),
            entered => entered?,
        };
        let stat = rustix::fs::fstat(&folder)?;
        let own = [0, rustix::process::geteuid().as_raw()].contains(&stat.st_uid);
        if !own || Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
            return Err(LogPathError::ForeignFolder(path).into());
        }
        Ok(Self { folder, path })
    }

    /// Opens a log at its end, creating it if needed. Not for appending, which `splice` refuses.
    pub fn log(&self, log: &Path) -> io::Result<(File, u64)> {
        let file = self.open(log, OFlags::RDWR | OFlags::CREATE, NEW_LOG)?;
        let mut file = blocking(file, OFlags::empty())?;
        let end = file.seek(SeekFrom::End(0))?;
        Ok((file, end))
    }

    /// Opens a file for reading.
    pub fn read(&self, path: &Path) -> io::Result<File> {
        blocking(self.open(path, OFlags::RDONLY, Mode::empty())?, OFlags::empty())
    }

    /// Opens a file for reading and appending; creates it with these rights if needed.
    ///
    /// An existing file keeps its rights: its owner may have moved a file here to be given the rights.
    pub fn append(&self, path: &Path, rights: Option<LogRights>) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND;
        let made = self.open(path, flags | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR);
        let file = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.open(path, flags, Mode::empty())?
            }
            made => {
                let file = made?;
                if let Some(rights) = rights {
                    // Without these rights only this user can read it.
                    let _ = rights.apply(&file);
                }
                file
            }
        };
        blocking(file, OFlags::APPEND)
    }

    /// Creates a new file with the rights of a log, replacing an existing file.
    pub fn replace(&self, path: &Path, rights: LogRights) -> io::Result<File> {
        self.remove(path)?;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = self.open(path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)?;
        rights.apply(&file)?;
        blocking(file, OFlags::empty())
    }

    /// Returns the rights of a log.
    pub fn rights(&self, path: &Path) -> Option<LogRights> {
        let stat = self.stat(last(path)).ok()?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        regular.then(|| LogRights::of_stat(&stat))
    }

    /// Returns whether this name exists.
    pub fn has(&self, path: &Path) -> bool {
        self.stat(last(path)).is_ok()
    }

    /// Renames a file; a missing file is no error.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        unless_missing(rustix::fs::renameat(&self.folder, last(from), &self.folder, last(to)))
    }

    /// Removes a file; a missing file is no error.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        unless_missing(rustix::fs::unlinkat(&self.folder, last(path), AtFlags::empty()))
    }

    /// Opens a regular file that has only this name.
    ///
    /// The name is looked up again after opening: a link count of 1 is only meaningful if at the same moment this name
    /// is the file's.
    fn open(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let name = last(path);
        for _ in 0..TRIES {
            let file = match rustix::fs::openat(&self.folder, name, flags | FILE, mode) {
                Err(Errno::NOENT) => return Err(io::ErrorKind::NotFound.into()),
                Err(Errno::EXIST) if self.in_its_place(name).is_none() => return Err(Errno::EXIST.into()),
                Err(error) => return Err(self.in_its_place(name).unwrap_or_else(|| error.into())),
                Ok(file) => file,
            };
            let opened = rustix::fs::fstat(&file)?;
            let named = match self.stat(name) {
                Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => continue,
                named => named?,
            };
            if (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino) {
                return judge(&named).map_or(Ok(file), |what| Err(what.into()));
            }
        }
        Err(LogPathError::Restless.into())
    }

    /// Returns the error for something other than a file at this name.
    fn in_its_place(&self, name: &OsStr) -> Option<io::Error> {
        self.stat(name).ok().and_then(|stat| judge(&stat)).map(io::Error::from)
    }

    fn stat(&self, name: &OsStr) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// Returns why a file is not opened.
fn judge(stat: &Stat) -> Option<LogPathError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_nlink == 1 => None,
        FileType::RegularFile => Some(LogPathError::HardLink),
        FileType::Symlink => Some(LogPathError::NoFile("a symbolic link")),
        FileType::Directory => Some(LogPathError::NoFile("a folder")),
        FileType::Fifo => Some(LogPathError::NoFile("a FIFO")),
        FileType::Socket => Some(LogPathError::NoFile("a socket")),
        _ => Some(LogPathError::NoFile("a device")),
    }
}

#[allow(clippy::useless_conversion, reason = "a mode has 16 bits on macOS")]
fn ownership(stat: &Stat) -> Ownership {
    Ownership { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode.into() }
}

/// Clears `O_NONBLOCK`: this is a regular file, and some file systems would fail operations that would have to wait.
fn blocking(file: OwnedFd, flags: OFlags) -> io::Result<File> {
    rustix::fs::fcntl_setfl(&file, flags)?;
    Ok(file.into())
}

fn last(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

fn unless_missing(done: Result<(), Errno>) -> io::Result<()> {
    match done {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
