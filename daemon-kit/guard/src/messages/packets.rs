//! Messages that keep their borders by themselves.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socket_with};

/// How a message is sent, and received.
pub(super) const SEND: SendFlags = SendFlags::NOSIGNAL;
pub(super) const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;

/// A new socket.
pub(super) fn made(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket_with(family, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// A message as it is sent.
pub(super) fn framed(text: Vec<u8>) -> Vec<u8> {
    text
}

/// Whether there may be one to receive.
#[expect(clippy::unnecessary_wraps, reason = "the same functions on every system")]
pub(super) fn look(_socket: impl AsFd) -> io::Result<bool> {
    Ok(true)
}

/// A file as it came, which arrived close-on-exec.
#[expect(clippy::unnecessary_wraps, reason = "the same functions on every system")]
pub(super) fn close_on_exec(file: OwnedFd) -> io::Result<OwnedFd> {
    Ok(file)
}
