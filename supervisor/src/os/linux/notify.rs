//! The socket behind `NOTIFY_SOCKET`: datagrams from a service, each with its sender.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use tokio::io::Interest;

use super::pipe::close_apart;
use crate::os::Ids;

/// The folder for the sockets of services that run as another user, which cannot enter home.
const SHARED: &str = "/run/sereno";

/// The longest path that a socket may have.
const LONGEST_PATH: usize = 107;

/// The socket on which a service reports readiness and status.
#[derive(Debug)]
pub struct NotifySocket(tokio::net::UnixDatagram);

impl NotifySocket {
    /// Returns the path for `NOTIFY_SOCKET`: in `folder`, or, for a service that runs as another user, in a folder that
    /// every user can enter and only root can write.
    pub fn address(folder: &Path, instance: &str, stem: &str, other_user: bool) -> String {
        let folder = if other_user { Path::new(SHARED).join(instance) } else { folder.into() };
        let path = folder.join(stem).display().to_string();
        if path.len() <= LONGEST_PATH {
            return path;
        }
        let digest = stem
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        folder.join(format!("{digest:08x}")).display().to_string()
    }

    /// Binds a new socket that only root and the service's user can send to. Needs a tokio runtime.
    pub fn bind(address: &str, ids: Option<&Ids>) -> io::Result<Self> {
        let path = Path::new(address);
        if let Some(folder) = path.parent().filter(|folder| folder.starts_with(SHARED)) {
            make_shared_dir(Path::new(SHARED))?;
            make_shared_dir(folder)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        // On Linux the mode of the socket before `bind` becomes the mode of its path, whatever the umask: no other user
        // can connect in between.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        if let Some(ids) = ids {
            let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
            rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Self::of(UnixDatagram::from(socket))
    }

    /// Takes over a socket that an earlier supervisor bound, with the messages sent to it since; `None` if it is bound
    /// elsewhere, or its path is gone. Needs a tokio runtime.
    pub fn take_over(socket: OwnedFd, address: &str) -> Option<Self> {
        let socket = UnixDatagram::from(socket);
        let is_it = socket.local_addr().ok()?.as_pathname() == Some(Path::new(address));
        Self::identity_at(address).filter(|_| is_it)?;
        Self::of(socket).ok()
    }

    /// Returns device and inode of the socket at an address; `None` if there is no socket.
    pub fn identity_at(address: &str) -> Option<(u64, u64)> {
        let found = fs::symlink_metadata(address).ok()?;
        found.file_type().is_socket().then(|| (found.dev(), found.ino()))
    }

    /// Removes a socket; removing the last one also removes the folder of this instance.
    pub fn remove(address: &str) {
        // If it cannot be removed, the next bind replaces it.
        let _ = fs::remove_file(address);
        if let Some(folder) = Path::new(address).parent().filter(|folder| folder.starts_with(SHARED)) {
            let _ = fs::remove_dir(folder);
        }
    }

    fn of(socket: UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // Another service of the same user can send here too: the kernel tells which process sent a message.
        sockopt::set_socket_passcred(&socket, true)?;
        Ok(Self(tokio::net::UnixDatagram::from_std(socket)?))
    }

    /// Returns the next message, the pid of its sender, and how long reading it took: the sender can make that long, by
    /// having many processes wait for room in the socket. Messages that are not text are skipped.
    pub async fn receive(&self) -> io::Result<(String, Option<u32>, Duration)> {
        let mut buffer = [0; 4096];
        loop {
            let mut took = Duration::ZERO;
            let timed = || {
                let began = super::now();
                let read = read(self.0.as_fd(), &mut buffer);
                took = super::now().since(began);
                read
            };
            let (length, sender, files) = self.0.async_io(Interest::READABLE, timed).await?;
            // The next message waits until they are closed: a service that holds this up is not heard meanwhile.
            close_apart(files).await;
            if let Ok(text) = std::str::from_utf8(&buffer[..length]) {
                return Ok((text.into(), sender, took));
            }
        }
    }
}

/// Creates a folder that every user can enter and only the supervisor's user can list and write; an existing folder
/// must not be writable by others.
fn make_shared_dir(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o711).create(path) {
        // The umask may have removed some of the mode.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o711))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
    let found = fs::symlink_metadata(path)?;
    let is_ours = found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0;
    if found.is_dir() && is_ours {
        return Ok(());
    }
    let why = format!("{} must be a folder that only root can write", path.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// The most descriptors that the kernel passes with one message (`SCM_MAX_FD`).
const MOST_FILES: usize = 253;

/// Reads a datagram: its length, its sender, and the descriptors that came with it (`FDSTORE=1`, `BARRIER=1`). A barrier
/// waits until they are closed. There is room for all of them, because the kernel closes what has no room at once, and
/// closing a pipe can take as long as its other users want.
fn read(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<u32>, Vec<OwnedFd>)> {
    #[expect(clippy::cast_possible_truncation, reason = "about a thousand bytes")]
    // SAFETY: only computes sizes.
    const ROOM: usize = unsafe {
        libc::CMSG_SPACE(size_of::<libc::ucred>() as u32)
            + libc::CMSG_SPACE((MOST_FILES * size_of::<RawFd>()) as u32)
    } as usize;
    // Aligned for the kernel's headers.
    let mut space = [0_u64; ROOM.div_ceil(size_of::<u64>())];
    let mut files = Vec::new();
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: plain memory that the call may fill, and every pointer outlives the call. Of the received control data,
    // only a header marked as credentials is read as such, and received descriptors belong to this process alone and
    // are handed on. Not by rustix, which takes a sender's pid of 0 (a process outside this pid namespace) for a pid.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = space.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&space);
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let length = libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags);
        let Ok(length) = usize::try_from(length) else { return Err(io::Error::last_os_error()) };
        let mut sender = None;
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            match ((*header).cmsg_level, (*header).cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                    let pid = libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned().pid;
                    sender = Some(pid.cast_unsigned());
                }
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    let bytes = (*header).cmsg_len - libc::CMSG_LEN(0) as usize;
                    let numbers = libc::CMSG_DATA(header);
                    for at in (0..bytes).step_by(size_of::<RawFd>()) {
                        let number = numbers.add(at).cast::<[u8; size_of::<RawFd>()]>().read();
                        files.push(OwnedFd::from_raw_fd(RawFd::from_ne_bytes(number)));
                    }
                }
                _ => {}
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        Ok((length, sender, files))
    }
}

impl Drop for NotifySocket {
    /// Closes it on a thread of its own, with the descriptors of messages that were not read.
    fn drop(&mut self) {
        if let Ok(copy) = self.0.as_fd().try_clone_to_owned() {
            drop(close_apart(vec![copy]));
        }
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> UnixDatagram {
        UnixDatagram::unbound().expect("a socket")
    }

    #[test]
    fn every_address_is_a_path_that_a_socket_can_have() {
        let address =
            |stem: &str, other| NotifySocket::address(Path::new("/srv/run/notify"), "1.2.3.abc", stem, other);
        assert_eq!(address("web@0", false), "/srv/run/notify/web@0");
        assert_eq!(address("web@0", true), "/run/sereno/1.2.3.abc/web@0");
        for other in [false, true] {
            let long = address(&"x".repeat(100), other);
            assert!(long.starts_with('/') && long.len() <= LONGEST_PATH, "{long}");
        }
    }

    #[tokio::test]
    async fn descriptors_that_come_with_a_message_are_closed() {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("web");
        let socket = NotifySocket::bind(&path.display().to_string(), None).expect("bound");
        let from = sender();
        from.connect(&path).expect("connected");
        for count in [1, 4, 253] {
            // The other end shows when no process holds the passed socket any more.
            let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
            let mut room = vec![std::mem::MaybeUninit::uninit(); 2048];
            let mut along = SendAncillaryBuffer::new(&mut room);
            let files = vec![theirs.as_fd(); count];
            assert!(along.push(SendAncillaryMessage::ScmRights(&files)));
            let text = [io::IoSlice::new(b"FDSTORE=1")];
            sendmsg(&from, &text, &mut along, SendFlags::empty()).expect("sent");
            drop(theirs);
            assert_eq!(socket.receive().await.expect("received").1, Some(std::process::id()));
            ours.set_nonblocking(true).expect("set");
            let read = io::Read::read(&mut ours, &mut [0; 1]);
            assert_eq!(read.expect("nobody holds the other end"), 0, "{count} descriptors");
        }
    }

    #[tokio::test]
    async fn says_who_spoke_and_is_taken_over_only_where_it_was_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("web");
        let address = path.display().to_string();
        let socket = NotifySocket::bind(&address, None).expect("bound");
        let mode = fs::metadata(&path).expect("it is there").mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else sends to it");
        sender().send_to(b"READY=1\nSTATUS=up", &path).expect("sent");
        let (text, pid, _) = socket.receive().await.expect("received");
        assert_eq!((text.as_str(), pid), ("READY=1\nSTATUS=up", Some(std::process::id())));

        sender().send_to(b"WATCHDOG=1", &path).expect("sent");
        let copy = || socket.as_fd().try_clone_to_owned().expect("a copy");
        assert!(NotifySocket::take_over(copy(), "/run/sereno/test/other").is_none());
        let again = NotifySocket::take_over(copy(), &address).expect("the same");
        assert_eq!(again.receive().await.expect("it waited").0, "WATCHDOG=1");
        NotifySocket::remove(&address);
        assert!(NotifySocket::take_over(copy(), &address).is_none(), "nobody could send to it");
    }

    #[test]
    fn a_folder_that_others_can_write_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let (made, open, link) =
            (folder.path().join("made"), folder.path().join("open"), folder.path().join("link"));
        make_shared_dir(&made).expect("made");
        assert_eq!(fs::metadata(&made).expect("it is there").mode() & 0o777, 0o711);
        make_shared_dir(&made).expect("again");
        fs::create_dir(&open).expect("made");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("ours");
        std::os::unix::fs::symlink(&made, &link).expect("made");
        for refused in [&open, &link] {
            let error = make_shared_dir(refused).expect_err("it is not ours alone");
            assert!(error.to_string().contains("only root can write"), "{error}");
        }
    }
}
