//! Who is connected, and how many may be: one peer can not take the places of the others, and who only holds a place
//! loses it to who wants to do something.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Connections open at one time.
const PLACES: usize = 256;
/// Those of one peer.
const PLACES_EACH: usize = 64;
/// Calls that one peer may have open, over all its connections.
const CALLS_EACH: usize = 256;

/// What counts as one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    /// A process of this machine.
    Process(u32),
    /// A machine; of IPv6 the part that one customer has.
    Host(IpAddr),
    /// Nobody knows.
    Somebody,
}

impl Party {
    pub(super) fn at(ip: IpAddr) -> Self {
        Self::Host(match ip.to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into())
            }
            other => other,
        })
    }
}

/// Everybody who is connected.
#[derive(Debug, Clone, Default)]
pub(super) struct Crowd(Arc<Mutex<Present>>);

#[derive(Debug, Default)]
struct Present {
    next: u64,
    /// The oldest first.
    places: BTreeMap<u64, (Party, Weak<Place>)>,
    calls: BTreeMap<Party, usize>,
}

/// One connection's place.
pub(super) struct Place {
    number: u64,
    party: Party,
    /// It has shown that it may do something.
    trusted: AtomicBool,
    must_go: AtomicBool,
    waker: AtomicWaker,
    crowd: Crowd,
}

impl Crowd {
    fn present(&self) -> MutexGuard<'_, Present> {
        self.0.lock().expect("nobody panics with it")
    }

    /// A place, if need be that of somebody who has done nothing yet; `None`: there is none.
    pub(super) fn admit(&self, party: Party) -> Option<Arc<Place>> {
        let mut present = self.present();
        let own = present.places.values().filter(|(of, _)| *of == party).count();
        let (full, full_for_it) = (present.places.len() >= PLACES, own >= PLACES_EACH);
        if full || full_for_it {
            let idle = |(of, place): &(Party, Weak<Place>)| {
                (!full_for_it || *of == party)
                    && place.upgrade().is_some_and(|place| !place.trusted.load(Ordering::Relaxed))
            };
            let (&oldest, _) = present.places.iter().find(|(_, place)| idle(place))?;
            if let Some((_, place)) = present.places.remove(&oldest)
                && let Some(place) = place.upgrade()
            {
                place.must_go.store(true, Ordering::Release);
                place.waker.wake();
            }
        }
        present.next += 1;
        let place = Arc::new(Place {
            number: present.next,
            party,
            trusted: AtomicBool::new(false),
            must_go: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            crowd: self.clone(),
        });
        present.places.insert(place.number, (party, Arc::downgrade(&place)));
        Some(place)
    }
}

impl Place {
    /// It may do something here: it is not sent away for others any more.
    pub(super) fn trust(&self) {
        self.trusted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Relaxed)
    }

    /// Whose it is.
    pub(super) fn party(&self) -> Party {
        self.party
    }

    /// Ready when the place was given to somebody else.
    pub(super) fn poll_must_go(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_trusted() {
            self.waker.register(cx.waker());
        }
        if self.must_go.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The connection is closed.
    pub(super) fn leave(&self) {
        self.crowd.present().places.remove(&self.number);
    }

    /// One more call, until it is dropped; `None`: there are too many.
    pub(super) fn call(&self) -> Option<Call> {
        let mut present = self.crowd.present();
        let calls = present.calls.entry(self.party).or_default();
        if *calls >= CALLS_EACH {
            return None;
        }
        *calls += 1;
        Some(Call { party: self.party, crowd: self.crowd.clone() })
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("number", &self.number)
            .field("party", &self.party)
            .finish_non_exhaustive()
    }
}

/// One call that is open.
#[derive(Debug)]
pub(super) struct Call {
    party: Party,
    crowd: Crowd,
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut present = self.crowd.present();
        if let Some(calls) = present.calls.get_mut(&self.party) {
            *calls -= 1;
            if *calls == 0 {
                present.calls.remove(&self.party);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn must_go(place: &Place) -> bool {
        place.poll_must_go(&Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[test]
    fn one_peer_has_its_places_and_no_more_and_the_idle_make_room() {
        let crowd = Crowd::default();
        let flood: Vec<_> = (0..PLACES_EACH).map(|_| crowd.admit(Party::Process(1)).expect("room")).collect();
        flood[0].trust();
        let other = crowd.admit(Party::Process(2)).expect("room for others");
        let more = crowd.admit(Party::Process(1)).expect("the oldest idle one goes");
        assert!(must_go(&flood[1]) && !must_go(&flood[0]) && !must_go(&other), "the trusted stay");
        for place in &flood {
            place.trust();
        }
        more.trust();
        assert!(crowd.admit(Party::Process(1)).is_none(), "all of them do something");
        more.leave();
        assert!(crowd.admit(Party::Process(1)).is_some());
    }

    #[test]
    fn many_peers_that_do_nothing_keep_nobody_out() {
        let crowd = Crowd::default();
        let idle: Vec<_> = (0..PLACES)
            .map(|n| crowd.admit(Party::Process(n.try_into().expect("few"))).expect("room"))
            .collect();
        assert!(crowd.admit(Party::Somebody).is_some());
        assert!(must_go(&idle[0]) && !must_go(&idle[1]));
    }

    #[test]
    fn open_calls_are_counted_over_all_connections_of_a_peer() {
        let crowd = Crowd::default();
        let place = |party| crowd.admit(party).expect("room");
        let (a, b, c) = (place(Party::Somebody), place(Party::Somebody), place(Party::Process(1)));
        let mut calls: Vec<_> =
            (0..CALLS_EACH).map(|n| if n % 2 == 0 { &a } else { &b }.call().expect("few")).collect();
        assert!(a.call().is_none() && b.call().is_none() && c.call().is_some());
        calls.pop();
        assert!(b.call().is_some());
        drop(calls);
        assert!(crowd.present().calls.is_empty());
    }

    #[test]
    fn a_peer_is_a_customer_not_one_of_its_many_addresses() {
        let party = |text: &str| Party::at(text.parse().expect("an address"));
        assert_eq!(party("2001:db8::1"), party("2001:db8::ffff:1"));
        assert_ne!(party("2001:db8::1"), party("2001:db8:0:1::1"));
        assert_eq!(party("::ffff:10.0.0.1"), party("10.0.0.1"));
        assert_ne!(party("10.0.0.1"), party("10.0.0.2"));
    }
}
