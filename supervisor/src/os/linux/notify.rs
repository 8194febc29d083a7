//! The socket behind `NOTIFY_SOCKET`: datagrams from a service, and who sent each.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use rustix::net::sockopt;
use tokio::io::Interest;

/// The longest path that a socket may have.
const LONGEST_PATH: usize = 107;

/// Where a service says that it is ready.
#[derive(Debug)]
pub struct NotifySocket(tokio::net::UnixDatagram);

impl NotifySocket {
    /// What stands in `NOTIFY_SOCKET`: a path in a folder of our own, or (`@…`) a name that needs no folder, for who
    /// runs as somebody else and can not enter ours, and for paths that are too long.
    pub fn address(folder: &Path, instance: &str, stem: &str, other_user: bool) -> String {
        let path = folder.join(stem).display().to_string();
        if !other_user && path.len() <= LONGEST_PATH {
            return path;
        }
        let name = format!("@sereno/{instance}/{stem}");
        if name.len() <= LONGEST_PATH {
            return name;
        }
        let digest = stem.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("@sereno/{instance}/{digest:016x}")
    }

    /// Binds it anew. Needs a tokio runtime.
    pub fn bind(address: &str) -> io::Result<Self> {
        let socket = if let Some(name) = address.strip_prefix('@') {
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)?
        } else {
            match std::fs::remove_file(address) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => UnixDatagram::bind(address)?,
            }
        };
        Self::of(socket)
    }

    /// One that an earlier supervisor bound, with what was said into it since; `None`: it is bound elsewhere. Needs a
    /// tokio runtime.
    pub fn take_over(socket: OwnedFd, address: &str) -> Option<Self> {
        let socket = UnixDatagram::from(socket);
        let bound = socket.local_addr().ok()?;
        let is_it = match address.strip_prefix('@') {
            Some(name) => bound.as_abstract_name() == Some(name.as_bytes()),
            None => bound.as_pathname() == Some(Path::new(address)),
        };
        if is_it { Self::of(socket).ok() } else { None }
    }

    fn of(socket: UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // A name without a folder is open to everybody on the host: the kernel says who speaks.
        sockopt::set_socket_passcred(&socket, true)?;
        Ok(Self(tokio::net::UnixDatagram::from_std(socket)?))
    }

    /// The next message, and the user it is from; what is no text is passed over.
    pub async fn receive(&self) -> io::Result<(String, Option<u32>)> {
        let mut buffer = [0; 4096];
        loop {
            let (length, uid) =
                self.0.async_io(Interest::READABLE, || read(self.0.as_fd(), &mut buffer)).await?;
            if let Ok(text) = std::str::from_utf8(&buffer[..length]) {
                return Ok((text.into(), uid));
            }
        }
    }
}

/// One datagram. Descriptors that come with it (`FDSTORE=1`, `BARRIER=1`) find no room and are closed, which is what a
/// barrier waits for.
fn read(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<u32>)> {
    // Room for credentials only, aligned as the kernel's header wants it.
    let mut space = [0_u64; 8];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: plain memory, all of which the call may fill, and every pointer outlives it. Of what the kernel says came
    // along only a header that is credentials is read as such. Not rustix, which takes a sender's pid of 0 (one that is
    // in no namespace of ours) for a pid.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = space.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&space);
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let length = libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags);
        let Ok(length) = usize::try_from(length) else { return Err(io::Error::last_os_error()) };
        let mut uid = None;
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_CREDENTIALS {
                uid = Some(libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned().uid);
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        Ok((length, uid))
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

    #[test]
    fn who_can_not_enter_our_folder_gets_a_name_without_one() {
        let address =
            |stem: &str, other| NotifySocket::address(Path::new("/srv/run/notify"), "1.2.3.abc", stem, other);
        assert_eq!(address("web@0", false), "/srv/run/notify/web@0");
        assert_eq!(address("web@0", true), "@sereno/1.2.3.abc/web@0");
        let long = address(&"x".repeat(100), false);
        assert!(long.starts_with("@sereno/1.2.3.abc/") && long.len() <= LONGEST_PATH, "{long}");
    }

    #[tokio::test]
    async fn says_who_spoke_and_is_taken_over_only_where_it_was_bound() {
        let name = format!("@sereno/test/{}", std::process::id());
        let socket = NotifySocket::bind(&name).expect("bound");
        let sender = UnixDatagram::unbound().expect("a socket");
        let to = SocketAddr::from_abstract_name(&name[1..]).expect("a name");
        sender.send_to_addr(b"READY=1\nSTATUS=up", &to).expect("sent");
        let (text, uid) = socket.receive().await.expect("received");
        assert_eq!((text.as_str(), uid), ("READY=1\nSTATUS=up", Some(super::super::own_ids().0)));

        sender.send_to_addr(b"WATCHDOG=1", &to).expect("sent");
        let copy = socket.as_fd().try_clone_to_owned().expect("a copy");
        drop(socket);
        assert!(NotifySocket::take_over(copy.try_clone().expect("a copy"), "@sereno/test/other").is_none());
        let socket = NotifySocket::take_over(copy, &name).expect("the same");
        assert_eq!(socket.receive().await.expect("it waited").0, "WATCHDOG=1");
    }
}
