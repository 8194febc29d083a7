//! Limits how often the same message is logged, for messages that a peer can cause.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The same message is logged again after this time.
const AGAIN: Duration = Duration::from_secs(60);
/// Number of messages that are remembered. All further ones count as one message.
const MOST: usize = 8;

/// Messages that were logged recently.
#[derive(Debug, Default)]
pub(super) struct LogThrottle {
    said: BTreeMap<String, (Instant, u64)>,
}

impl LogThrottle {
    /// Returns how many repeats were left out if the message should be logged now, else `None`.
    pub(super) fn due(&mut self, what: &str, now: Instant) -> Option<u64> {
        if !self.said.contains_key(what) && self.said.len() >= MOST {
            self.said.retain(|_, (at, _)| now.duration_since(*at) < AGAIN);
        }
        let full = self.said.len() >= MOST && !self.said.contains_key(what);
        let key = if full { "" } else { what };
        let (at, times) = self.said.entry(key.to_owned()).or_insert((now, 0));
        if *times > 0 && now.duration_since(*at) < AGAIN {
            *times += 1;
            return None;
        }
        let before = times.saturating_sub(1);
        (*at, *times) = (now, 1);
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_repeat_is_counted_and_said_after_a_while() {
        let mut calm = LogThrottle::default();
        let now = Instant::now();
        assert_eq!(calm.due("a", now), Some(0));
        assert_eq!(calm.due("b", now), Some(0));
        for _ in 0..5 {
            assert_eq!(calm.due("a", now), None);
        }
        assert_eq!(calm.due("a", now + AGAIN), Some(5));
        assert_eq!(calm.due("a", now + AGAIN), None);
    }

    #[tokio::test(start_paused = true)]
    async fn ever_new_things_fill_neither_the_memory_nor_the_journal() {
        let mut calm = LogThrottle::default();
        let now = Instant::now();
        let said = (0..10_000).filter(|n| calm.due(&n.to_string(), now).is_some()).count();
        assert!(said <= MOST + 1 && calm.said.len() <= MOST + 1, "{said}");
        assert_eq!(calm.due("new", now + AGAIN), Some(0));
    }
}
