//! The system's table of listeners and their processes, by `GetExtendedTcpTable` and a snapshot of the processes.
//!
//! Windows sockets have no number of their own, and the table is long (it holds every connection of the
//! host). So the owner of a port is looked up separately, when it is needed, and cached for a while.
//! Windows does not report the length of an accept queue, so no service counts as stalled here.
//!
//! Nothing here fails: unreadable entries (another user's process, a process that ended meanwhile) are skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use netstat2::{AddressFamilyFlags, ProtocolFlags, ProtocolSocketInfo, TcpState, iterate_sockets_info};
use sereno_sockets::Listener;
use tokio::time::Instant;
use winsafe::{HPROCESS, HPROCESSLIST, co};

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

/// Maximum number of characters of a command to show.
const MAX_COMMAND: usize = 100;
/// How long a port's owner is cached while the port stays open.
const BELIEVED: Duration = Duration::from_secs(30);
/// How long one copy of the table is shared by all targets.
const FRESH: Duration = Duration::from_millis(500);

/// Whether an address belongs to this machine: a socket connected to an own address has that address
/// locally too. Nothing is sent.
pub(crate) fn has_address(ip: IpAddr) -> bool {
    let from: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let heard = UdpSocket::bind((from, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    heard.is_ok_and(|heard| heard.ip() == ip)
}

/// Returns the listener that got a connection to an address. It exists, because the connection succeeded;
/// `found` is empty.
pub(crate) fn pick(address: SocketAddr, _found: &[Listener]) -> Vec<Listener> {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let age = BEGAN.get_or_init(Instant::now).elapsed().as_secs() / BELIEVED.as_secs();
    vec![Listener { local: address, waiting: 0, user: 0, inode: Place::of(address).during(age) }]
}

/// A compact address: every IPv6 address except the loopback counts as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    V4(Ipv4Addr, u16),
    V6 { loopback: bool, port: u16 },
}

impl Place {
    fn of(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip, address.port()),
            IpAddr::V6(ip) => Self::V6 { loopback: ip.is_loopback(), port: address.port() },
        }
    }

    /// Packs the address into a number, with 14 bits of the time period.
    fn during(self, age: u64) -> u64 {
        let place = match self {
            Self::V4(ip, port) => 1 << 49 | u64::from(ip.to_bits()) << 16 | u64::from(port),
            Self::V6 { loopback, port } => u64::from(loopback) << 16 | u64::from(port),
        };
        (age & 0x3FFF) << 50 | place
    }

    fn read(number: u64) -> Self {
        let port = u16::try_from(number & 0xFFFF).unwrap_or(0);
        let rest = number >> 16;
        if number >> 49 & 1 == 1 {
            Self::V4(Ipv4Addr::from_bits(u32::try_from(rest & 0xFFFF_FFFF).unwrap_or(0)), port)
        } else {
            Self::V6 { loopback: rest & 1 == 1, port }
        }
    }

    /// Returns the processes that get the connections. A listener on [::] may accept IPv4 too.
    fn holders(self) -> Vec<u32> {
        let v4 = matches!(self, Self::V4(..));
        let own = self.pick(&table(v4));
        if own.is_empty() && v4 { self.pick(&table(false)) } else { own }
    }

    /// Returns the processes of `found` that get the connections: those bound to the address, else those
    /// bound to every address.
    fn pick(self, found: &[(SocketAddr, u32)]) -> Vec<u32> {
        let port = match self {
            Self::V4(_, port) | Self::V6 { port, .. } => port,
        };
        let is_it = |ip: IpAddr| match (self, ip.to_canonical()) {
            (Self::V4(wanted, _), IpAddr::V4(ip)) => ip == wanted,
            (Self::V6 { loopback, .. }, IpAddr::V6(ip)) => {
                !ip.is_unspecified() && ip.is_loopback() == loopback
            }
            _ => false,
        };
        let family = |ip: IpAddr| ip.is_unspecified() && ip.is_ipv4() == matches!(self, Self::V4(..));
        let fits: [&dyn Fn(IpAddr) -> bool; 3] = [&is_it, &family, &|ip| ip.is_unspecified()];
        let of = |fits: &&dyn Fn(IpAddr) -> bool| -> Vec<u32> {
            let here = found.iter().filter(|(local, _)| local.port() == port && fits(local.ip()));
            here.map(|(_, pid)| *pid).collect()
        };
        fits.iter().map(of).find(|pids| !pids.is_empty()).unwrap_or_default()
    }
}

/// Addresses, and the processes that listen there.
type Table = Vec<(SocketAddr, u32)>;

/// Returns every listener of this host in one family, with its process.
///
/// A system that reports no processes is not queried again: wine reports none, and all its processes wait
/// while it builds the table.
fn table(v4: bool) -> Table {
    static LAST: [Mutex<Option<(Instant, Table)>>; 2] = [const { Mutex::new(None) }; 2];
    static NAMES_NOBODY: AtomicBool = AtomicBool::new(false);
    if NAMES_NOBODY.load(Ordering::Relaxed) {
        return Table::new();
    }
    let mut last = LAST[usize::from(v4)].lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, table)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        return table.clone();
    }
    let family = if v4 { AddressFamilyFlags::IPV4 } else { AddressFamilyFlags::IPV6 };
    let listens = |socket: netstat2::SocketInfo| match socket.protocol_socket_info {
        ProtocolSocketInfo::Tcp(tcp) if tcp.state == TcpState::Listen => {
            let pid = *socket.associated_pids.first()?;
            Some((SocketAddr::new(tcp.local_addr, tcp.local_port), pid))
        }
        _ => None,
    };
    let sockets = iterate_sockets_info(family, ProtocolFlags::TCP).into_iter().flatten().flatten();
    let mut table: Table = sockets.filter_map(listens).collect();
    // Process 0 means that the process was not reported.
    let all = table.len();
    table.retain(|(_, pid)| *pid != 0);
    NAMES_NOBODY.fetch_or(all > 0 && table.is_empty(), Ordering::Relaxed);
    *last = Some((Instant::now(), table.clone()));
    table
}

/// Returns the owner of these listeners.
pub(crate) fn owner(inodes: &[u64], run: &Run) -> Owner {
    // Without the service's pid, no process can be called foreign.
    let Some(leader) = run.pid else { return Owner::Unknown };
    let holders: BTreeSet<u32> = inodes.iter().flat_map(|inode| Place::read(*inode).holders()).collect();
    let parents = parents();
    let lines: Vec<(u32, Line)> =
        holders.into_iter().map(|pid| (pid, line(pid, leader, &parents, &created))).collect();
    if lines.iter().any(|(_, line)| *line == Line::Leader) {
        return Owner::Own;
    }
    match lines.iter().find(|(_, line)| *line == Line::Stranger) {
        Some((pid, _)) => Owner::Foreign { pid: *pid, command: command(*pid) },
        None => Owner::Unknown,
    }
}

/// Where the chain of a process's ancestors leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// To the leader of the service.
    Leader,
    /// To a process outside of the service.
    Stranger,
    /// To a process that has ended and may have been the service's: the descendant began after the leader.
    Lost,
}

/// A child keeps its parent's pid even when another process has reused it: a process older than its parent
/// is not its child.
fn line(pid: u32, leader: u32, parents: &BTreeMap<u32, u32>, created: &impl Fn(u32) -> Option<u64>) -> Line {
    let mut seen = BTreeSet::new();
    let mut at = pid;
    while at != leader {
        let (parent, born) = (parents.get(&at).copied(), created(at));
        let living = parent.filter(|parent| {
            parents.contains_key(parent)
                && created(*parent).zip(born).is_none_or(|(older, born)| older <= born)
        });
        match living {
            Some(parent) if parent != 0 && seen.insert(at) => at = parent,
            _ => {
                let later = created(leader).zip(born).is_some_and(|(leader, born)| born >= leader);
                return if later { Line::Lost } else { Line::Stranger };
            }
        }
    }
    Line::Leader
}

/// Returns the parent of every process, by the pid that it remembers.
fn parents() -> BTreeMap<u32, u32> {
    let Ok(mut list) = HPROCESSLIST::CreateToolhelp32Snapshot(co::TH32CS::SNAPPROCESS, None) else {
        return BTreeMap::new();
    };
    let entries = list.iter_processes().map_while(Result::ok);
    entries.map(|entry| (entry.th32ProcessID, entry.th32ParentProcessID)).collect()
}

/// Returns when a process was created, in the system's unit.
fn created(pid: u32) -> Option<u64> {
    let process = HPROCESS::OpenProcess(co::PROCESS::QUERY_LIMITED_INFORMATION, false, pid).ok()?;
    let (created, ..) = process.GetProcessTimes().ok()?;
    Some(u64::from(created.dwHighDateTime) << 32 | u64::from(created.dwLowDateTime))
}

/// Returns the path of the program: Windows does not show the command line to other processes.
fn command(pid: u32) -> String {
    let process = HPROCESS::OpenProcess(co::PROCESS::QUERY_LIMITED_INFORMATION, false, pid);
    let path = process.and_then(|process| process.QueryFullProcessImageName(co::PROCESS_NAME::WIN32));
    let path = path.unwrap_or_else(|_| "of another user".into());
    let characters = path.chars().count();
    // The end of a path says more than its beginning.
    path.chars().skip(characters.saturating_sub(MAX_COMMAND)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn the_closest_listener_gets_the_connection() {
        let picked = |address, locals: &[&str]| -> Vec<u32> {
            let table: Vec<_> = (1..).zip(locals).map(|(pid, local)| (at(local), pid)).collect();
            Place::of(at(address)).pick(&table)
        };
        assert_eq!(picked("127.0.0.1:80", &["0.0.0.0:80", "127.0.0.1:80", "127.0.0.1:81"]), [2]);
        assert_eq!(picked("127.0.0.1:80", &["[::]:80", "0.0.0.0:80"]), [2]);
        assert_eq!(picked("127.0.0.1:80", &["[::]:80", "[::1]:80"]), [1]);
        assert_eq!(picked("[::1]:80", &["0.0.0.0:80", "[::]:80"]), [2]);
        assert_eq!(picked("[::1]:80", &["[fe80::1]:80", "[::1]:80"]), [2]);
        assert_eq!(picked("127.0.0.1:80", &["127.0.0.2:80"]), [] as [u32; 0]);
    }

    #[test]
    fn a_place_is_a_number_and_back() {
        for address in ["127.0.0.1:80", "255.255.255.255:65535", "[::1]:443", "[fe80::7]:1"] {
            let place = Place::of(at(address));
            assert_eq!(Place::read(place.during(0)), place, "{address}");
            assert_eq!(Place::read(place.during(u64::MAX)), place, "{address}");
            assert_ne!(place.during(1), place.during(2), "it is looked at again after a while");
        }
    }

    #[test]
    fn a_line_leads_to_the_leader_to_a_stranger_or_is_lost() {
        // 10 is the parent of 11, and 11 of 12. 13's parent is gone. 20 and its child 21 are older than all
        // others. 30 claims 10 as its parent but is older.
        let parents =
            BTreeMap::from([(4, 0), (10, 4), (11, 10), (12, 11), (13, 99), (20, 98), (21, 20), (30, 10)]);
        let created = |pid| Some(if pid >= 20 { 1 } else { u64::from(pid) });
        let of = |pid| line(pid, 10, &parents, &created);
        assert_eq!([10, 11, 12].map(of), [Line::Leader; 3]);
        assert_eq!(of(13), Line::Lost);
        assert_eq!([20, 21, 30, 4].map(of), [Line::Stranger; 4]);
    }

    #[tokio::test]
    async fn a_listener_is_known_by_who_holds_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let seen = pick(listener.local_addr().expect("bound"), &[]);
        let inodes: Vec<u64> = seen.iter().map(|socket| socket.inode).collect();
        let me = std::process::id();
        let run = |pid| Run { pid, service: "web".into(), incarnation: 1 };
        if std::path::Path::new(r"C:\windows\system32\winecfg.exe").exists() {
            assert_eq!(owner(&inodes, &run(Some(me))), Owner::Unknown, "wine does not say");
            return;
        }
        assert_eq!(owner(&inodes, &run(Some(me))), Owner::Own);
        assert_eq!(owner(&inodes, &run(None)), Owner::Unknown);
        #[expect(clippy::disallowed_methods, reason = "a service that is not this process")]
        let mut other = std::process::Command::new("cmd")
            .args(["/c", "pause"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("starts");
        let found = owner(&inodes, &run(Some(other.id())));
        other.kill().expect("killed");
        other.wait().expect("ours");
        let Owner::Foreign { pid, command } = found else { panic!("{found:?}") };
        assert_eq!(pid, me);
        assert!(command.contains("port_monitor"), "{command}");
    }
}
