//! Asks the kernel by `sysctl`, which tells of every socket on the host, also of other users, and who used it last.

mod holder;

use std::io;

use sysctl::{Ctl, CtlValue, Sysctl as _};

use super::Listener;
use super::pcblist::{self, Row};

pub use holder::Holder;

/// The table grows while it is read, and is refused then.
const TRIES: usize = 3;

/// Every listener of this host.
pub fn listeners() -> Vec<Listener> {
    table().into_iter().map(|row| row.listener).collect()
}

/// Who has used these listeners, as far as it still lives; they are named by their numbers. A process that only inherited
/// one is not known to the kernel until it accepts.
pub fn users(inodes: &[u64]) -> Vec<u32> {
    let used = table().into_iter().filter(|row| inodes.contains(&row.listener.inode));
    let mut pids: Vec<u32> = used.flat_map(|row| row.pids).filter(|pid| *pid != 0).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

fn table() -> Vec<Row> {
    let Ok(ctl) = Ctl::new("net.inet.tcp.pcblist_n") else { return Vec::new() };
    (0..TRIES).find_map(|_| bytes(&ctl)).map(|bytes| pcblist::read(&bytes)).unwrap_or_default()
}

fn bytes(ctl: &Ctl) -> Option<Vec<u8>> {
    match ctl.value() {
        Ok(CtlValue::Struct(bytes) | CtlValue::Node(bytes)) => Some(bytes),
        _ => None,
    }
}

/// Hears of sockets that are closed.
#[derive(Debug)]
pub struct Gone;

impl Gone {
    /// Not on this system.
    pub fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never.
    pub async fn ports(&self) -> io::Result<Vec<u16>> {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_of_ours_is_there_and_ours() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(address).expect("a port");
            let local = listener.local_addr().expect("bound");
            let found = listeners().into_iter().find(|one| one.local == local).expect("it listens");
            assert_eq!(found.user, rustix::process::getuid().as_raw());
            assert_eq!(users(&[found.inode]), [std::process::id()]);
        }
    }
}
