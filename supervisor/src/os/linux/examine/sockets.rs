//! The descriptors of the processes, and their oldest sockets with their peers.

use std::collections::BTreeMap;

use super::{Dir, SMALL, Walk, parse};
use crate::os::examination::{Descriptors, Examination, QueueFacts, SocketFacts};

/// Descriptors of one process, and of all, that are looked at: a process can have a million.
const MOST_OF_ONE: usize = 4096;
const MOST: usize = 16_384;
/// Descriptors that are counted one by one where the kernel does not give their number.
const MOST_COUNTED: usize = 100_000;
/// The oldest sockets that are shown.
const SHOWN: usize = 10;
/// Bytes of a table of sockets that are read.
const TABLE: u64 = 512 * 1024;

/// Looks at what the processes hold open.
pub(super) fn look(walk: &mut Walk<'_>, into: &mut Examination) {
    let mut sockets = BTreeMap::new();
    let mut left = MOST;
    for at in 0..walk.found.len() {
        if walk.is_late() {
            break;
        }
        let (dir, process) = &mut walk.found[at];
        let Ok(folder) = dir.below("fd") else { continue };
        process.descriptors = count(dir, &folder);
        let more = links(&folder, process.pid, &mut sockets, &mut left);
        if more {
            walk.left_out.insert("there are more descriptors than are looked at");
        }
    }
    into.socket_count = sockets.len();
    if sockets.is_empty() || walk.is_late() {
        return;
    }
    let listeners = sereno_sockets::listeners();
    let own = listeners.iter().filter(|listener| sockets.contains_key(&listener.inode));
    into.queues =
        own.map(|one| QueueFacts { address: one.local.to_string(), waiting: one.waiting }).collect();
    // Numbers of sockets only grow, but for a small span on each processor.
    into.sockets = sockets
        .iter()
        .take(SHOWN)
        .map(|(_, (pid, descriptor))| SocketFacts {
            pid: *pid,
            descriptor: *descriptor,
            kind: "socket",
            ..SocketFacts::default()
        })
        .collect();
    let shown: BTreeMap<u64, usize> = sockets.keys().take(SHOWN).copied().zip(0..).collect();
    for table in ["net/tcp", "net/tcp6", "net/unix"] {
        if walk.is_late() {
            return;
        }
        if let Some((dir, _)) = walk.found.first() {
            name(dir, table, &shown, &mut into.sockets);
        }
    }
}

fn count(dir: &Dir, folder: &Dir) -> Option<Descriptors> {
    let limit = dir.read("limits", SMALL).ok().and_then(|text| parse::most_files(&text));
    let size = folder.size().unwrap_or(0);
    if size > 0 {
        return Some(Descriptors { open: size, more: false, limit });
    }
    let counted = folder.numbers().ok()?.take(MOST_COUNTED).count();
    Some(Descriptors { open: u64::try_from(counted).unwrap_or(0), more: counted == MOST_COUNTED, limit })
}

/// Collects the sockets of a process by number, with the lowest descriptor. Returns whether some were left out.
fn links(folder: &Dir, pid: u32, sockets: &mut BTreeMap<u64, (u32, u32)>, left: &mut usize) -> bool {
    let Ok(descriptors) = folder.numbers() else { return false };
    let most = MOST_OF_ONE.min(*left);
    for (at, descriptor) in descriptors.enumerate() {
        if at == most {
            return true;
        }
        *left -= 1;
        if let Some(inode) = folder.link(&descriptor.to_string()).ok().and_then(|link| parse::socket(&link)) {
            sockets.entry(inode).or_insert((pid, descriptor));
        }
    }
    false
}

/// Adds what a table tells about the sockets that are shown.
fn name(dir: &Dir, table: &str, shown: &BTreeMap<u64, usize>, sockets: &mut [SocketFacts]) {
    let Ok(text) = dir.read(table, TABLE) else { return };
    for line in String::from_utf8_lossy(&text).lines() {
        if table == "net/unix" {
            let Some((inode, path)) = parse::unix(line) else { continue };
            if let Some(socket) = shown.get(&inode).and_then(|at| sockets.get_mut(*at)) {
                (socket.kind, socket.local) = ("unix", path.into());
            }
        } else if let Some(tcp) = parse::tcp(line)
            && let Some(socket) = shown.get(&tcp.inode).and_then(|at| sockets.get_mut(*at))
        {
            (socket.kind, socket.local) = (tcp.kind, tcp.local.to_string());
            if tcp.peer.port() != 0 {
                socket.peer = tcp.peer.to_string();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::super::examine;
    use super::*;
    use crate::os::linux::proc;
    use crate::os::{Identity, now};

    #[test]
    fn sockets_have_their_peers_and_queues_their_length() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let _waits = [
            TcpStream::connect(address).expect("it listens"),
            TcpStream::connect(address).expect("it listens"),
        ];
        let me = std::process::id();
        let leader = Identity { pid: me, start: proc::start_time(me).expect("we run") };
        let seen = examine(leader, None, now() + Duration::from_secs(5));
        let queue = seen.queues.iter().find(|queue| queue.address == address.to_string());
        assert_eq!(queue.map(|queue| queue.waiting), Some(2), "{:?}", seen.queues);
        assert!(seen.socket_count >= 3 && seen.sockets.len() <= SHOWN);
        let mut shown = vec![SocketFacts::default()];
        let dir = Dir::of(me).expect("we run");
        let inode = {
            let fd = std::os::fd::AsRawFd::as_raw_fd(&listener);
            parse::socket(&dir.link(&format!("fd/{fd}")).expect("open")).expect("a socket")
        };
        name(&dir, "net/tcp", &BTreeMap::from([(inode, 0)]), &mut shown);
        assert_eq!(
            (shown[0].kind, shown[0].local.as_str()),
            ("tcp, listening", address.to_string().as_str())
        );
        assert_eq!(shown[0].peer, "");
    }

    #[test]
    fn no_more_descriptors_are_looked_at_than_wanted() {
        let dir = Dir::of(std::process::id()).expect("we run");
        let folder = dir.below("fd").expect("ours");
        let (mut sockets, mut left) = (BTreeMap::new(), 2);
        assert!(links(&folder, 1, &mut sockets, &mut left));
        assert_eq!(left, 0);
        assert!(count(&dir, &folder).is_some_and(|files| files.open >= 3 && files.limit != Some(0)));
    }
}
