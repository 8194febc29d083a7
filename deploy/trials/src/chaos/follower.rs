//! Follows the events with a cursor over every death of the supervisor, as a client of another language would.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::v1;
use proto::v1::supervisor_client::SupervisorClient;
use proto::v1::watch_events_response::Next;

use crate::conformance::socket;

/// How long it waits until it connects again.
const AGAIN: Duration = Duration::from_millis(20);
/// How long the last events may take to come, at the end.
const LAST: Duration = Duration::from_secs(2);

/// What a follower got.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// The numbers of the events, in the order in which they came.
    pub(super) events: Vec<(u64, String)>,
    /// How often it had to connect.
    pub(super) connections: u64,
    /// What must not be.
    pub(super) wrong: Vec<String>,
}

/// Follows from the first event on until `over` is set and nothing more comes. Once, after `stop` events, it does not
/// read for `pause`.
pub(super) fn follow(path: PathBuf, over: &AtomicBool, stop: usize, pause: Duration) -> Followed {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut followed = Followed::default();
    match runtime {
        Ok(runtime) => runtime.block_on(followed.follow(path, over, stop, pause)),
        Err(error) => followed.wrong.push(format!("follower: no runtime: {error}")),
    }
    followed
}

impl Followed {
    async fn follow(&mut self, path: PathBuf, over: &AtomicBool, stop: usize, pause: Duration) {
        loop {
            let ends = over.load(Ordering::Acquire);
            let mut client = SupervisorClient::new(socket(path.clone()));
            let from = self.events.last().map_or(1, |(seq, _)| seq + 1);
            let before = self.events.len();
            if let Ok(feed) = client.watch_events(v1::WatchEventsRequest { from }).await {
                self.connections += 1;
                let mut feed = pin!(feed.into_inner());
                while let Ok(Ok(Some(response))) = tokio::time::timeout(LAST, feed.message()).await {
                    self.take(response.next);
                    if self.events.len() == stop {
                        tokio::time::sleep(pause).await;
                    }
                }
            }
            if ends && self.events.len() == before {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn take(&mut self, next: Option<Next>) {
        match next {
            Some(Next::Event(event)) => {
                if let Some((last, _)) = self.events.last().filter(|(last, _)| *last >= event.seq) {
                    self.wrong.push(format!("follower: event {} came after event {last}", event.seq));
                }
                self.events.push((event.seq, event.message));
            }
            Some(Next::Gap(gap)) => {
                self.wrong.push(format!("follower: events before {} are not there any more", gap.oldest));
            }
            None => self.wrong.push("follower: an answer without an event".into()),
        }
    }

    /// Compares what came with the journal as it was before the end: each event once, in order, and none missing.
    pub(super) fn compare(&self, journal: &[(u64, String)]) -> Vec<String> {
        let mut wrong = self.wrong.clone();
        // The journal is bounded: it may have lost its oldest events since.
        let oldest = journal.first().map_or(0, |(seq, _)| *seq);
        let kept: Vec<_> = self.events.iter().filter(|(seq, _)| *seq >= oldest).collect();
        let mut both = kept.iter().copied().zip(journal);
        if let Some((got, there)) = both.find(|(got, there)| got != there) {
            wrong.push(format!("follower: got {got:?} where the journal has {there:?}"));
        } else if kept.len() < journal.len() {
            let (got, there) = (kept.len(), journal.len());
            wrong.push(format!("follower: got {got} events, and the journal has {there}"));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_another_is_seen() {
        let event = |seq: u64| (seq, format!("message {seq}"));
        let journal: Vec<_> = [1, 2, 5].map(event).into();
        let followed = |events: &[u64]| Followed {
            events: events.iter().copied().map(event).collect(),
            ..Followed::default()
        };
        assert_eq!(followed(&[1, 2, 5]).compare(&journal), [""; 0]);
        assert_eq!(followed(&[1, 2]).compare(&journal), ["follower: got 2 events, and the journal has 3"]);
        assert_eq!(followed(&[1, 5]).compare(&journal).len(), 1, "one is missing in the middle");
        let mut other = followed(&[1, 2, 5]);
        other.events[1].1 = "another with this number".into();
        assert_eq!(other.compare(&journal).len(), 1);
    }
}
