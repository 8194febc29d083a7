//! Messages of a fixed length over a stream socket: macOS has no local sockets that keep message
//! boundaries.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, socket, sockopt};

use super::LONGEST;

/// Flags for sending (Rust programs ignore SIGPIPE) and receiving.
pub(super) const SEND: SendFlags = SendFlags::empty();
pub(super) const RECEIVE: RecvFlags = RecvFlags::empty();

/// Buffer size, for 256 waiting messages; a message that does not fit as a whole is an error.
const ROOM: usize = 256 * LONGEST;

/// Creates a socket.
pub(super) fn made(family: AddressFamily) -> io::Result<OwnedFd> {
    let socket = socket(family, SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    sockopt::set_socket_send_buffer_size(&socket, ROOM)?;
    sockopt::set_socket_recv_buffer_size(&socket, ROOM)?;
    Ok(socket)
}

/// Pads a message with zeros, which no message contains.
pub(super) fn framed(mut text: Vec<u8>) -> Vec<u8> {
    text.resize(LONGEST, 0);
    text
}

/// Whether a message is available; `WouldBlock` if it has not fully arrived. Only a whole message is taken
/// from the socket.
pub(super) fn look(socket: impl AsFd) -> io::Result<bool> {
    let (there, _) = recv(socket, &mut [0_u8; LONGEST], RecvFlags::PEEK)?;
    match there {
        0 => Ok(false),
        LONGEST => Ok(true),
        _ => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Sets close-on-exec, which a received file does not have.
pub(super) fn close_on_exec(file: OwnedFd) -> io::Result<OwnedFd> {
    fcntl_setfd(&file, FdFlags::CLOEXEC)?;
    Ok(file)
}
