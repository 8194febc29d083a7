//! Reads listeners from the kernel by `sock_diag`, and receives its notifications.

mod diag;
mod table;

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto};
use socket2::{SockFilter, Socket};
use tokio::io::unix::AsyncFd;

use super::Listener;

/// Buffer size for one answer of the kernel, in bytes.
const ANSWER: usize = 32 * 1024;

/// Returns every listener of this host.
pub fn listeners() -> Vec<Listener> {
    ask().unwrap_or_else(|_| table::listeners())
}

fn ask() -> io::Result<Vec<Listener>> {
    let socket = netlink(SocketFlags::CLOEXEC)?;
    let mut found = Vec::new();
    let mut answer = vec![0; ANSWER];
    for family in diag::FAMILIES {
        let question = diag::question(family);
        sendto(&socket, &question, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        loop {
            let (length, _) = recv(&socket, &mut *answer, RecvFlags::empty())?;
            if diag::read(&answer[..length], &mut found)? == diag::Ended::Yes {
                break;
            }
        }
    }
    Ok(found)
}

fn netlink(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG))?)
}

/// Reports closed sockets, as soon as their last holder closes them.
#[derive(Debug)]
pub struct Gone(AsyncFd<OwnedFd>);

impl Gone {
    /// Subscribes. Some kernels do not allow this for every process.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::from(netlink(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?);
        // The filter is set before the socket is bound: connections end all the time, and must not wake this process.
        socket.attach_filter(&only_unconnected())?;
        bind(&socket, &SocketAddrNetlink::new(0, diag::CLOSED_TCP))?;
        #[expect(deprecated, reason = "an OwnedFd is the same open socket as long as it is held")]
        let watched = AsyncFd::new(socket.into());
        Ok(Self(watched?))
    }

    /// Returns the ports of the next sockets that were closed; an empty list means that some were missed.
    pub async fn ports(&self) -> io::Result<Vec<u16>> {
        let mut told = vec![0; ANSWER];
        loop {
            let mut ready = self.0.readable().await?;
            let heard = ready.try_io(|socket| Ok(recv(socket, &mut *told, RecvFlags::empty())?.0));
            match heard {
                Err(_) => {}
                Ok(Ok(length)) => {
                    let mut gone = Vec::new();
                    diag::read(&told[..length], &mut gone)?;
                    return Ok(gone.iter().map(|socket| socket.local.port()).collect());
                }
                Ok(Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    return Ok(Vec::new());
                }
                Ok(Err(error)) => return Err(error),
            }
        }
    }
}

/// A filter that accepts only sockets without a peer: a listener, or a socket that was never used.
fn only_unconnected() -> [SockFilter; 4] {
    const LOAD_HALF: u16 = 0x28;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_HALF, 0, 0, diag::PEER_PORT_AT),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    #[test]
    fn kernel_and_proc_say_the_same_of_a_listener() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(address).expect("a port");
            let local = listener.local_addr().expect("bound");
            let port = local.port();
            let _waits = TcpStream::connect((if local.is_ipv6() { "::1" } else { "127.0.0.1" }, port));
            let of = |all: Vec<Listener>| all.into_iter().find(|one| one.local == local);
            let asked = of(ask().expect("a kernel that answers")).expect("it listens");
            assert_eq!((asked.waiting, asked.user), (1, rustix::process::getuid().as_raw()));
            assert_eq!(of(table::listeners()), Some(asked));
        }
    }

    #[tokio::test]
    async fn a_listener_that_is_closed_is_heard_of_and_connections_are_not() {
        let Ok(gone) = Gone::open() else { return };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(TcpStream::connect(address).expect("it listens"));
        drop(listener);
        let heard =
            async { while !gone.ports().await.expect("a socket that is read").contains(&address.port()) {} };
        tokio::time::timeout(Duration::from_secs(60), heard).await.expect("heard");
    }
}
