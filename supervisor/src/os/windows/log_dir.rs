//! The folder of a log. Who may write in it is asked of nobody here: it is opened by its path.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A folder in which logs lie. Its files are named by the last component of a path.
#[derive(Debug)]
pub struct LogDir(PathBuf);

/// Rights are the folder's own here: there is nothing to hand on.
#[derive(Debug, Clone, Copy)]
pub struct LogRights;

impl LogRights {
    /// The rights of an open file.
    pub fn of(_: &File) -> io::Result<Self> {
        Ok(Self)
    }
}

impl LogDir {
    /// Opens the folder in which a log lies.
    pub fn of(log: &Path) -> io::Result<Self> {
        let folder = log.parent().unwrap_or_else(|| Path::new("."));
        if folder.is_dir() { Ok(Self(folder.into())) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// The same; it and those above it are made where they are missing.
    pub fn made_for(log: &Path) -> io::Result<Self> {
        let folder = log.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder)?;
        Ok(Self(folder.into()))
    }

    /// Opens a folder in this one; `make`: it is made where it is missing.
    pub fn folder(&self, name: &str, make: bool) -> io::Result<Self> {
        let folder = self.0.join(name);
        if make {
            fs::create_dir_all(&folder)?;
        }
        if folder.is_dir() { Ok(Self(folder)) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Opens a log at its end; makes it if need be.
    pub fn log(&self, log: &Path) -> io::Result<(File, u64)> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(self.at(log))?;
        let end = file.seek(SeekFrom::End(0))?;
        Ok((file, end))
    }

    /// Opens a file for reading.
    pub fn read(&self, path: &Path) -> io::Result<File> {
        File::open(self.at(path))
    }

    /// Opens a file for reading and appending; makes it if need be.
    pub fn append(&self, path: &Path, _: Option<LogRights>) -> io::Result<File> {
        OpenOptions::new().create(true).read(true).append(true).open(self.at(path))
    }

    /// Makes a new file in place of one that is there.
    pub fn replace(&self, path: &Path, _: LogRights) -> io::Result<File> {
        self.remove(path)?;
        OpenOptions::new().write(true).create_new(true).open(self.at(path))
    }

    /// The rights of a log.
    pub fn rights(&self, _: &Path) -> Option<LogRights> {
        Some(LogRights)
    }

    /// Whether there is anything of this name.
    pub fn has(&self, path: &Path) -> bool {
        self.at(path).exists()
    }

    /// Renames what is there; nothing is no error.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        unless_missing(fs::rename(self.at(from), self.at(to)))
    }

    /// Removes what is there; nothing is no error.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        unless_missing(fs::remove_file(self.at(path)))
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.0.join(path.file_name().unwrap_or_default())
    }
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
