//! Does this process's own network work at all? Asked when a check failed: a connection to a listener of our own, over
//! loopback, goes the way that a check goes. Where it does not come through, the fault is not the target's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// On a machine that is merely busy it takes less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);
/// Many checks that fail together ask once.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// How the question is answered.
#[derive(Debug, Clone)]
pub(super) enum Canary {
    /// By a connection of our own.
    Loopback,
    /// By a test.
    #[cfg(test)]
    Told(tokio::sync::watch::Receiver<Option<String>>),
}

/// A canary, and when it last came through.
#[derive(Debug)]
pub(super) struct Cage {
    canary: Canary,
    well_at: Option<Instant>,
}

impl Cage {
    pub(super) fn new(canary: Canary) -> Self {
        Self { canary, well_at: None }
    }

    /// Whether it must be asked, or was well just now.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.well_at.is_none_or(|at| now.duration_since(at) >= KNOWN_FOR)
    }

    pub(super) fn canary(&self) -> Canary {
        self.canary.clone()
    }

    pub(super) fn was_well(&mut self, now: Instant) {
        self.well_at = Some(now);
    }
}

impl Canary {
    /// What is wrong with this monitor's own network; `None`: nothing.
    pub(super) async fn trouble(&self) -> Option<String> {
        match self {
            Self::Loopback => loopback().await,
            #[cfg(test)]
            Self::Told(told) => told.borrow().clone(),
        }
    }
}

async fn loopback() -> Option<String> {
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        match timeout(PATIENCE, there_and_back(ip)).await {
            Ok(Ok(())) => return None,
            // A host without this family; one without either has no canary, and can not be told from a sick one.
            Ok(Err(error)) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
            Ok(Err(error)) => return Some(format!("its loopback canary failed: {error}")),
            Err(_) => return Some(format!("its loopback canary did not come through within {PATIENCE:?}")),
        }
    }
    None
}

async fn there_and_back(ip: IpAddr) -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::new(ip, 0)).await?;
    let at = listener.local_addr()?;
    let (there, (back, _)) = tokio::try_join!(TcpStream::connect(at), listener.accept())?;
    // Reset, not closed: nothing of it is to linger in the system's table.
    back.set_zero_linger()?;
    drop(back);
    drop(there);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_comes_through_here() {
        assert_eq!(Canary::Loopback.trouble().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_ask_once() {
        let mut cage = Cage::new(Canary::Loopback);
        let now = Instant::now();
        assert!(cage.is_stale(now));
        cage.was_well(now);
        assert!(!cage.is_stale(now + KNOWN_FOR / 2) && cage.is_stale(now + KNOWN_FOR));
    }
}
