//! Reads the kernel's socket table by `sysctl`. It lists every socket on the host, of all users, with the
//! process that used it last.

mod holder;

use std::io;

use sysctl::{Ctl, CtlValue, Sysctl as _};

use super::Listener;
use super::pcblist::{self, Row};

pub use holder::Holder;

/// Number of attempts: a table that grows while it is read is refused.
const TRIES: usize = 3;

/// Returns every listener of this host.
pub fn listeners() -> Vec<Listener> {
    table().into_iter().map(|row| row.listener).collect()
}

/// Returns the processes that have used these listeners, given by their numbers. The kernel does not know a
/// process that only inherited a listener until it accepts.
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

/// Reports closed sockets; not supported on macOS.
#[derive(Debug)]
pub struct Gone;

impl Gone {
    /// Fails: not supported on this system.
    pub fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never completes on this system.
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
