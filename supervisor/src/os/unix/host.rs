//! This process and its host, as every Unix has it: lock, folders, descriptors that go over an exec.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};

/// A session of its own: closing the terminal is no news to it.
pub fn detach() {
    // Fails only for one that leads a group already, as a foreground start from a shell does.
    let _ = rustix::process::setsid();
}

/// Closes every file but stdin, stdout and stderr. Before anything else is opened: whoever starts a supervisor may have
/// files open that are for nobody else, and would be held as long as it runs.
pub fn close_inherited_files() {
    // SAFETY: nothing of this process has opened a file yet, so that no owner of a descriptor loses it.
    unsafe { close_fds::close_open_fds(3, &[]) };
}

/// Nothing to read, nowhere to write.
pub fn null_device() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// Makes a folder, and those above it, that only its owner can enter.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The same of one that is ours alone: where it was there before, nobody else enters it from now on.
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

/// Opens a file that only its owner can read, for writing anew.
pub fn open_private(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Opens a file for reading and appending; a new one has this mode at most, whatever the umask is.
pub fn open_append(path: &Path, mode: u32) -> io::Result<File> {
    fs::OpenOptions::new().create(true).read(true).append(true).mode(mode).open(path)
}

/// Opens a file for reading and writing in place, with the mode of a new one.
pub fn open_in_place(path: &Path, mode: u32) -> io::Result<File> {
    fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(mode).open(path)
}

/// The only truth about who supervises a home. Held until dropped or dead.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes it; `None`: somebody else has it.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // Never empty, whoever reads it meanwhile: the first line is a pid at every moment.
                let line = format!("{}\n", std::process::id());
                io::Write::write_all(&mut &file, line.as_bytes())?;
                file.set_len(u64::try_from(line.len()).expect("a pid is short"))?;
                Ok(Some(Self(file)))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The one that an earlier image of this process held: its number came on the command line.
    pub fn inherit(number: i32) -> io::Result<Self> {
        Ok(Self(take_over(number)?.into()))
    }

    /// Whether this path names it.
    pub fn is_at(&self, path: &Path) -> bool {
        super::files::is_at(&self.0, path).unwrap_or(false)
    }

    /// Nothing is left to be supervised: it names nobody from now on.
    pub fn done(&self) -> io::Result<()> {
        self.0.set_len(0)
    }

    /// Keeps it open over the next exec; its number, for [`inherit`](Self::inherit).
    pub fn hand_over(&self) -> io::Result<i32> {
        use std::os::fd::AsRawFd;
        rustix::io::fcntl_setfd(&self.0, rustix::io::FdFlags::empty())?;
        Ok(self.0.as_raw_fd())
    }
}

/// Listens on a TCP address; what connects waits until somebody accepts, whoever that will be.
pub fn listen(address: std::net::SocketAddr) -> io::Result<OwnedFd> {
    const BACKLOG: i32 = 4096;
    let socket = OwnedFd::from(std::net::TcpListener::bind(address)?);
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Gives a descriptor up to the next image of this process; its number, for [`take_over`].
pub fn leave_open(descriptor: OwnedFd) -> io::Result<i32> {
    use std::os::fd::IntoRawFd;
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::empty())?;
    // Nobody closes it here any more: whoever runs next owns it.
    Ok(descriptor.into_raw_fd())
}

/// A descriptor that the image of this process before this one left open.
pub fn take_over(number: i32) -> io::Result<OwnedFd> {
    use std::os::fd::{BorrowedFd, FromRawFd};
    if number < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: only asked whether it is open; what is not open is refused by the kernel.
    let lent = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(lent, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: the image before this one gave exactly this descriptor up to us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Becomes another program in the same process; returns only if that failed.
pub fn exec(program: &Path, args: &[String]) -> io::Error {
    use std::os::unix::process::CommandExt;
    #[expect(clippy::disallowed_methods, reason = "replaces this process; nothing is started")]
    std::process::Command::new(program).args(args).exec()
}

/// Whether something failed because the host, or this process, has too little of something: space, descriptors, memory,
/// processes. It may work later as it is.
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

/// Whether it is descriptors that this process has too few of.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::MFILE)
}

/// How many descriptors this process may have; `None`: as many as it likes.
pub fn descriptor_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// Whom this process runs as.
pub fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// What runs a line for the shell.
pub fn shell(line: &str) -> Vec<String> {
    vec!["/bin/sh".into(), "-c".into(), line.into()]
}
