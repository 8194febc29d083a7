//! Whose word is taken. A file that others can write decides what runs here, and as whom: it is refused, and so is a
//! home that others can write. On Windows the folders' own lists of rights are the measure; nothing is asked here.

use std::path::Path;

use super::model::Config;
use super::problem::{Problem, Problems};

/// Why a symbolic link is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefused {
    /// Its owner chooses where it leads.
    #[error("is a symbolic link of user {0}, who could point it elsewhere")]
    Owner(u32),
    /// The owner of its folder can put another one in its place.
    #[error("is a symbolic link in a folder of user {0}, who could replace it")]
    Folder(u32),
    /// Others than the owner of its folder can.
    #[error("is a symbolic link in a folder that others can write, who could replace it")]
    Writers,
}

/// Whether the file, its folder and the home are to be trusted; each that is not, with the reason.
pub fn check_trust(config: &Config, file: &Path) -> Problems {
    let mut problems = Vec::new();
    let mut hold = |path: &Path, judged: Result<(), String>| {
        problems.extend(judged.err().map(|why| Problem::of_file(path, why)));
    };
    hold(file, of_path(file));
    if let Some(folder) = file.parent() {
        hold(folder, of_folder(folder));
    }
    hold(&config.supervisor.home, of_home(&config.supervisor.home));
    Problems(problems)
}

/// Whether a home, or what it will be made in, is to be trusted.
pub fn of_home(home: &Path) -> Result<(), String> {
    of_links(home, None)?;
    let there = home.ancestors().find(|path| path.symlink_metadata().is_ok());
    there.map_or(Ok(()), if there == Some(home) { of_path } else { of_folder })
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsString;
    use std::fs::Metadata;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::{Component, Path, PathBuf};

    use super::LinkRefused;

    const GROUP_WRITES: u32 = 0o020;
    const OTHERS_WRITE: u32 = 0o002;
    const STICKY: u32 = 0o1000;

    /// Symbolic links on the way to a file, as the kernel has it.
    const MOST_LINKS: u32 = 40;

    /// Owner, group and mode of a file.
    #[derive(Debug, Clone, Copy)]
    pub struct Ownership {
        /// User.
        pub uid: u32,
        /// Group.
        pub gid: u32,
        /// Permissions; what else is in it is not looked at.
        pub mode: u32,
    }

    impl From<&Metadata> for Ownership {
        fn from(meta: &Metadata) -> Self {
            Self { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() }
        }
    }

    /// Whether a symbolic link may be followed: it and its folder belong to root, to us or to `user`, and nobody else
    /// can replace it.
    pub fn may_follow(link: Ownership, folder: Ownership, user: Option<u32>) -> Result<(), LinkRefused> {
        let may = |uid: u32| is_ours(uid) || user == Some(uid);
        match () {
            () if !may(link.uid) => Err(LinkRefused::Owner(link.uid)),
            () if !may(folder.uid) => Err(LinkRefused::Folder(folder.uid)),
            () if folder.mode & STICKY == 0 && written_by(folder).is_some() => Err(LinkRefused::Writers),
            () => Ok(()),
        }
    }

    /// Judges every symbolic link on the way to a path; whether one of them belongs to `user` and to nobody better.
    fn links(path: &Path, user: Option<u32>) -> Result<bool, String> {
        let Ok(path) = std::path::absolute(path) else { return Ok(false) };
        let (mut at, mut left, mut count, mut is_users) = (PathBuf::from("/"), Vec::new(), 0, false);
        push(&path, &mut left);
        while let Some(name) = left.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            let Ok(meta) = next.symlink_metadata() else { return Ok(is_users) };
            if !meta.is_symlink() {
                at = next;
                continue;
            }
            let (Some(folder), Ok(target)) = (self::meta(&at), next.read_link()) else { return Ok(is_users) };
            count += 1;
            if count > MOST_LINKS {
                return Err("is behind too many symbolic links".into());
            }
            if !is_container() {
                may_follow((&meta).into(), (&folder).into(), user).map_err(|why| said(&path, &next, why))?;
                is_users |= !is_ours(meta.uid()) || !is_ours(folder.uid());
            }
            if target.is_absolute() {
                at = "/".into();
            }
            push(&target, &mut left);
        }
        Ok(is_users)
    }

    fn push(path: &Path, left: &mut Vec<OsString>) {
        let name = |component| match component {
            Component::Normal(name) => Some(OsString::from(name)),
            Component::ParentDir => Some("..".into()),
            _ => None,
        };
        left.extend(path.components().rev().filter_map(name));
    }

    fn said(path: &Path, link: &Path, why: LinkRefused) -> String {
        if link == path { why.to_string() } else { format!("lies behind {}, which {why}", link.display()) }
    }

    /// A file or folder that decides something: only root and we may write it, or choose which one it is.
    pub(in super::super) fn of_path(path: &Path) -> Result<(), String> {
        links(path, None)?;
        let Some(meta) = meta(path) else { return Ok(()) };
        owner(&meta, None)?;
        writers(&meta)
    }

    /// A folder in which such a file lies: where others may write too, they must not be able to replace ours.
    pub(in super::super) fn of_folder(path: &Path) -> Result<(), String> {
        links(path, None)?;
        let Some(meta) = meta(path) else { return Ok(()) };
        if meta.permissions().mode() & STICKY != 0 {
            return Ok(());
        }
        owner(&meta, None)?;
        writers(&meta)
    }

    /// An `env_file`: besides, who the service runs as may own it. Links are for [`of_links`], at each start.
    pub(in super::super) fn of_env_file(path: &Path, user: Option<u32>) -> Result<(), String> {
        let Some(meta) = meta(path) else { return Ok(()) };
        owner(&meta, user)?;
        writers(&meta)
    }

    /// The links on the way to a path. Who the service runs as may own those to its `env_file`, but gets nothing to
    /// read through them that is not its own.
    pub(in super::super) fn of_links(path: &Path, user: Option<u32>) -> Result<(), String> {
        let is_users = links(path, user)?;
        match meta(path) {
            Some(meta) if is_users && user != Some(meta.uid()) => {
                let (user, owner) = (user.unwrap_or_default(), meta.uid());
                Err(format!(
                    "is a symbolic link of user {user} to a file of user {owner}: name the file itself"
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether people other than its owner can read it.
    pub(in super::super) fn is_open(path: &Path) -> bool {
        meta(path).is_some_and(|meta| meta.permissions().mode() & 0o044 != 0)
    }

    /// What is not there, or lies where modes are made up, is not judged here.
    fn meta(path: &Path) -> Option<Metadata> {
        if has_modes(path) { std::fs::metadata(path).ok() } else { None }
    }

    #[cfg(target_os = "linux")]
    fn has_modes(path: &Path) -> bool {
        // 9p and drvfs (WSL drives), SMB, FAT, exFAT, NTFS: everything is everybody's there, or seems so.
        const WITHOUT: [i64; 7] =
            [0x0102_1997, 0xFF53_4D42, 0xFE53_4D42, 0x517B, 0x4d44, 0x2011_BAB0, 0x5346_544e];
        rustix::fs::statfs(path).is_ok_and(|stat| !WITHOUT.contains(&stat.f_type))
    }

    #[cfg(not(target_os = "linux"))]
    fn has_modes(_: &Path) -> bool {
        true
    }

    fn owner(meta: &Metadata, user: Option<u32>) -> Result<(), String> {
        let uid = meta.uid();
        if is_ours(uid) || user == Some(uid) || (rustix::process::geteuid().is_root() && is_container()) {
            return Ok(());
        }
        Err(format!(
            "belongs to user {uid}, who could decide what runs here: make it yours (chown), or root's"
        ))
    }

    /// Whether a user is root, us, or who called `sudo`.
    fn is_ours(uid: u32) -> bool {
        let own = rustix::process::geteuid().as_raw();
        uid == 0 || uid == own || (own == 0 && caller() == Some(uid))
    }

    /// Who called `sudo`.
    fn caller() -> Option<u32> {
        std::env::var("SUDO_UID").ok()?.parse().ok()
    }

    /// Where a supervisor is PID 1, whoever made the container decides everything anyway, and files from outside belong
    /// to numbers that mean nobody here.
    fn is_container() -> bool {
        std::fs::read("/proc/1/comm").is_ok_and(|name| name == b"supervisor\n")
    }

    fn writers(meta: &Metadata) -> Result<(), String> {
        match written_by(meta.into()) {
            None => Ok(()),
            Some(Writer::Everybody) => Err("can be written by everybody: take that away (chmod o-w)".into()),
            Some(Writer::Group(gid)) => {
                Err(format!("can be written by group {gid}: take that away (chmod g-w)"))
            }
        }
    }

    enum Writer {
        Everybody,
        Group(u32),
    }

    /// Who besides its owner can write it.
    fn written_by(file: Ownership) -> Option<Writer> {
        if file.mode & OTHERS_WRITE != 0 {
            return Some(Writer::Everybody);
        }
        // Many systems give each user a group of its own, and let it write.
        let own_group = file.gid == 0 || file.gid == rustix::process::getegid().as_raw();
        let others = file.mode & GROUP_WRITES != 0 && !own_group && file.gid != file.uid;
        others.then_some(Writer::Group(file.gid))
    }
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same words on every system")]
mod unix {
    use std::path::Path;

    pub(in super::super) fn of_path(_: &Path) -> Result<(), String> {
        Ok(())
    }

    pub(in super::super) fn of_folder(_: &Path) -> Result<(), String> {
        Ok(())
    }

    pub(in super::super) fn of_env_file(_: &Path, _: Option<u32>) -> Result<(), String> {
        Ok(())
    }

    pub(in super::super) fn of_links(_: &Path, _: Option<u32>) -> Result<(), String> {
        Ok(())
    }

    pub(in super::super) fn is_open(_: &Path) -> bool {
        false
    }
}

#[cfg(unix)]
pub use unix::{Ownership, may_follow};
use unix::{is_open, of_folder, of_path};
pub(super) use unix::{of_env_file, of_links};

/// `env_file`s that people other than their owner can read: they often hold secrets.
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
        assert_eq!(of_folder(folder.path()), Ok(()));
        assert_eq!(of_home(&folder.path().join("not/there")), Ok(()));
        assert!(of_home(folder.path()).is_err(), "as a home it is everybody's");
        set(0o777);
        let refused = of_home(&folder.path().join("not/there")).expect_err("could be made by anybody");
        assert!(refused.contains("can be written by everybody"), "{refused}");
    }

    #[test]
    fn what_is_a_strangers_is_refused_to_root() {
        if !rustix::process::geteuid().is_root() || std::env::var_os("SUDO_UID").is_some() {
            return;
        }
        let (_folder, path) = with_mode(0o600);
        std::os::unix::fs::chown(&path, Some(4711), Some(4711)).expect("root may");
        let refused = of_path(&path).expect_err("a stranger's");
        assert!(refused.starts_with("belongs to user 4711, who could decide"), "{refused}");
        assert_eq!(of_env_file(&path, Some(4711)), Ok(()), "the service's own user's");
    }

    #[test]
    fn links_are_judged_by_who_can_point_them_elsewhere() {
        use std::os::unix::fs::{chown, lchown, symlink};

        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let set = |mode| {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).expect("set");
        };
        std::fs::create_dir(at("real")).expect("made");
        std::fs::write(at("real/file"), "").expect("written");
        symlink("real", at("folder")).expect("made");
        symlink(at("folder/../folder/file"), at("link")).expect("made");
        symlink("circle", at("circle")).expect("made");
        assert_eq!((of_path(&at("link")), of_links(&at("link"), None)), (Ok(()), Ok(())), "ours");
        assert!(of_home(&at("circle/home")).is_err());
        set(0o777);
        let refused = of_links(&at("link"), None).expect_err("others could replace it");
        assert_eq!(refused, LinkRefused::Writers.to_string());
        set(0o1777);
        assert_eq!(of_links(&at("link"), None), Ok(()), "only its owner can replace it");
        if !rustix::process::geteuid().is_root() || std::env::var_os("SUDO_UID").is_some() {
            return;
        }
        lchown(at("folder"), Some(4711), None).expect("root may");
        let stranger = "a symbolic link of user 4711, who could point it elsewhere";
        let behind = format!("lies behind {}, which is {stranger}", at("folder").display());
        assert_eq!(of_path(&at("link")), Err(behind.clone()));
        assert_eq!(of_home(&at("folder/not/there")), Err(behind.clone()));
        assert_eq!(of_links(&at("link"), Some(4712)), Err(behind));
        assert_eq!(of_path(&at("folder")), Err(format!("is {stranger}")));
        // The service's own user: it gets nothing to read that is not its own.
        let refused = of_links(&at("link"), Some(4711)).expect_err("root's file");
        assert_eq!(refused, "is a symbolic link of user 4711 to a file of user 0: name the file itself");
        chown(at("real/file"), Some(4711), None).expect("root may");
        assert_eq!(of_links(&at("link"), Some(4711)), Ok(()));
    }
}
