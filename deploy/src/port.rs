//! Finds the process that holds a port. Without readable `/proc` only the fact that it is held is known.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// Maximum length of a command that is shown.
const LONGEST: usize = 100;

/// Holder of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Busy {
    /// The process that holds it.
    By {
        /// Pid of the process.
        pid: u32,
        /// Command line of the process.
        command: String,
    },
    /// The process can not be determined.
    Unknown,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By { pid, command } => write!(f, "pid {pid} ({command})"),
            Self::Unknown => write!(f, "another process, which can not be seen from here"),
        }
    }
}

/// Returns the holder of a port on this machine's loopback addresses, if any.
pub fn holder(port: u16) -> Option<Busy> {
    let addresses: [SocketAddr; 2] = [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
    // A machine that lacks one of the two addresses does not have the port taken.
    let taken = |address| TcpListener::bind(address).is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
    if !addresses.into_iter().any(taken) {
        return None;
    }
    Some(listener(port).unwrap_or(Busy::Unknown))
}

fn listener(port: u16) -> Option<Busy> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let inodes: Vec<String> = tables.iter().flat_map(|table| listening(table, port)).collect();
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| holds(*pid, &inodes))
        .collect();
    // The process that opened the socket is older than the children that inherited it.
    pids.sort_unstable();
    pids.first().map(|pid| Busy::By { pid: *pid, command: command(*pid) })
}

/// Returns the inodes of sockets that listen on a port, from a table of the kernel.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let here = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == LISTEN;
        here.then(|| fields.get(9).map(ToString::to_string)).flatten()
    };
    table.lines().filter_map(inode).collect()
}

fn holds(pid: u32, inodes: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).any(|link| {
        let name = link.to_string_lossy();
        let inode = name.strip_prefix("socket:[").and_then(|name| name.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.iter().any(|wanted| wanted == inode))
    })
}

fn command(pid: u32) -> String {
    let mut bytes = Vec::new();
    // A process can say that it is as long as all of its memory.
    if let Ok(file) = fs::File::open(format!("/proc/{pid}/cmdline")) {
        let _ = file.take(4096).read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    // A process chooses its own command line, and the text goes to a terminal.
    let plain = text.trim_end_matches('\0').chars().map(|c| if is_seen(c) { c } else { ' ' });
    plain.take(LONGEST).collect()
}

/// Whether a character is visible: Rust escapes control and invisible characters, and also quotes.
fn is_seen(character: char) -> bool {
    matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_calls_itself_does_nothing_to_a_terminal() {
        let plain: String =
            "a\x1b[2J\u{202E}\u{200B}\"é".chars().map(|c| if is_seen(c) { c } else { '.' }).collect();
        assert_eq!(plain, "a.[2J..\"é");
    }

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4650 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 8211 1 0
   1: 0100007F:4650 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 8212 1 0
   2: 0100007F:4651 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 8213 1 0
   garbage";

    #[test]
    fn only_listeners_of_that_port_count() {
        assert_eq!(listening(TABLE, 18000), ["8211"]);
        assert_eq!(listening(TABLE, 18002), [""; 0]);
    }

    #[test]
    fn a_taken_port_names_its_holder() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let busy = holder(socket.local_addr().expect("an address").port()).expect("taken");
        if cfg!(target_os = "linux") {
            let Busy::By { pid, command } = &busy else { panic!("not seen: {busy:?}") };
            assert_eq!(*pid, std::process::id());
            assert!(command.contains("deploy"), "{command}");
        }
    }

    #[test]
    fn a_free_port_is_held_by_nobody() {
        let freed = || {
            let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
            socket.local_addr().expect("an address").port()
        };
        // A port that was free a moment ago may be taken by now, but not each of 100.
        assert!((0..100).any(|_| holder(freed()).is_none()));
    }

    #[test]
    fn also_the_other_loopback_is_looked_at() {
        let Ok(socket) = TcpListener::bind("[::1]:0") else { return };
        assert_ne!(holder(socket.local_addr().expect("an address").port()), None);
    }
}
