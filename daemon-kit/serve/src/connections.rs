//! Limits connections and open calls. Each peer has a share, so that it can not use up what others need.
//! When all slots are taken, a peer without a granted call loses its slot to a new one.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::rate::RateKey;

/// Maximum number of open connections.
const SLOTS: usize = 256;
/// Maximum number of connections of one peer.
const SLOTS_EACH: usize = 64;
/// Maximum number of open calls of one peer, over all its connections.
const CALLS_EACH: usize = 256;
/// Maximum number of refused calls on a connection without a granted one.
const REFUSALS: u32 = 32;

/// What counts as one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PeerKey {
    /// A process of this machine.
    Process(u32),
    /// A host; for IPv6 the prefix that one customer gets.
    Host(IpAddr),
    /// The system does not tell the process.
    Somebody,
}

impl PeerKey {
    pub(super) fn at(ip: IpAddr) -> Self {
        Self::Host(match ip.to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into())
            }
            other => other,
        })
    }
}

/// Limits the connections of a group of endpoints.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionLimiter(Arc<Mutex<Present>>);

#[derive(Debug, Default)]
struct Present {
    next: u64,
    /// Sorted by age, the oldest first.
    slots: BTreeMap<u64, (PeerKey, Weak<Slot>)>,
    calls: BTreeMap<PeerKey, usize>,
}

/// The slot of one connection.
pub(super) struct Slot {
    number: u64,
    peer_key: PeerKey,
    /// The caller of the connection's first granted call.
    trusted: OnceLock<RateKey>,
    /// Calls that were refused before one was granted.
    refusals: AtomicU32,
    must_go: AtomicBool,
    waker: AtomicWaker,
    limiter: ConnectionLimiter,
}

impl ConnectionLimiter {
    fn present(&self) -> MutexGuard<'_, Present> {
        self.0.lock().expect("nobody panics with it")
    }

    /// Gives a slot, if needed that of a connection without a granted call. Returns `None` if all are in use.
    pub(super) fn admit(&self, peer_key: PeerKey) -> Option<Arc<Slot>> {
        let mut present = self.present();
        let own = present.slots.values().filter(|(of, _)| *of == peer_key).count();
        let (full, full_for_it) = (present.slots.len() >= SLOTS, own >= SLOTS_EACH);
        if full || full_for_it {
            let idle = |(of, slot): &(PeerKey, Weak<Slot>)| {
                (!full_for_it || *of == peer_key) && slot.upgrade().is_some_and(|slot| !slot.is_trusted())
            };
            let (&oldest, _) = present.slots.iter().find(|(_, slot)| idle(slot))?;
            if let Some((_, slot)) = present.slots.remove(&oldest)
                && let Some(slot) = slot.upgrade()
            {
                slot.must_go.store(true, Ordering::Release);
                slot.waker.wake();
            }
        }
        present.next += 1;
        let slot = Arc::new(Slot {
            number: present.next,
            peer_key,
            trusted: OnceLock::new(),
            refusals: AtomicU32::new(0),
            must_go: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            limiter: self.clone(),
        });
        present.slots.insert(slot.number, (peer_key, Arc::downgrade(&slot)));
        Some(slot)
    }
}

impl Slot {
    /// Marks that a call was granted: the connection keeps its slot from now on, and reading from it goes on.
    pub(super) fn trust(&self, caller: RateKey) {
        if self.trusted.set(caller).is_ok() {
            self.waker.wake();
        }
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.trusted.get().is_some()
    }

    /// Returns the caller of the first granted call.
    pub(super) fn trusted_as(&self) -> Option<&RateKey> {
        self.trusted.get()
    }

    /// Counts a refused call. A connection with many of them and no other call must close.
    pub(super) fn refuse(&self) {
        if self.refusals.fetch_add(1, Ordering::Relaxed) + 1 >= REFUSALS && !self.is_trusted() {
            self.must_go.store(true, Ordering::Release);
            self.waker.wake();
        }
    }

    /// Returns the key of the peer.
    pub(super) fn peer_key(&self) -> PeerKey {
        self.peer_key
    }

    /// Ready when the slot was given to another connection.
    pub(super) fn poll_must_go(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_trusted() {
            self.waker.register(cx.waker());
        }
        if self.must_go.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Frees the slot when the connection closes.
    pub(super) fn leave(&self) {
        self.limiter.present().slots.remove(&self.number);
    }

    /// Counts one more open call until the result is dropped. Returns `None` at the limit.
    pub(super) fn call(&self) -> Option<Call> {
        let mut present = self.limiter.present();
        let calls = present.calls.entry(self.peer_key).or_default();
        if *calls >= CALLS_EACH {
            return None;
        }
        *calls += 1;
        Some(Call { peer_key: self.peer_key, limiter: self.limiter.clone() })
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("number", &self.number)
            .field("peer_key", &self.peer_key)
            .finish_non_exhaustive()
    }
}

/// An open call; counted until it is dropped.
#[derive(Debug)]
pub(super) struct Call {
    peer_key: PeerKey,
    limiter: ConnectionLimiter,
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut present = self.limiter.present();
        if let Some(calls) = present.calls.get_mut(&self.peer_key) {
            *calls -= 1;
            if *calls == 0 {
                present.calls.remove(&self.peer_key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn must_go(slot: &Slot) -> bool {
        slot.poll_must_go(&Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[test]
    fn one_peer_has_its_places_and_no_more_and_the_idle_make_room() {
        let limiter = ConnectionLimiter::default();
        let flood: Vec<_> =
            (0..SLOTS_EACH).map(|_| limiter.admit(PeerKey::Process(1)).expect("room")).collect();
        flood[0].trust(RateKey::Token([0; 32]));
        let other = limiter.admit(PeerKey::Process(2)).expect("room for others");
        let more = limiter.admit(PeerKey::Process(1)).expect("the oldest idle one goes");
        assert!(must_go(&flood[1]) && !must_go(&flood[0]) && !must_go(&other), "the trusted stay");
        for slot in &flood {
            slot.trust(RateKey::Token([0; 32]));
        }
        more.trust(RateKey::Token([0; 32]));
        assert!(limiter.admit(PeerKey::Process(1)).is_none(), "all of them do something");
        more.leave();
        assert!(limiter.admit(PeerKey::Process(1)).is_some());
    }

    #[test]
    fn many_peers_that_do_nothing_keep_nobody_out() {
        let limiter = ConnectionLimiter::default();
        let idle: Vec<_> = (0..SLOTS)
            .map(|n| limiter.admit(PeerKey::Process(n.try_into().expect("few"))).expect("room"))
            .collect();
        assert!(limiter.admit(PeerKey::Somebody).is_some());
        assert!(must_go(&idle[0]) && !must_go(&idle[1]));
    }

    #[test]
    fn open_calls_are_counted_over_all_connections_of_a_peer() {
        let limiter = ConnectionLimiter::default();
        let slot = |peer_key| limiter.admit(peer_key).expect("room");
        let (a, b, c) = (slot(PeerKey::Somebody), slot(PeerKey::Somebody), slot(PeerKey::Process(1)));
        let mut calls: Vec<_> =
            (0..CALLS_EACH).map(|n| if n % 2 == 0 { &a } else { &b }.call().expect("few")).collect();
        assert!(a.call().is_none() && b.call().is_none() && c.call().is_some());
        calls.pop();
        assert!(b.call().is_some());
        drop(calls);
        assert!(limiter.present().calls.is_empty());
    }

    #[test]
    fn a_peer_is_a_customer_not_one_of_its_many_addresses() {
        let peer_key = |text: &str| PeerKey::at(text.parse().expect("an address"));
        assert_eq!(peer_key("2001:db8::1"), peer_key("2001:db8::ffff:1"));
        assert_ne!(peer_key("2001:db8::1"), peer_key("2001:db8:0:1::1"));
        assert_eq!(peer_key("::ffff:10.0.0.1"), peer_key("10.0.0.1"));
        assert_ne!(peer_key("10.0.0.1"), peer_key("10.0.0.2"));
    }
}
