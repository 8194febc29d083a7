//! A folder of `/proc`, held open: everything read below it is of the same process, even if its pid has a new owner.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

/// An open folder of a process or thread.
#[derive(Debug)]
pub(super) struct Dir(OwnedFd);

impl Dir {
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let folder = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(format!("/proc/{pid}"), folder, Mode::empty())?))
    }

    pub(super) fn below(&self, path: &str) -> io::Result<Self> {
        let folder = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(&self.0, path, folder, Mode::empty())?))
    }

    /// Reads at most this many bytes of a file.
    pub(super) fn read(&self, path: &str, most: u64) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = std::fs::File::from(rustix::fs::openat(&self.0, path, flags, Mode::empty())?);
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn link(&self, path: &str) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.0, path, Vec::new())?.into_bytes())
    }

    /// Returns the entries that are numbers: threads, descriptors.
    pub(super) fn numbers(&self) -> io::Result<impl Iterator<Item = u32>> {
        let entries = rustix::fs::Dir::read_from(&self.0)?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok()))
    }

    /// Returns the size that the kernel gives it: for `fd` the number of open files, since Linux 6.2.
    pub(super) fn size(&self) -> io::Result<u64> {
        Ok(u64::try_from(rustix::fs::fstat(&self.0)?.st_size).unwrap_or(0))
    }
}
