//! This process and its host on every Unix: lock, folders, descriptors that are passed over an exec.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use sereno_config::dead_holder;

use super::files::pause;

/// Starts a new session, so that closing the terminal does not affect this process.
pub fn detach() {
    // Fails only for a group leader, such as a foreground start from a shell.
    let _ = rustix::process::setsid();
}

/// Closes every file but stdin, stdout and stderr. Must run before anything else is opened: the program that starts a
/// supervisor may have open files that would otherwise be held as long as the supervisor runs.
pub fn close_inherited_files() {
    // SAFETY: this process has not opened a file yet, so no owner of a descriptor loses it.
    unsafe { close_fds::close_open_fds(3, &[]) };
}

/// Opens `/dev/null`: nothing to read, and writes are dropped.
pub fn null_device() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// Creates a folder that only its owner can enter, and missing folders above it.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Does the same, and also closes an existing folder to other users.
pub fn own_dir(path: &Path) -> io::Result<()> {
    create_private_dir(path)?;
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "something else is in its place"));
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Opens a file that only its owner can read, and truncates it.
pub fn open_private(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Opens a file for reading and appending; a new file has at most this mode, whatever the umask.
pub fn open_append(path: &Path, mode: u32) -> io::Result<File> {
    fs::OpenOptions::new().create(true).read(true).append(true).mode(mode).open(path)
}

/// Opens a file for reading and writing in place; a new file has this mode.
pub fn open_in_place(path: &Path, mode: u32) -> io::Result<File> {
    fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(mode).open(path)
}

/// How long to wait between the two looks at a process that only waits in the kernel to end: whatever can end does so in
/// that time.
const LOOKS_APART: Duration = Duration::from_millis(200);

/// The lock that decides which process supervises a home. Held until it is dropped or the process dies.
#[derive(Debug)]
pub struct Lock {
    file: File,
    before: Option<u32>,
}

impl Lock {
    /// Takes the lock; `None` if another process holds it.
    ///
    /// A holder that was killed and cannot end, because a thread of it waits in the kernel, keeps its file locked. The
    /// lock is taken over from it: a new file is renamed over that one. Two processes cannot both win: each takes a lock
    /// on the folder before it opens the file, and only a process that has it replaces the file. So of two successors
    /// the second opens the file of the first, and nobody can still get the lock of a file that was replaced.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        if let Some(lock) = Self::take_from(path, None)? {
            return Ok(Some(lock));
        }
        let Some(dead) = dead_holder(path) else { return Ok(None) };
        pause(LOOKS_APART);
        Self::take_from(path, Some(dead))
    }

    /// Takes the lock if it is free, or if its holder is `dead`, which can never run again.
    fn take_from(path: &Path, dead: Option<u32>) -> io::Result<Option<Self>> {
        let folder = path.parent().unwrap_or(path);
        let turn = File::open(folder)?;
        rustix::fs::flock(&turn, FlockOperation::LockExclusive)?;
        let lock = Self::of(open_in_place(path, 0o600)?)?;
        if lock.is_some() || dead.is_none() || dead_holder(path) != dead {
            return lock.map(Self::signed).transpose();
        }
        // A supervisor that was killed here has left such a file: it is emptied and used again.
        let other = path.with_extension("lock.new");
        let Some(lock) = Self::of(open_private(&other)?)? else { return Ok(None) };
        // The path never names a file without a pid.
        let lock = Self { before: dead, ..lock.signed()? };
        fs::rename(&other, path)?;
        Ok(Some(lock))
    }

    fn of(file: File) -> io::Result<Option<Self>> {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file, before: None })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes this process's pid into the file. A file that names another pid is never empty meanwhile.
    fn signed(self) -> io::Result<Self> {
        let line = format!("{}\n", std::process::id());
        io::Write::write_all(&mut &self.file, line.as_bytes())?;
        self.file.set_len(u64::try_from(line.len()).expect("a pid is short"))?;
        Ok(self)
    }

    /// Returns the process that the lock was taken over from, as it cannot end.
    pub fn taken_over_from(&self) -> Option<u32> {
        self.before
    }

    /// Takes over the lock of an earlier image of this process; its number came on the command line.
    pub fn inherit(number: i32) -> io::Result<Self> {
        Ok(Self { file: take_over(number)?.into(), before: None })
    }

    /// Returns whether this path names the lock's file.
    pub fn is_at(&self, path: &Path) -> bool {
        super::files::is_at(&self.file, path).unwrap_or(false)
    }

    /// Empties the file, as nothing is left to supervise: it names no process from now on.
    pub fn done(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// Keeps the lock open over the next exec. Returns its number, for [`inherit`](Self::inherit).
    pub fn hand_over(&self) -> io::Result<i32> {
        use std::os::fd::AsRawFd;
        rustix::io::fcntl_setfd(&self.file, rustix::io::FdFlags::empty())?;
        Ok(self.file.as_raw_fd())
    }
}

/// Listens on a TCP address; connections wait until a process accepts them.
pub fn listen(address: std::net::SocketAddr) -> io::Result<OwnedFd> {
    const BACKLOG: i32 = 4096;
    let socket = OwnedFd::from(std::net::TcpListener::bind(address)?);
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Leaves a descriptor open for the next image of this process. Returns its number, for [`take_over`].
pub fn leave_open(descriptor: OwnedFd) -> io::Result<i32> {
    use std::os::fd::IntoRawFd;
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::empty())?;
    // It is not closed here: the next image owns it.
    Ok(descriptor.into_raw_fd())
}

/// Takes over a descriptor that the previous image of this process left open.
pub fn take_over(number: i32) -> io::Result<OwnedFd> {
    use std::os::fd::{BorrowedFd, FromRawFd};
    if number < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: borrowed only to check whether it is open; the kernel refuses a closed descriptor.
    let lent = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(lent, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: the previous image left exactly this descriptor open for this image, and no other owner exists.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Becomes another program in the same process; returns only if that failed.
pub fn exec(program: &Path, args: &[String]) -> io::Error {
    use std::os::unix::process::CommandExt;
    #[expect(clippy::disallowed_methods, reason = "replaces this process; nothing is started")]
    std::process::Command::new(program).args(args).exec()
}

/// Returns whether an error means that the host or this process lacks space, descriptors, memory or processes. A later
/// try may work unchanged.
pub fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let short = [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::NOBUFS,
        Errno::AGAIN,
        Errno::ROFS,
    ];
    Errno::from_io_error(error).is_some_and(|error| short.contains(&error))
}

/// Returns whether an error means that this process lacks descriptors.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::MFILE)
}

/// Returns how many descriptors this process may have; `None` if there is no limit.
pub fn descriptor_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// Returns the user and group that this process runs as.
pub fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// Returns the command that runs a line in the shell.
pub fn shell(line: &str) -> Vec<String> {
    vec!["/bin/sh".into(), "-c".into(), line.into()]
}
