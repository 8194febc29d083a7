//! Finds the process that already holds a port: done off the hot path, when a service starts. The kernel's table names
//! the process that last used each listener, also for other users.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sereno_sockets::{Listener, listeners, users};

use super::marks::{self, Fifos};
use super::proc;
use crate::os::Stranger;

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
    let sockets: Vec<u64> = here.iter().map(|listener| listener.inode).collect();
    let holders: Vec<u32> = users(&sockets).into_iter().filter(|pid| proc::facts(*pid).is_some()).collect();
    let own: BTreeSet<u32> = proc::descendants(leader).into_iter().chain([std::process::id()]).collect();
    let marks = |pid: u32| marks::owner(pid, instance, &Fifos::default()).map(|(service, _)| service);
    if holders.iter().any(|pid| own.contains(pid) || marks(*pid).is_some_and(|of| of == service)) {
        return None;
    }
    let user = here.first()?.user;
    let us = rustix::process::getuid();
    let stranger = match holders.first() {
        Some(pid) => Stranger {
            pid: *pid,
            command: command(*pid),
            user,
            service: marks(*pid),
            age: age(*pid),
            folder: proc::folder(*pid),
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

fn command(pid: u32) -> String {
    let arguments = proc::started(pid).unwrap_or_default().arguments;
    let line = if arguments.is_empty() {
        proc::facts(pid).map(|facts| facts.name).unwrap_or_default()
    } else {
        String::from_utf8_lossy(&arguments.join(&b' ')).into_owned()
    };
    line.chars().map(proto::text::printable).take(MAX_COMMAND).collect()
}

fn age(pid: u32) -> Option<Duration> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.saturating_sub(Duration::from_micros(proc::facts(pid)?.start)))
}
