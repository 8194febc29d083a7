//! The folder of a log. It is opened by its path: the rights to write in it are not checked here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A folder that holds logs. Its files are named by the last component of a path.
#[derive(Debug)]
pub struct LogDir(PathBuf);

/// A stand-in: rights belong to the folder here, and are not passed on.
#[derive(Debug, Clone, Copy)]
pub struct LogRights;

impl LogRights {
    /// Returns the rights of an open file.
    pub fn of(_: &File) -> io::Result<Self> {
        Ok(Self)
    }
}

impl LogDir {
    /// Opens the folder that holds a log.
    pub fn of(log: &Path) -> io::Result<Self> {
        let folder = log.parent().unwrap_or_else(|| Path::new("."));
        if folder.is_dir() { Ok(Self(folder.into())) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Does the same, and creates missing folders.
    pub fn made_for(log: &Path) -> io::Result<Self> {
        let folder = log.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder)?;
        Ok(Self(folder.into()))
    }

    /// Opens a subfolder; `make` creates it if it is missing.
    pub fn folder(&self, name: &str, make: bool) -> io::Result<Self> {
        let folder = self.0.join(name);
        if make {
            fs::create_dir_all(&folder)?;
        }
        if folder.is_dir() { Ok(Self(folder)) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Opens a log at its end, creating it if needed.
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

    /// Opens a file for reading and appending, creating it if needed.
    pub fn append(&self, path: &Path, _: Option<LogRights>) -> io::Result<File> {
        OpenOptions::new().create(true).read(true).append(true).open(self.at(path))
    }

    /// Creates a new file, replacing an existing file.
    pub fn replace(&self, path: &Path, _: LogRights) -> io::Result<File> {
        self.remove(path)?;
        OpenOptions::new().write(true).create_new(true).open(self.at(path))
    }

    /// Returns the rights of a log.
    pub fn rights(&self, _: &Path) -> Option<LogRights> {
        Some(LogRights)
    }

    /// Returns whether this name exists.
    pub fn has(&self, path: &Path) -> bool {
        self.at(path).exists()
    }

    /// Renames a file; a missing file is no error.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        unless_missing(fs::rename(self.at(from), self.at(to)))
    }

    /// Removes a file; a missing file is no error.
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
