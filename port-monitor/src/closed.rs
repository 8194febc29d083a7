//! Receives the kernel's notifications of closed sockets, where it sends them, so that a check can run
//! before it is due. The whole monitor uses one socket; without it checks run when they are due.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::OnceLock;

use sereno_sockets::Gone;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

/// Number of closed ports that are buffered for a check.
const REMEMBERED: usize = 64;

/// Stands for any port: some notifications were missed.
const ANY: u16 = 0;

/// Forwards the notifications to every check.
#[derive(Debug, Default)]
pub(crate) struct Closed(OnceLock<Option<Sender<u16>>>);

/// The receiving end of one check.
#[derive(Debug)]
pub(crate) struct Hears(Option<Receiver<u16>>);

impl Closed {
    /// Subscribes to notifications from now on.
    pub(crate) fn hear(&self) -> Hears {
        Hears(self.0.get_or_init(begin).as_ref().map(Sender::subscribe))
    }
}

fn begin() -> Option<Sender<u16>> {
    let gone = Gone::open().ok()?;
    let (sender, _) = channel(REMEMBERED);
    let tell = sender.clone();
    tokio::spawn(async move {
        // An error ends the loop: then checks run when they are due.
        while let Ok(ports) = gone.ports().await {
            for port in if ports.is_empty() { vec![ANY] } else { ports } {
                // Fails only if there is no target at present.
                let _ = tell.send(port);
            }
        }
    });
    Some(sender)
}

impl Hears {
    /// Completes when a listener on one of these ports was closed, or may have been.
    pub(crate) async fn any_of(&mut self, addresses: &BTreeSet<SocketAddr>) {
        while let Some(receiver) = &mut self.0 {
            match receiver.recv().await {
                Ok(ANY) | Err(RecvError::Lagged(_)) => return,
                Ok(port) if addresses.iter().any(|address| address.port() == port) => return,
                Ok(_) => {}
                Err(RecvError::Closed) => self.0 = None,
            }
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_its_own_ports_are_news_and_a_gap_is() {
        let (sender, receiver) = channel(2);
        let mut hears = Hears(Some(receiver));
        let addresses = BTreeSet::from(["127.0.0.1:80".parse().expect("an address")]);
        let soon = Duration::from_secs(1);
        sender.send(81).expect("heard");
        assert!(timeout(soon, hears.any_of(&addresses)).await.is_err(), "another port");
        sender.send(80).expect("heard");
        timeout(soon, hears.any_of(&addresses)).await.expect("its own");
        for port in [1, 2, 3] {
            sender.send(port).expect("heard");
        }
        timeout(soon, hears.any_of(&addresses)).await.expect("one was missed");
        sender.send(ANY).expect("heard");
        // Earlier missed notifications are reported first.
        for _ in 0..3 {
            timeout(soon, hears.any_of(&addresses)).await.ok();
        }
        drop(sender);
        assert!(timeout(soon, hears.any_of(&addresses)).await.is_err(), "nobody tells any more");
    }
}
