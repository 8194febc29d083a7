//! Messages of one length, over a stream: macOS has no sockets of this kind that keep their borders.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, socket, sockopt};

use super::LONGEST;

/// How a message is sent (a program of Rust is not ended by a pipe that breaks), and received.
pub(super) const SEND: SendFlags = SendFlags::empty();
pub(super) const RECEIVE: RecvFlags = RecvFlags::empty();

/// Room for so many messages that wait: one that does not fit as a whole is an error.
const ROOM: usize = 256 * LONGEST;

/// A new socket.
pub(super) fn made(family: AddressFamily) -> io::Result<OwnedFd> {
    let socket = socket(family, SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    sockopt::set_socket_send_buffer_size(&socket, ROOM)?;
    sockopt::set_socket_recv_buffer_size(&socket, ROOM)?;
    Ok(socket)
}

/// A message as it is sent: zeros at its end, which no message has.
pub(super) fn framed(mut text: Vec<u8>) -> Vec<u8> {
    text.resize(LONGEST, 0);
    text
}

/// Whether there is one to receive; `WouldBlock`: not all of it has come. Taken from the socket is only a whole one.
pub(super) fn look(socket: impl AsFd) -> io::Result<bool> {
    let (there, _) = recv(socket, &mut [0_u8; LONGEST], RecvFlags::PEEK)?;
    match there {
        0 => Ok(false),
        LONGEST => Ok(true),
        _ => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Makes a file close-on-exec, which it is not when it arrives.
pub(super) fn close_on_exec(file: OwnedFd) -> io::Result<OwnedFd> {
    fcntl_setfd(&file, FdFlags::CLOEXEC)?;
    Ok(file)
}
