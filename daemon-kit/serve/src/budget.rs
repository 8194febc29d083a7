//! Limits what is read from a TCP connection. HTTP/2 lets a peer send small frames (PING, SETTINGS, frames of unknown
//! types) without end, which cost the reader fifty times what they cost the sender, and no call is made that could be
//! counted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep};

use super::connections::Slot;
use super::rate::{RateKey, RateLimiter, Rates};

/// Most bytes that are read from a connection before a call on it is granted. No more is read then, and the connection
/// is closed when its time for a first call is over.
const BEFORE_A_CALL: usize = 64 * 1024;
/// What is read from each connection in any case: the head of an HTTP/2 connection and of its first call, with a token,
/// is half as long. Peers that flood do not keep others at their address out.
const FREE: usize = 1024;
/// The cost of a read besides its bytes: a peer may send each byte by itself.
const OF_A_READ: usize = 256;
/// The unit in which reading is paid for, in bytes.
const UNIT: usize = 1024;

/// The rates of reading, in [`UNIT`]s. A monitor may send a report of 4 MiB each 8 seconds, and several at once after its
/// link was cut. Small frames at this rate, 60,000 a second, take a twentieth of a processor.
pub(super) const READING: Rates = Rates::new((16 * 1024, 512), (256, 64));

/// What may be read from a connection.
#[derive(Debug)]
pub(super) struct ReadBudget {
    limiter: Arc<RateLimiter>,
    /// Bytes read before a call was granted, and the cost of reading them.
    before: usize,
    /// The cost of what was read and not paid for yet.
    owed: usize,
    pause: Option<Pin<Box<Sleep>>>,
}

impl ReadBudget {
    pub(super) fn new(limiter: Arc<RateLimiter>) -> Self {
        Self { limiter, before: 0, owed: 0, pause: None }
    }

    /// Ready when more may be read. The task must also be woken when a call is granted.
    pub(super) fn poll(&mut self, slot: &Slot, cx: &mut Context<'_>) -> Poll<()> {
        let key = match slot.trusted_as() {
            Some(key) => key.clone(),
            None if self.before >= BEFORE_A_CALL => return Poll::Pending,
            None if self.before <= FREE => return Poll::Ready(()),
            None => RateKey::Stranger(slot.peer_key()),
        };
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            let units = self.owed / UNIT;
            if units == 0 {
                return Poll::Ready(());
            }
            match self.limiter.take_many(key.clone(), units, Instant::now()) {
                Ok(()) => self.owed %= UNIT,
                Err(too_fast) => self.pause = Some(Box::pin(sleep(too_fast.wait))),
            }
        }
    }

    /// Counts what was read. What is read before the first call is paid for by the address.
    pub(super) fn count(&mut self, bytes: usize, slot: &Slot) {
        let cost = bytes + OF_A_READ;
        self.owed += cost;
        if slot.trusted_as().is_none() {
            self.before += cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use super::super::connections::{ConnectionLimiter, PeerKey};
    use super::*;

    fn is_ready(budget: &mut ReadBudget, slot: &Slot) -> bool {
        budget.poll(slot, &mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn slot() -> Arc<Slot> {
        ConnectionLimiter::default().admit(PeerKey::Process(1)).expect("room")
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_has_64_kib_and_a_caller_has_a_rate() {
        let limiter = Arc::new(RateLimiter::new(READING));
        let (mut budget, slot) = (ReadBudget::new(Arc::clone(&limiter)), slot());
        let mut reads = 0;
        while is_ready(&mut budget, &slot) {
            budget.count(8 * 1024, &slot);
            reads += 1;
        }
        assert_eq!(reads, 8);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!is_ready(&mut budget, &slot), "time does not help");
        slot.trust(RateKey::Token([1; 32]));
        // A report of 4 MiB, as it is read from a socket.
        let report = |budget: &mut ReadBudget| {
            for _ in 0..512 {
                assert!(is_ready(budget, &slot), "it has to wait");
                budget.count(8 * 1024, &slot);
            }
        };
        report(&mut budget);
        report(&mut budget);
        while is_ready(&mut budget, &slot) {
            budget.count(9, &slot);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut reads = 0;
        while is_ready(&mut budget, &slot) {
            budget.count(9, &slot);
            reads += 1;
        }
        assert!((1800..2200).contains(&reads), "bytes one by one: {reads} reads in a second");
    }

    #[tokio::test(start_paused = true)]
    async fn connections_of_one_address_share_what_strangers_may_and_each_has_its_first_kib() {
        let limiter = Arc::new(RateLimiter::new(READING));
        let read = || {
            let (mut budget, slot) = (ReadBudget::new(Arc::clone(&limiter)), slot());
            let mut reads = 0;
            while is_ready(&mut budget, &slot) {
                budget.count(768, &slot);
                reads += 1;
            }
            reads
        };
        let all: Vec<usize> = (0..20).map(|_| read()).collect();
        assert_eq!((all[0], all[19]), (64, 2), "{all:?}");
    }
}
