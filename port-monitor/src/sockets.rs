//! Finds the listeners that a connection reaches, on systems that number them: Linux and macOS.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use sereno_sockets::Listener;

pub(crate) use crate::holders::owner;

/// Owner of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A process of the service.
    Own,
    /// A process that does not belong to the service.
    Foreign { pid: u32, command: String },
    /// The owner can not be determined.
    Unknown,
}

/// The run that a target is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) pid: Option<u32>,
    pub(crate) service: String,
    pub(crate) incarnation: u64,
}

/// Whether an address belongs to this machine.
pub(crate) fn has_address(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// Returns the listeners that would get a connection to an address: those bound to it, else those bound to
/// every address.
pub(crate) fn pick(address: SocketAddr, found: &[Listener]) -> Vec<Listener> {
    let wanted = address.ip().to_canonical();
    let fits: [&dyn Fn(IpAddr) -> bool; 3] = [
        &|ip| ip.to_canonical() == wanted,
        &|ip| ip.is_unspecified() && ip.is_ipv4() == wanted.is_ipv4(),
        // A socket on [::] accepts IPv4 too unless it is set to IPv6 only; in that case the connection
        // would have failed.
        &|ip| ip.is_unspecified(),
    ];
    fits.iter()
        .map(|fits| -> Vec<_> {
            let here = |one: &&Listener| one.local.port() == address.port() && fits(one.local.ip());
            found.iter().filter(here).copied().collect()
        })
        .find(|sockets| !sockets.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn the_closest_listener_gets_the_connection() {
        let table = |locals: &[&str]| -> Vec<_> {
            let listener = |(inode, local)| Listener { local: at(local), waiting: 0, user: 0, inode };
            (1..).zip(locals.iter().copied()).map(listener).collect()
        };
        let picked = |address, locals: &[&str]| -> Vec<u64> {
            pick(at(address), &table(locals)).iter().map(|socket| socket.inode).collect()
        };
        assert_eq!(picked("127.0.0.1:80", &["0.0.0.0:80", "127.0.0.1:80", "127.0.0.1:81", "[::]:80"]), [2]);
        assert_eq!(picked("127.0.0.1:80", &["[::]:80", "0.0.0.0:80"]), [2]);
        assert_eq!(picked("127.0.0.1:80", &["[::]:80", "[::1]:80"]), [1]);
        assert_eq!(picked("127.0.0.1:80", &["[::ffff:127.0.0.1]:80", "0.0.0.0:80"]), [1]);
        assert_eq!(picked("[::1]:80", &["0.0.0.0:80", "[::]:80"]), [2]);
        assert_eq!(
            picked("127.0.0.1:80", &["127.0.0.1:80", "127.0.0.1:80"]),
            [1, 2],
            "shared by SO_REUSEPORT"
        );
        assert_eq!(picked("127.0.0.1:80", &["127.0.0.2:80", "127.0.0.1:8"]), [] as [u64; 0]);
    }
}
