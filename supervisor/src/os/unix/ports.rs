//! Finds the process that already holds a port: done off the hot path, when a service starts.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sereno_sockets::{Listener, listeners};

use crate::os::system::ports;
use crate::os::{Stranger, descendants};

/// How many characters of a command are shown.
const MAX_COMMAND: usize = 100;

/// Returns a process that listens on one of these addresses and does not belong to the service that was just started.
pub fn stranger_on(
    addresses: &[SocketAddr],
    leader: u32,
    instance: &str,
    service: &str,
) -> Option<(u16, Stranger)> {
    let listeners = listeners();
    let taken = addresses.iter().find_map(|address| {
        let here = listeners.iter().filter(|listener| gets(listener.local, *address));
        let here: Vec<&Listener> = here.collect();
        (!here.is_empty()).then_some((address.port(), here))
    });
    let (port, here) = taken?;
    let inodes: Vec<u64> = here.iter().map(|listener| listener.inode).collect();
    let own: BTreeSet<u32> = descendants(leader).into_iter().chain([std::process::id()]).collect();
    let holders = ports::holders(&inodes, &own)?;
    let marks = |pid: u32| ports::owner(pid, instance).map(|(service, _)| service);
    if holders.iter().any(|pid| marks(*pid).is_some_and(|of| of == service)) {
        return None;
    }
    let user = here.first()?.user;
    let us = rustix::process::getuid();
    let stranger = match holders.first() {
        Some(pid) => Stranger {
            pid: *pid,
            command: ports::command(*pid).chars().map(proto::text::printable).take(MAX_COMMAND).collect(),
            user,
            service: marks(*pid),
            age: ports::age(*pid),
            folder: ports::folder(*pid),
        },
        // The process has ended meanwhile, if this user could have seen it.
        None if user == us.as_raw() || us.is_root() => return None,
        None => Stranger { pid: 0, command: String::new(), user, service: None, age: None, folder: None },
    };
    Some((port, stranger))
}

/// Returns whether a listener blocks the address: it listens on it, or on all addresses.
fn gets(local: SocketAddr, address: SocketAddr) -> bool {
    let (ip, wanted) = (local.ip().to_canonical(), address.ip().to_canonical());
    let every = ip.is_unspecified() && (ip.is_ipv6() || wanted.is_ipv4());
    local.port() == address.port() && (ip == wanted || every)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn a_listener_keeps_others_from_its_address_or_from_all() {
        for (local, address, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("[::1]:80", "127.0.0.1:80", false),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
        ] {
            assert_eq!(gets(at(local), at(address)), expected, "{local} {address}");
        }
    }
}
