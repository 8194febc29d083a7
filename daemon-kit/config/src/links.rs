//! Judges symbolic links on the way to a path: the owner of a link, or of its folder, chooses what is found at the
//! path.

use std::io;
use std::path::PathBuf;

/// Why a symbolic link is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefused {
    /// Another user owns the link and chooses its target.
    #[error("is a symbolic link of user {0}, who could point it elsewhere")]
    Owner(u32),
    /// Another user owns its folder and can replace the link.
    #[error("is a symbolic link in a folder of user {0}, who could replace it")]
    Folder(u32),
    /// Other users can write in its folder and replace the link.
    #[error("is a symbolic link in a folder that others can write, who could replace it")]
    Writers,
}

/// Most bytes of an `env_file` that are read. Its user can make the file as large as it likes, and the supervisor reads
/// it at each start. A larger environment would be of no use: on Linux, arguments and environment have usually 2
/// MiB together.
#[cfg_attr(not(unix), allow(dead_code, reason = "nobody else owns such a file there"))]
const MOST_BYTES: u64 = 1024 * 1024;

/// Why a file or folder at a path is refused.
#[derive(Debug, thiserror::Error)]
pub enum PathRefused {
    /// The path is itself a link that is not followed.
    #[error("{0}")]
    Link(LinkRefused),
    /// A folder of the path is a link that is not followed.
    #[error("lies behind {link}, which {why}", link = .0.display(), why = .1)]
    Behind(PathBuf, LinkRefused),
    /// The path has too many links, or a cycle of them.
    #[error("is behind too many symbolic links")]
    TooMany,
    /// A link of the service's user leads to a file that this user does not own.
    #[error("is a symbolic link of user {user} to a file of user {owner}: name the file itself")]
    NotItsOwn {
        /// User that the service runs as.
        user: u32,
        /// Owner of the file.
        owner: u32,
    },
    /// It is not a regular file, so reading it could block for ever.
    #[error("is no regular file")]
    NoFile,
    /// The kernel makes what is read from it, and another process can make such a read wait for ever.
    #[error("lies on {0}, whose files the kernel makes while they are read: copy it to a file on a disk")]
    OfKernel(&'static str),
    /// The file is too large.
    #[error("is larger than {} KiB", MOST_BYTES / 1024)]
    TooLarge,
    /// The opened file is not the one that was judged.
    #[error("was replaced while it was read")]
    Replaced,
    /// The system reports an error.
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

    /// Most symbolic links on the way to a file, as in the Linux kernel.
    const MOST_LINKS: u32 = 40;

    /// Owner, group and mode of a file.
    #[derive(Debug, Clone, Copy)]
    pub struct Ownership {
        /// User id of the owner.
        pub uid: u32,
        /// Group id of the file.
        pub gid: u32,
        /// Permission bits; other bits are ignored.
        pub mode: u32,
    }

    impl From<&Metadata> for Ownership {
        fn from(meta: &Metadata) -> Self {
            Self { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() }
        }
    }

    /// Checks that a symbolic link may be followed: it and its folder belong to root, to this user or to `user`, and no
    /// other user can replace it.
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

    /// Judges every symbolic link on the way to a path. Returns the metadata of what is found there, if anything is.
    /// `user` may own links too, but only to files of its own.
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
            // Links on a file system without real modes are not judged.
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

    /// Reads an `env_file` of a service of this user. It must be a regular file, and the one that the judged links lead
    /// to, so a user that replaces it meanwhile gains nothing.
    pub(in super::super) fn read_env_file(path: &Path, user: Option<u32>) -> Result<String, PathRefused> {
        let never_waits = rustix::fs::OFlags::NONBLOCK.bits();
        let mut options = std::fs::OpenOptions::new();
        options.read(true).custom_flags(never_waits.try_into().map_err(io::Error::other)?);
        let file = options.open(path)?;
        if let Some(name) = kernel_file_system(&file)? {
            return Err(PathRefused::OfKernel(name));
        }
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
        // The size of the file is not used: it can grow while it is read.
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(PathRefused::TooLarge);
        }
        Ok(String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?)
    }

    /// Returns the name of the file system that a file is on, if the kernel makes its files. A read of
    /// `/proc/PID/smaps_rollup` waits for a lock that the threads of that process can hold without a break.
    #[cfg(target_os = "linux")]
    fn kernel_file_system(file: &std::fs::File) -> io::Result<Option<&'static str>> {
        /// Magic numbers of `linux/magic.h`.
        const OF_KERNEL: [(i64, &str); 12] = [
            (0x9fa0, "procfs"),
            (0x6265_6572, "sysfs"),
            (0x6462_6720, "debugfs"),
            (0x7472_6163, "tracefs"),
            (0x0027_e0eb, "a cgroup file system"),
            (0x6367_7270, "a cgroup file system"),
            (0x7363_6673, "securityfs"),
            (0x6265_6570, "configfs"),
            (0xf97c_ff8c, "selinuxfs"),
            (0xcafe_4a11, "bpffs"),
            (0x6573_5543, "fusectl"),
            (0x6e73_6673, "nsfs"),
        ];
        let magic = rustix::fs::fstatfs(file)?.f_type;
        Ok(OF_KERNEL.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name))
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unnecessary_wraps, reason = "the same words on every system")]
    fn kernel_file_system(_: &std::fs::File) -> io::Result<Option<&'static str>> {
        Ok(None)
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
        #[cfg(target_os = "linux")]
        {
            symlink("/proc/self/smaps_rollup", at("rollup")).expect("made");
            let refused = read_env_file(&at("rollup"), None).expect_err("the kernel's").to_string();
            assert!(refused.starts_with("lies on procfs, whose files the kernel makes"), "{refused}");
        }
        let missing = read_env_file(&at("missing"), None).expect_err("none");
        assert!(matches!(missing, PathRefused::Unread(error) if error.kind() == io::ErrorKind::NotFound));
    }
}
