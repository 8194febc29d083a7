//! Finds the process that already holds a port: done off the hot path, when a service starts.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use sereno_sockets::{Listener, listeners};

use super::proc::{self, Fifos};
use crate::os::Stranger;

/// How many characters of a command are shown.
const MAX_COMMAND: usize = 100;
/// Bytes of it that are read.
const MAX_BYTES: u64 = 4096;
/// Maximum number of descriptors of a process to look at, the lowest numbers first: a process can have a million.
const MAX_DESCRIPTORS: usize = 4096;

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
    let sockets: Vec<String> = here.iter().map(|listener| format!("socket:[{}]", listener.inode)).collect();
    // The service's own processes come first: that is cheap, and they may listen by now.
    let own: BTreeSet<u32> = proc::descendants(leader).into_iter().chain([std::process::id()]).collect();
    if own.iter().any(|pid| holds(*pid, &sockets)) {
        return None;
    }
    let holders: Vec<u32> = processes().filter(|pid| !own.contains(pid) && holds(*pid, &sockets)).collect();
    let marks = |pid: u32| proc::owner(pid, instance, &Fifos::default()).map(|(service, _)| service);
    if holders.iter().any(|pid| marks(*pid).is_some_and(|of| of == service)) {
        return None;
    }
    let user = here.first()?.user;
    let stranger = match holders.first() {
        Some(pid) => Stranger {
            pid: *pid,
            command: command(*pid),
            user,
            service: marks(*pid),
            age: age(*pid),
            folder: fs::read_link(format!("/proc/{pid}/cwd")).ok(),
        },
        // The process has ended meanwhile, if this user could have seen it.
        None if user == rustix::process::getuid().as_raw() || rustix::process::getuid().is_root() => {
            return None;
        }
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

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn holds(pid: u32, sockets: &[String]) -> bool {
    fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().take(MAX_DESCRIPTORS).any(
        |entry| {
            let link = fs::read_link(entry.path());
            link.is_ok_and(|link| {
                link.to_str().is_some_and(|link| sockets.iter().any(|socket| socket == link))
            })
        },
    )
}

fn command(pid: u32) -> String {
    let read = |what: &str| proc::read_memory(pid, what, MAX_BYTES).unwrap_or_default();
    let line = Some(read("cmdline")).filter(|line| !line.is_empty()).unwrap_or_else(|| read("comm"));
    let line = String::from_utf8_lossy(&line).trim_end_matches(['\0', '\n']).replace('\0', " ");
    line.chars().map(proto::text::printable).take(MAX_COMMAND).collect()
}

fn age(pid: u32) -> Option<Duration> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime = Duration::try_from_secs_f64(uptime.split(' ').next()?.parse().ok()?).ok()?;
    let began = Duration::from_secs(proc::start_time(pid)? / rustix::param::clock_ticks_per_second());
    Some(uptime.saturating_sub(began))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

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

    #[test]
    fn who_listens_is_named_unless_it_is_one_of_us() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = [listener.local_addr().expect("bound")];
        let me = std::process::id();
        assert_eq!(stranger_on(&address, me, "home", "web"), None, "our own");
        // The child gets the listener as its stdin, and no other process keeps it.
        #[expect(clippy::disallowed_methods, reason = "a stranger is wanted here")]
        let mut other = std::process::Command::new("sleep")
            .arg("100")
            .stdin(std::os::fd::OwnedFd::from(listener))
            .current_dir("/")
            .spawn()
            .expect("it starts");
        let (port, stranger) = loop {
            if command(other.id()).starts_with("sleep") {
                break stranger_on(&address, u32::MAX, "home", "web").expect("somebody");
            }
            std::thread::yield_now();
        };
        let pid = other.id();
        other.kill().expect("it is ours");
        other.wait().expect("it is ours");
        assert_eq!((port, stranger.pid, stranger.command.as_str()), (address[0].port(), pid, "sleep 100"));
        assert_eq!(stranger.folder.as_deref(), Some(std::path::Path::new("/")));
        let words = stranger.to_string();
        assert!(words.starts_with(&format!("pid {pid} `sleep 100`, started ")), "{words}");
        assert!(words.ends_with(" in /"), "{words}");
        assert_eq!(stranger_on(&address, me, "home", "web"), None, "nobody any more");
    }
}
