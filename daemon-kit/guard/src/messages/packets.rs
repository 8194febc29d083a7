//! Messages over sockets that keep message boundaries.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socket_with};

/// Flags for sending and receiving.
pub(super) const SEND: SendFlags = SendFlags::NOSIGNAL;
pub(super) const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;

/// Creates a socket.
pub(super) fn made(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket_with(family, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Returns the message in its wire form.
pub(super) fn framed(text: Vec<u8>) -> Vec<u8> {
    text
}

/// Whether a message may be available.
#[expect(clippy::unnecessary_wraps, reason = "the same functions on every system")]
pub(super) fn look(_socket: impl AsFd) -> io::Result<bool> {
    Ok(true)
}

/// Returns a received file, which arrived close-on-exec.
#[expect(clippy::unnecessary_wraps, reason = "the same functions on every system")]
pub(super) fn close_on_exec(file: OwnedFd) -> io::Result<OwnedFd> {
    Ok(file)
}
