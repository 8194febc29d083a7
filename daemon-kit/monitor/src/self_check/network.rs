//! Checks whether this process's own network works. Used when a check failed: a loopback connection to a
//! listener of our own takes the same path as a check. If it fails, the fault is not the target's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use proto::Endpoint;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::dial::dial;

/// On a busy machine the connection still takes less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);
/// A good result is reused for this time, so that checks that fail together probe once.
const KNOWN_FOR: Duration = Duration::from_secs(1);
/// Number of attempts to reach a supervisor on another host, and the pause between them.
const TURNS: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(150);

/// How the network is probed.
#[derive(Debug, Clone)]
pub(crate) enum NetworkProbe {
    /// By a loopback connection of our own.
    Loopback,
    /// By a connection to a supervisor on another host. Its services run there too, so the way there is
    /// part of every check.
    Supervisor(Endpoint),
    /// By a test.
    #[cfg(test)]
    Told(tokio::sync::watch::Receiver<Option<String>>),
}

/// A network probe with the time of its last success.
#[derive(Debug)]
pub(crate) struct NetworkCheck {
    canary: NetworkProbe,
    well_at: Option<Instant>,
}

impl NetworkCheck {
    pub(crate) fn new(canary: NetworkProbe) -> Self {
        Self { canary, well_at: None }
    }

    /// Whether the network must be probed again, because the last success is too old.
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        self.well_at.is_none_or(|at| now.duration_since(at) >= KNOWN_FOR)
    }

    pub(crate) fn canary(&self) -> NetworkProbe {
        self.canary.clone()
    }

    pub(crate) fn was_well(&mut self, now: Instant) {
        // A success over a real network a second ago says nothing about now.
        if !matches!(self.canary, NetworkProbe::Supervisor(_)) {
            self.well_at = Some(now);
        }
    }
}

impl NetworkProbe {
    /// Returns the probe for a monitor of this supervisor.
    pub(crate) fn of(supervisor: &Endpoint) -> Self {
        match supervisor {
            Endpoint::Https { .. } => Self::Supervisor(supervisor.clone()),
            _ => Self::Loopback,
        }
    }

    /// Returns what is wrong with this monitor's own network, or `None`.
    pub(crate) async fn trouble(&self) -> Option<String> {
        match self {
            Self::Loopback => loopback().await,
            Self::Supervisor(endpoint) => match loopback().await {
                None => elsewhere(endpoint).await,
                trouble => trouble,
            },
            #[cfg(test)]
            Self::Told(told) => told.borrow().clone(),
        }
    }
}

/// Probes the way to a supervisor on another host. "Connection refused" also proves that the host is
/// reachable. A single success proves little on an unstable line, so several attempts must succeed in a row.
async fn elsewhere(endpoint: &Endpoint) -> Option<String> {
    for turn in 0..TURNS {
        if turn > 0 {
            sleep(BETWEEN).await;
        }
        if let Some(trouble) = once(endpoint).await {
            return Some(trouble);
        }
    }
    None
}

async fn once(endpoint: &Endpoint) -> Option<String> {
    let Endpoint::Https { host, port } = endpoint else { return None };
    match timeout(PATIENCE, TcpStream::connect((&**host, *port))).await {
        Ok(Ok(stream)) => {
            let _ = stream.set_zero_linger();
            None
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => None,
        Ok(Err(error)) => Some(format!("the way to {endpoint} is broken: {error}")),
        Err(_) => Some(format!("the way to {endpoint} is broken: not there within {PATIENCE:?}")),
    }
}

async fn loopback() -> Option<String> {
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        match timeout(PATIENCE, there_and_back(ip)).await {
            Ok(Ok(true)) => return None,
            // The host lacks this address family. A host that lacks both can not be told from a host with a
            // broken network.
            Ok(Ok(false)) => {}
            Ok(Err(error)) => return Some(format!("its loopback canary failed: {error}")),
            Err(_) => return Some(format!("its loopback canary did not come through within {PATIENCE:?}")),
        }
    }
    None
}

/// Returns `false` if the host has no such address.
async fn there_and_back(ip: IpAddr) -> io::Result<bool> {
    let listener = match TcpListener::bind(SocketAddr::new(ip, 0)).await {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => return Ok(false),
        bound => bound?,
    };
    let at = listener.local_addr()?;
    let (there, (back, _)) = tokio::try_join!(dial(at), listener.accept())?;
    // Resets instead of closing, so that no TIME-WAIT entry stays in the system's table.
    back.set_zero_linger()?;
    drop(back);
    drop(there);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_comes_through_here() {
        assert_eq!(NetworkProbe::Loopback.trouble().await, None);
    }

    #[tokio::test]
    async fn a_supervisor_elsewhere_must_be_within_reach() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let canary = NetworkProbe::of(&Endpoint::Https { host: "127.0.0.1".into(), port });
        assert_eq!(canary.trouble().await, None);
        drop(listener);
        assert_eq!(canary.trouble().await, None, "the machine is there, whether or not the supervisor is");
        let nowhere = NetworkProbe::of(&Endpoint::Https { host: "name.invalid".into(), port });
        let trouble = nowhere.trouble().await.expect("no such machine");
        assert!(trouble.starts_with("the way to https://name.invalid:"), "{trouble}");
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_ask_once() {
        let mut network = NetworkCheck::new(NetworkProbe::Loopback);
        let now = Instant::now();
        assert!(network.is_stale(now));
        network.was_well(now);
        assert!(!network.is_stale(now + KNOWN_FOR / 2) && network.is_stale(now + KNOWN_FOR));
    }
}
