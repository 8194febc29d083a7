//! Log files on every Unix.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Returns whether a path still names an open file, so that a follower notices a rotation.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (ours, current) = (file.metadata()?, std::fs::metadata(path)?);
    Ok((ours.dev(), ours.ino()) == (current.dev(), current.ino()))
}

/// Returns the inode number of a file, which stays the same when the file is renamed.
pub fn file_number(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.ino())
}

/// Sleeps on this thread, also for less than the resolution of a runtime's timers.
pub fn pause(moment: std::time::Duration) {
    let tv_sec = i64::try_from(moment.as_secs()).unwrap_or(i64::MAX);
    let time = rustix::thread::Timespec { tv_sec, tv_nsec: i64::from(moment.subsec_nanos()) };
    let _ = rustix::thread::nanosleep(&time);
}

/// Returns whether a file has no name any more.
pub fn is_removed(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.nlink() == 0)
}

/// Reads at an offset, independent of the file's position.
pub fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

/// A path, and the file or folder that it named.
#[derive(Debug)]
pub(crate) struct Named {
    /// The path itself.
    pub(crate) path: std::path::PathBuf,
    identity: (u64, u64),
}

impl Named {
    /// Returns whether the path names nothing any more, or something else.
    pub(crate) fn is_lost(&self) -> bool {
        let now = std::fs::metadata(&self.path).map(|meta| (meta.dev(), meta.ino()));
        now.map_or_else(|error| error.kind() != io::ErrorKind::PermissionDenied, |now| now != self.identity)
    }
}

/// Returns what a path names now.
pub(crate) fn named(path: &Path) -> io::Result<Named> {
    let meta = std::fs::metadata(path)?;
    Ok(Named { path: path.into(), identity: (meta.dev(), meta.ino()) })
}

/// Returns every folder above these paths that is none of them.
pub(crate) fn above<'a>(paths: &[&'a Path]) -> BTreeSet<&'a Path> {
    let all = paths.iter().flat_map(|path| path.ancestors().skip(1));
    all.filter(|path| !paths.contains(path)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pause_of_whole_seconds_is_one() {
        let began = crate::os::now();
        pause(Duration::from_secs(1));
        assert!(crate::os::now().since(began) >= Duration::from_secs(1));
    }
}
