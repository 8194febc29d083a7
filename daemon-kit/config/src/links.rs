//! Symbolic links on the way to a path: whoever owns one, or its folder, chooses what is found there.

use std::io;
use std::path::PathBuf;

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

/// Bytes of an `env_file` that are read, on the thread that decides. An environment of so much no system starts a program
/// with (Linux: 2 MiB with the arguments, usually), and its user can make the file as large as it likes, at each start.
#[cfg_attr(not(unix), allow(dead_code, reason = "nobody else owns such a file there"))]
const MOST_BYTES: u64 = 1024 * 1024;

/// Why what is found at a path is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PathRefused {
    /// It is a link itself.
    #[error("{0}")]
    Link(LinkRefused),
    /// A link stands on the way to it.
    #[error("lies behind {link}, which {why}", link = .0.display(), why = .1)]
    Behind(PathBuf, LinkRefused),
    /// They never end.
    #[error("is behind too many symbolic links")]
    TooMany,
    /// The service's user would get something to read that is not its own.
    #[error("is a symbolic link of user {user} to a file of user {owner}: name the file itself")]
    NotItsOwn {
        /// Who the service runs as.
        user: u32,
        /// Whose file it is.
        owner: u32,
    },
    /// Reading it could wait for ever.
    #[error("is no regular file")]
    NoFile,
    /// Reading it would take long, and memory.
    #[error("is larger than {} KiB", MOST_BYTES / 1024)]
    TooLarge,
    /// Another file was opened than the one that was judged.
    #[error("was replaced while it was read")]
    Replaced,
    /// The system says no.
    #[error(transparent)]
    Unread(#[from] io::Error),
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsString;
    use std::fs::Metadata;
    use std::io::{self, Read as _};
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
    use std::path::{Component, Path, PathBuf};

    use super::super::trust;
    use super::{LinkRefused, MOST_BYTES, PathRefused};

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
        let may = |uid: u32| trust::is_ours(uid) || user == Some(uid);
        let others_write = || folder.mode & trust::STICKY == 0 && trust::written_by(folder).is_some();
        match () {
            () if !may(link.uid) => Err(LinkRefused::Owner(link.uid)),
            () if !may(folder.uid) => Err(LinkRefused::Folder(folder.uid)),
            () if others_write() => Err(LinkRefused::Writers),
            () => Ok(()),
        }
    }

    /// Judges every symbolic link on the way to a path; what is found there, if anything is. `user` may own links as
    /// well, but only to what is its own.
    pub(in super::super) fn judge_links(
        path: &Path,
        user: Option<u32>,
    ) -> Result<Option<Metadata>, PathRefused> {
        let path = std::path::absolute(path)?;
        let (mut at, mut left, mut count) = (PathBuf::from("/"), Vec::new(), 0);
        let (mut found, mut is_users) = (None, false);
        push(&path, &mut left);
        while let Some(name) = left.pop() {
            if name == ".." {
                at.pop();
                found = None;
                continue;
            }
            let next = at.join(&name);
            let Ok(meta) = next.symlink_metadata() else { return Ok(None) };
            if !meta.is_symlink() {
                (at, found) = (next, Some(meta));
                continue;
            }
            // What lies where modes are made up is not judged.
            let Some(folder) = trust::meta(&at) else { return Ok(None) };
            let target = next.read_link()?;
            count += 1;
            if count > MOST_LINKS {
                return Err(PathRefused::TooMany);
            }
            if !trust::is_container() {
                may_follow((&meta).into(), (&folder).into(), user).map_err(|why| {
                    if next == path { PathRefused::Link(why) } else { PathRefused::Behind(next, why) }
                })?;
                is_users |= !trust::is_ours(meta.uid()) || !trust::is_ours(folder.uid());
            }
            if target.is_absolute() {
                at = "/".into();
            }
            push(&target, &mut left);
        }
        match (found, user) {
            (Some(found), Some(user)) if is_users && found.uid() != user => {
                Err(PathRefused::NotItsOwn { user, owner: found.uid() })
            }
            (found, _) => Ok(found),
        }
    }

    /// Reads an `env_file` of a service of this user: a regular file, and the one to which the judged links led. A user
    /// that replaces it meanwhile gains nothing.
    pub(in super::super) fn read_env_file(path: &Path, user: Option<u32>) -> Result<String, PathRefused> {
        let never_waits = rustix::fs::OFlags::NONBLOCK.bits();
        let mut options = std::fs::OpenOptions::new();
        options.read(true).custom_flags(never_waits.try_into().map_err(io::Error::other)?);
        let file = options.open(path)?;
        let opened = file.metadata()?;
        let id = |meta: &Metadata| (meta.dev(), meta.ino());
        let judged = judge_links(path, user)?;
        if judged.is_some_and(|judged| id(&judged) != id(&opened)) {
            return Err(PathRefused::Replaced);
        }
        if !opened.is_file() {
            return Err(PathRefused::NoFile);
        }
        let mut bytes = Vec::new();
        // The size is not asked for: a file can grow while it is read.
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(PathRefused::TooLarge);
        }
        Ok(String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?)
    }

    fn push(path: &Path, left: &mut Vec<OsString>) {
        let name = |component| match component {
            Component::Normal(name) => Some(OsString::from(name)),
            Component::ParentDir => Some("..".into()),
            _ => None,
        };
        left.extend(path.components().rev().filter_map(name));
    }
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same words on every system")]
mod unix {
    use std::path::Path;

    use super::PathRefused;

    pub(in super::super) fn judge_links(_: &Path, _: Option<u32>) -> Result<(), PathRefused> {
        Ok(())
    }

    pub(in super::super) fn read_env_file(path: &Path, _: Option<u32>) -> Result<String, PathRefused> {
        Ok(std::fs::read_to_string(path)?)
    }
}

#[cfg(unix)]
pub use unix::{Ownership, may_follow};
pub(super) use unix::{judge_links, read_env_file};

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};

    use super::super::trust::of_home;
    use super::*;

    #[test]
    fn an_env_file_that_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("own.env");
        let file = std::fs::File::create(&path).expect("made");
        file.set_len(MOST_BYTES).expect("made");
        assert_eq!(read_env_file(&path, None).expect("read").len() as u64, MOST_BYTES);
        file.set_len(1 << 40).expect("made");
        let refused = read_env_file(&path, None).expect_err("too large").to_string();
        assert_eq!(refused, "is larger than 1024 KiB");
    }

    #[test]
    fn links_are_judged_by_who_can_point_them_elsewhere() {
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
        let judge =
            |name: &str, user| judge_links(&at(name), user).map(|_| ()).map_err(|why| why.to_string());
        assert_eq!(judge("link", None), Ok(()), "ours");
        assert!(of_home(&at("circle/home")).is_err());
        set(0o777);
        let refused = judge("link", None).expect_err("others could replace it");
        assert_eq!(refused, LinkRefused::Writers.to_string());
        set(0o1777);
        assert_eq!(judge("link", None), Ok(()), "only its owner can replace it");
        if !rustix::process::geteuid().is_root() || std::env::var_os("SUDO_UID").is_some() {
            return;
        }
        lchown(at("folder"), Some(4711), None).expect("root may");
        let stranger = "a symbolic link of user 4711, who could point it elsewhere";
        let behind = format!("lies behind {}, which is {stranger}", at("folder").display());
        assert_eq!(judge("link", None), Err(behind.clone()));
        assert_eq!(of_home(&at("folder/not/there")).expect_err("a stranger's").to_string(), behind);
        assert_eq!(judge("link", Some(4712)), Err(behind));
        assert_eq!(judge("folder", None), Err(format!("is {stranger}")));
        // The service's own user: it gets nothing to read that is not its own.
        let refused = judge("link", Some(4711)).expect_err("root's file");
        assert_eq!(refused, "is a symbolic link of user 4711 to a file of user 0: name the file itself");
        chown(at("real/file"), Some(4711), None).expect("root may");
        assert_eq!(judge("link", Some(4711)), Ok(()));
    }

    #[test]
    fn an_env_file_is_a_file_that_is_read_without_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "A=1").expect("written");
        symlink("file", at("link")).expect("made");
        assert_eq!(read_env_file(&at("link"), None).expect("ours"), "A=1");
        assert_eq!(read_env_file(&at(""), None).expect_err("a folder").to_string(), "is no regular file");
        #[cfg(target_os = "linux")]
        {
            rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::RUSR).expect("made");
            assert_eq!(
                read_env_file(&at("fifo"), None).expect_err("a FIFO").to_string(),
                "is no regular file"
            );
        }
        let missing = read_env_file(&at("missing"), None).expect_err("none");
        assert!(matches!(missing, PathRefused::Unread(error) if error.kind() == io::ErrorKind::NotFound));
    }
}
