//! The socket behind `NOTIFY_SOCKET`. macOS does not tell the sender of a datagram, and has no socket names outside a
//! folder: the socket is in a folder that only this user and root can enter, so no other sender can reach it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::os::Ids;

/// The longest path that a socket may have.
const LONGEST_PATH: usize = 103;

/// The socket on which a service reports readiness and status.
#[derive(Debug)]
pub struct NotifySocket(tokio::net::UnixDatagram);

impl NotifySocket {
    /// Returns the path for `NOTIFY_SOCKET`: in this user's own folder, and short enough for a socket. Empty for a
    /// service that runs as another user: it could not enter this folder, and in another folder any process could send
    /// in its name.
    pub fn address(folder: &Path, _instance: &str, stem: &str, other_user: bool) -> String {
        if other_user {
            return String::new();
        }
        let path = folder.join(stem).display().to_string();
        if path.len() <= LONGEST_PATH {
            return path;
        }
        let digest = stem
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        folder.join(format!("{digest:08x}")).display().to_string()
    }

    /// Binds a new socket. Needs a tokio runtime.
    pub fn bind(address: &str, _ids: Option<&Ids>) -> io::Result<Self> {
        if address.is_empty() {
            let why = "macOS has no notify socket for a service of another user; use another ready";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        match std::fs::remove_file(address) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Self::of(UnixDatagram::bind(address)?),
        }
    }

    /// Takes over a socket that an earlier supervisor bound, with the messages sent to it since; `None` if it is bound
    /// elsewhere. Needs a tokio runtime.
    pub fn take_over(socket: OwnedFd, address: &str) -> Option<Self> {
        let socket = UnixDatagram::from(socket);
        let bound = socket.local_addr().ok()?;
        Self::identity_at(address).filter(|_| bound.as_pathname() == Some(Path::new(address)))?;
        Self::of(socket).ok()
    }

    /// Returns device and inode of the socket at an address; `None` if there is no socket.
    pub fn identity_at(address: &str) -> Option<(u64, u64)> {
        let found = std::fs::symlink_metadata(address).ok()?;
        found.file_type().is_socket().then(|| (found.dev(), found.ino()))
    }

    /// Removes a socket.
    pub fn remove(address: &str) {
        // If it cannot be removed, the next bind replaces it.
        let _ = std::fs::remove_file(address);
    }

    fn of(socket: UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self(tokio::net::UnixDatagram::from_std(socket)?))
    }

    /// Returns the next message. macOS does not tell its sender; messages that are not text are skipped. Descriptors
    /// sent with it have no room and are closed.
    pub async fn receive(&self) -> io::Result<(String, Option<u32>, std::time::Duration)> {
        let mut buffer = [0; 4096];
        loop {
            let length = self.0.recv(&mut buffer).await?;
            if let Ok(text) = std::str::from_utf8(&buffer[..length]) {
                return Ok((text.into(), None, std::time::Duration::ZERO));
            }
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

    #[test]
    fn every_address_is_one_that_a_socket_can_have() {
        let folder = Path::new("/srv/run/notify");
        assert_eq!(NotifySocket::address(folder, "i", "web@0", false), "/srv/run/notify/web@0");
        assert_eq!(NotifySocket::address(folder, "i", "web@0", true), "");
        let long = NotifySocket::address(folder, "i", &"x".repeat(100), false);
        assert!(long.starts_with("/srv/run/notify/") && long.len() <= LONGEST_PATH, "{long}");
    }
}
