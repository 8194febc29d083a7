//! Limits the rate of calls of one peer: a burst, then a number of calls per second. Pure except for its lock.
//!
//! For TCP endpoints only. A client of a home's local socket owns the processes behind it: a limit would
//! slow down a shell loop, and stop no attacker that could not do worse with `kill`.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::connections::PeerKey;

/// Number of peers that are tracked at a time. All further peers share one allowance.
const MOST: usize = 512;

/// A monitor whose link was cut may have a report and a thousand restart requests when the link returns.
/// Unauthenticated peers are limited by address. Authenticated peers behind the same address have their own
/// allowance, so they are not slowed down.
pub(super) const CALLS: Rates = Rates::new((3000, 200), (20, 1));
/// New connections. Nobody is authenticated yet, so all are limited by address; a TLS handshake takes up to a
/// millisecond of a processor.
pub(super) const CONNECTIONS: Rates = Rates::new((256, 64), (256, 64));

/// Burst size, and calls per second after it.
#[derive(Debug, Clone, Copy)]
struct Rate {
    at_once: u32,
    each_second: u32,
}

/// The rates of authenticated peers and of strangers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    known: Rate,
    strangers: Rate,
}

impl Rates {
    /// Takes the burst and the rate per second of authenticated peers, and of strangers.
    pub(super) const fn new(known: (u32, u32), strangers: (u32, u32)) -> Self {
        Self {
            known: Rate { at_once: known.0, each_second: known.1 },
            strangers: Rate { at_once: strangers.0, each_second: strangers.1 },
        }
    }
}

/// Key by which calls are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RateKey {
    /// A client with this token.
    Token([u8; 32]),
    /// A client with a certificate of this name.
    Certificate(String),
    /// An unauthenticated peer, by its address.
    Stranger(PeerKey),
}

/// A call that exceeds the rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooFast {
    /// The limit that applies.
    at_once: u32,
    each_second: u32,
    /// Time until the next call is allowed.
    pub(super) wait: Duration,
}

impl TooFast {
    /// Returns a message about connections, with the limit.
    pub(super) fn of_connections(&self) -> String {
        let Self { at_once, each_second, .. } = self;
        format!("opens too many connections (limit: {at_once} at once, then {each_second} a second)")
    }

    /// Returns a message with the limit and when to try again.
    pub(super) fn words(&self) -> String {
        let Self { at_once, each_second, wait } = self;
        let again = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let wrong = if *each_second == CALLS.strangers.each_second { " that are refused" } else { "" };
        format!(
            "too many calls{wrong} (limit: {at_once} at once, then {each_second} a second): try again in {again} s"
        )
    }
}

/// Rate limits of all peers.
#[derive(Debug)]
pub(super) struct RateLimiter {
    rates: Rates,
    asked: Mutex<Asked>,
}

/// For each peer, the time at which its allowance is full again.
#[derive(Debug, Default)]
struct Asked(BTreeMap<Option<RateKey>, Instant>);

impl RateLimiter {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates, asked: Mutex::default() }
    }

    /// Takes one call from the allowance.
    pub(super) fn take(&self, asker: RateKey, now: Instant) -> Result<(), TooFast> {
        self.take_many(asker, 1, now)
    }

    /// Takes several units from the allowance; more than fit into it are taken once it is full.
    pub(super) fn take_many(&self, asker: RateKey, units: usize, now: Instant) -> Result<(), TooFast> {
        self.asked.lock().expect("nobody panics with it").take(self.rates, asker, units, now)
    }
}

impl Asked {
    fn take(&mut self, rates: Rates, asker: RateKey, units: usize, now: Instant) -> Result<(), TooFast> {
        let Rate { at_once, each_second } =
            if matches!(asker, RateKey::Stranger(_)) { rates.strangers } else { rates.known };
        let units = u32::try_from(units).unwrap_or(at_once).min(at_once);
        let mut key = Some(asker);
        if !self.0.contains_key(&key) && self.0.len() >= MOST {
            self.0.retain(|_, full| *full > now);
            // A peer with ever new addresses can not use up memory or displace known peers: tokens and
            // certificates are few.
            if self.0.len() >= MOST && matches!(key, Some(RateKey::Stranger(_))) {
                key = None;
            }
        }
        let one = Duration::from_secs(1) / each_second;
        let full = self.0.entry(key).or_insert(now);
        let after = (*full).max(now) + one * units;
        let latest = now + one * at_once;
        if after > latest {
            return Err(TooFast { at_once, each_second, wait: after - latest });
        }
        *full = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u32) -> RateKey {
        RateKey::Stranger(PeerKey::Host(std::net::Ipv4Addr::from(n).into()))
    }

    fn granted(asked: &mut Asked, of: &RateKey, tries: usize, now: Instant) -> usize {
        (0..tries).filter(|_| asked.take(CALLS, of.clone(), 1, now).is_ok()).count()
    }

    #[test]
    fn a_thousand_flips_fit_and_a_flood_does_not() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        let monitor = RateKey::Token([1; 32]);
        assert_eq!(granted(&mut asked, &monitor, 2001, now), 2001);
        assert_eq!(granted(&mut asked, &monitor, 100_000, now), 999);
        let refused = asked.take(CALLS, monitor.clone(), 1, now).expect_err("a flood");
        assert_eq!(refused.wait, Duration::from_millis(5));
        assert_eq!(
            refused.words(),
            "too many calls (limit: 3000 at once, then 200 a second): try again in 1 s"
        );
        let later = now + Duration::from_secs(1);
        assert_eq!(granted(&mut asked, &monitor, 1000, later), 200);
        assert_eq!(granted(&mut asked, &RateKey::Certificate("me".into()), 1000, now), 1000, "others");
        let rested = now + Duration::from_secs(86400);
        assert_eq!(granted(&mut asked, &monitor, 100_000, rested), 3000, "no more than that is saved up");
    }

    #[test]
    fn who_guesses_is_slowed_down_and_holds_up_nobody_who_knows() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        assert_eq!(granted(&mut asked, &host(1), 1000, now), 20);
        assert!(
            asked.take(CALLS, host(1), 1, now).expect_err("too many").words().contains("refused (limit: 20")
        );
        assert_eq!(granted(&mut asked, &host(1), 10, now + Duration::from_secs(3)), 3);
        assert_eq!(granted(&mut asked, &RateKey::Token([1; 32]), 100, now), 100, "from the same address");
    }

    #[test]
    fn ever_new_addresses_fill_no_memory_and_shut_out_nobody_known() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        for n in 0..10_000 {
            let _ = asked.take(CALLS, host(n), 1, now);
        }
        assert!(asked.0.len() <= MOST + 1, "{}", asked.0.len());
        assert!(asked.take(CALLS, host(20_000), 1, now).is_err(), "they share what is left");
        assert!(asked.take(CALLS, RateKey::Token([1; 32]), 1, now).is_ok());
        let _ = asked.take(CALLS, host(20_001), 1, now + Duration::from_secs(60));
        assert_eq!(asked.0.len(), 1, "who has rested is forgotten");
    }
}
