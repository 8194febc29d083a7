//! Checks who can write the file, an `env_file` and the home. A file decides what runs here and as which user, so one
//! that other users can write is refused. On Windows nothing is checked here: the access lists of the folders apply.

use std::path::Path;

use super::links::{PathRefused, judge_links};
use super::model::Config;
use super::problem::{Problem, Problems};

/// Why a file or folder is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A symbolic link on the way to it is not trusted.
    #[error(transparent)]
    Path(#[from] PathRefused),
    /// It belongs to another user.
    #[error("belongs to user {0}, who could decide what runs here: make it yours (chown), or root's")]
    Owner(u32),
    /// Every user can write it.
    #[error("can be written by everybody: take that away (chmod o-w)")]
    Everybody,
    /// Every member of a group can write it.
    #[error("can be written by group {0}: take that away (chmod g-w)")]
    Group(u32),
}

/// Checks that no other user can change the file, its folder or the home. Returns each that is not trusted, with the
/// reason.
pub fn check_trust(config: &Config, file: &Path) -> Problems {
    let mut problems = Vec::new();
    let mut hold = |path: &Path, judged: Result<(), TrustError>| {
        problems.extend(judged.err().map(|why| Problem::of_file(path, why.to_string())));
    };
    hold(file, of_path(file));
    if let Some(folder) = file.parent() {
        hold(folder, of_folder(folder));
    }
    hold(&config.supervisor.home, of_home(&config.supervisor.home));
    Problems(problems)
}

/// Checks that no other user can change a home, or the folder in which it will be created.
pub fn of_home(home: &Path) -> Result<(), TrustError> {
    judge_links(home, None)?;
    let there = home.ancestors().find(|path| path.symlink_metadata().is_ok());
    there.map_or(Ok(()), if there == Some(home) { of_path } else { of_folder })
}

#[cfg(unix)]
mod unix {
    use std::fs::Metadata;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::Path;

    use super::super::links::{Ownership, judge_links};
    use super::TrustError;

    const GROUP_WRITES: u32 = 0o020;
    const OTHERS_WRITE: u32 = 0o002;
    pub(in super::super) const STICKY: u32 = 0o1000;

    /// Checks that only root and this user can write or replace a file or folder.
    pub(in super::super) fn of_path(path: &Path) -> Result<(), TrustError> {
        judge_links(path, None)?;
        let Some(meta) = meta(path) else { return Ok(()) };
        owner(&meta, None)?;
        written_by((&meta).into()).map_or(Ok(()), Err)
    }

    /// Checks that no other user can replace a file of this user in a folder. A sticky folder may be writable.
    pub(in super::super) fn of_folder(path: &Path) -> Result<(), TrustError> {
        judge_links(path, None)?;
        let Some(meta) = meta(path) else { return Ok(()) };
        if meta.permissions().mode() & STICKY != 0 {
            return Ok(());
        }
        owner(&meta, None)?;
        written_by((&meta).into()).map_or(Ok(()), Err)
    }

    /// Checks an `env_file`, which the user of the service may own too. Its links are judged when it is read, at each
    /// start.
    pub(in super::super) fn of_env_file(path: &Path, user: Option<u32>) -> Result<(), TrustError> {
        let Some(meta) = meta(path) else { return Ok(()) };
        owner(&meta, user)?;
        written_by((&meta).into()).map_or(Ok(()), Err)
    }

    /// Whether users other than its owner can read a file.
    pub(in super::super) fn is_open(path: &Path) -> bool {
        meta(path).is_some_and(|meta| meta.permissions().mode() & 0o044 != 0)
    }

    /// Returns the metadata of a file that exists on a file system with real modes.
    pub(in super::super) fn meta(path: &Path) -> Option<Metadata> {
        if has_modes(path) { std::fs::metadata(path).ok() } else { None }
    }

    #[cfg(target_os = "linux")]
    fn has_modes(path: &Path) -> bool {
        // On 9p and drvfs (WSL drives), SMB, FAT, exFAT and NTFS, every file seems to be writable by everybody.
        const WITHOUT: [i64; 7] =
            [0x0102_1997, 0xFF53_4D42, 0xFE53_4D42, 0x517B, 0x4d44, 0x2011_BAB0, 0x5346_544e];
        rustix::fs::statfs(path).is_ok_and(|stat| !WITHOUT.contains(&stat.f_type))
    }

    #[cfg(not(target_os = "linux"))]
    fn has_modes(_: &Path) -> bool {
        true
    }

    fn owner(meta: &Metadata, user: Option<u32>) -> Result<(), TrustError> {
        let uid = meta.uid();
        if is_ours(uid) || user == Some(uid) || (rustix::process::geteuid().is_root() && is_container()) {
            return Ok(());
        }
        Err(TrustError::Owner(uid))
    }

    /// Whether a user is root, the user of this process, or the caller of `sudo`.
    pub(in super::super) fn is_ours(uid: u32) -> bool {
        let own = rustix::process::geteuid().as_raw();
        uid == 0 || uid == own || (own == 0 && caller() == Some(uid))
    }

    /// Returns the caller of `sudo`.
    fn caller() -> Option<u32> {
        std::env::var("SUDO_UID").ok()?.parse().ok()
    }

    /// Whether a supervisor is PID 1. The creator of such a container decides everything anyway, and files from outside
    /// have owners that are unknown in it.
    pub(in super::super) fn is_container() -> bool {
        std::fs::read("/proc/1/comm").is_ok_and(|name| name == b"supervisor\n")
    }

    /// Returns who can write a file besides its owner.
    pub(in super::super) fn written_by(file: Ownership) -> Option<TrustError> {
        if file.mode & OTHERS_WRITE != 0 {
            return Some(TrustError::Everybody);
        }
        // Many systems give each user a group of its own that may write.
        let own_group = file.gid == 0 || file.gid == rustix::process::getegid().as_raw();
        let others = file.mode & GROUP_WRITES != 0 && !own_group && file.gid != file.uid;
        others.then_some(TrustError::Group(file.gid))
    }
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same words on every system")]
mod unix {
    use std::path::Path;

    use super::TrustError;

    pub(in super::super) fn of_path(_: &Path) -> Result<(), TrustError> {
        Ok(())
    }

    pub(in super::super) fn of_folder(_: &Path) -> Result<(), TrustError> {
        Ok(())
    }

    pub(in super::super) fn of_env_file(_: &Path, _: Option<u32>) -> Result<(), TrustError> {
        Ok(())
    }

    pub(in super::super) fn is_open(_: &Path) -> bool {
        false
    }
}

pub(super) use unix::of_env_file;
#[cfg(unix)]
pub(super) use unix::{STICKY, is_container, is_ours, meta, written_by};
use unix::{is_open, of_folder, of_path};

/// Returns the `env_file`s that users other than their owner can read: they often hold secrets.
pub fn open_env_files(config: &Config) -> Vec<&Path> {
    let mut open: Vec<&Path> =
        config.services.values().flat_map(|service| &service.env_file).map(|path| &**path).collect();
    open.sort_unstable();
    open.dedup();
    open.retain(|path| is_open(path));
    open
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn with_mode(mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        (folder, path)
    }

    #[test]
    fn what_others_can_write_is_refused() {
        for (mode, good) in [(0o600, true), (0o644, true), (0o664, true), (0o646, false), (0o777, false)] {
            let (_folder, path) = with_mode(mode);
            assert_eq!(of_path(&path).is_ok(), good, "{mode:o}");
            assert_eq!(of_env_file(&path, None).is_ok(), good, "{mode:o}");
            assert_eq!(is_open(&path), mode & 0o044 != 0, "{mode:o}");
        }
    }

    #[test]
    fn a_sticky_folder_keeps_ours_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let set = |mode| {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).expect("set");
        };
        set(0o1777);
        of_folder(folder.path()).expect("sticky");
        of_home(&folder.path().join("not/there")).expect("sticky");
        assert!(of_home(folder.path()).is_err(), "as a home it is everybody's");
        set(0o777);
        let refused =
            of_home(&folder.path().join("not/there")).expect_err("could be made by anybody").to_string();
        assert!(refused.contains("can be written by everybody"), "{refused}");
    }

    #[test]
    fn what_is_a_strangers_is_refused_to_root() {
        if !rustix::process::geteuid().is_root() || std::env::var_os("SUDO_UID").is_some() {
            return;
        }
        let (_folder, path) = with_mode(0o600);
        std::os::unix::fs::chown(&path, Some(4711), Some(4711)).expect("root may");
        let refused = of_path(&path).expect_err("a stranger's").to_string();
        assert!(refused.starts_with("belongs to user 4711, who could decide"), "{refused}");
        of_env_file(&path, Some(4711)).expect("the service's own user's");
    }
}
