//! `why`: the chain of causes behind the newest event of a service, oldest first.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use super::read::{Backwards, find};
use super::{Detail, Event, Kind};

/// Returns the chain that ends in the newest restart (or, with `incarnation`, in the start of that run): everything
/// that led to it, what was reported on the way, and what followed from it. The journal is read from its end, no
/// farther than the chain goes.
/// `unwritten` events are newer than those in the files.
pub fn chain(folder: &Path, service: &str, incarnation: u64, unwritten: Vec<Event>) -> Vec<Event> {
    let needle = format!("\"service\":{}", serde_json::Value::from(service));
    let mut blocks = Backwards::new(folder, u64::MAX, needle.as_bytes());
    let mut history = History { events: unwritten.into(), is_whole: false, find: &|seq| find(folder, seq) };
    loop {
        match blocks.next() {
            Some(mut block) => {
                block.append(&mut history.events);
                history.events = block;
            }
            None => history.is_whole = true,
        }
        if let Some(chain) = history.chain(service, incarnation) {
            return chain;
        }
    }
}

/// The most events that are told of an incident: the newest.
const MOST: usize = 500;

/// Returns what an incident was about: from its first evidence to its end, or until now.
pub fn around(folder: &Path, incident: u64, service: &str) -> Vec<Event> {
    let Some(opened) = find(folder, incident) else { return Vec::new() };
    let first = if opened.cause == 0 { incident } else { opened.cause };
    let needle = format!("\"service\":{}", serde_json::Value::from(service));
    let mut events = VecDeque::new();
    for mut block in Backwards::new(folder, u64::MAX, needle.as_bytes()) {
        let is_whole = block.front().is_some_and(|event| event.seq <= first);
        block.append(&mut events);
        events = block;
        if is_whole {
            break;
        }
    }
    let is_end = |event: &Event| matches!(&event.detail, Some(Detail::IncidentClosed { incident: of, .. }) if *of == incident);
    let end = events.iter().find(|event| is_end(event)).map_or(u64::MAX, |event| event.seq);
    let history = History { events, is_whole: true, find: &|_| None };
    let inside = |event: &&Event| {
        event.service == service && event.kind != Kind::Incident && (first..=end).contains(&event.seq)
    };
    let mut told: Vec<Event> = history.events.iter().filter(inside).cloned().collect();
    told.drain(..told.len().saturating_sub(MOST));
    history.with_last_words(told)
}

/// The newest events of a service.
struct History<'a> {
    /// In the order of their numbers.
    events: VecDeque<Event>,
    /// Whether there are no older ones.
    is_whole: bool,
    /// Returns an event of another service.
    find: &'a dyn Fn(u64) -> Option<Event>,
}

impl History<'_> {
    /// Returns the chain; `None` if it may go on in older events. Causes decide what belongs to it; numbers only order
    /// its lines.
    fn chain(&self, service: &str, incarnation: u64) -> Option<Vec<Event>> {
        let of_service = || self.events.iter().filter(|event| event.service == service);
        let is_adoption = |event: &Event| matches!(event.detail, Some(Detail::Adopted { .. }));
        let milestone = |event: &&Event| match event.kind {
            // A supervisor that takes over a run changes nothing about why the run began.
            Kind::Start if is_adoption(event) => false,
            Kind::Start => incarnation == 0 || event.incarnation == incarnation,
            Kind::Exit | Kind::GiveUp => incarnation == 0,
            _ => false,
        };
        let Some(anchor) = of_service().rfind(milestone) else {
            return self.is_whole.then(Vec::new);
        };
        let oldest = if self.is_whole { 0 } else { self.events.front().map_or(u64::MAX, |event| event.seq) };
        let (line, elsewhere) = self.line(anchor, oldest)?;
        // Without a requested incarnation, only direct and indirect effects of the anchor follow it.
        let mut fate = BTreeSet::from([anchor.seq]);
        if incarnation == 0 {
            for event in of_service().filter(|event| event.seq > anchor.seq) {
                if fate.contains(&event.cause) {
                    fate.insert(event.seq);
                }
            }
        }
        let belongs = |event: &&Event| {
            line.contains(&event.seq)
                // Other events with a cause in the line: other monitors' reasons, signals, the kill after them.
                || line.contains(&event.cause) && event.seq < anchor.seq
                // Effects of the anchor.
                || fate.contains(&event.cause) && event.seq > anchor.seq
        };
        let own = of_service().filter(belongs).filter(|event| event.kind != Kind::Incident).cloned();
        let mut chain: Vec<Event> = elsewhere.into_iter().chain(own).collect();
        chain.sort_by_key(|event| event.seq);
        chain.dedup_by_key(|event| event.seq);
        Some(self.with_last_words(chain))
    }

    /// Returns the numbers of the events that led to one, and those of them that are not about the service; `None` if
    /// there may be events before `oldest` that belong to them.
    fn line(&self, anchor: &Event, oldest: u64) -> Option<(BTreeSet<u64>, Vec<Event>)> {
        let mut line = BTreeSet::from([anchor.seq]);
        let mut elsewhere = Vec::new();
        let mut cause = anchor.cause;
        while cause != 0 {
            let event = match self.events.binary_search_by_key(&cause, |event| event.seq) {
                Ok(place) => self.events[place].clone(),
                Err(_) => match (self.find)(cause) {
                    Some(event) => event,
                    None => break,
                },
            };
            if event.service == anchor.service && event.seq < oldest {
                return None;
            }
            // The chain ends at the start of the previous run: why that run began belongs to another restart.
            if event.kind == Kind::Start || !line.insert(cause) {
                break;
            }
            cause = event.cause;
            if event.service != anchor.service {
                elsewhere.push(event);
            }
        }
        // Events of the service with a cause in the line are newer than that cause.
        line.iter().next().is_none_or(|first| *first >= oldest).then_some((line, elsewhere))
    }

    /// Adds the last output of a run to its exit event, although it is recorded later.
    fn with_last_words(&self, mut chain: Vec<Event>) -> Vec<Event> {
        chain.retain(|event| event.kind != Kind::Output);
        for exit in chain.iter_mut().filter(|event| event.kind == Kind::Exit) {
            let of_it = |event: &&Event| event.kind == Kind::Output && event.cause == exit.seq;
            if let Some(said) = self.events.iter().find(of_it) {
                exit.evidence.clone_from(&said.evidence);
            }
        }
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, cause: u64, service: &str, incarnation: u64, kind: Kind, message: &str) -> Event {
        Event {
            seq,
            cause,
            time: seq,
            source: "supervisor".into(),
            service: service.into(),
            incarnation,
            kind,
            message: message.into(),
            evidence: String::new(),
            detail: None,
        }
    }

    /// Returns the chain, found in a history that becomes longer event by event.
    fn told(events: &[Event], service: &str, incarnation: u64) -> Vec<Event> {
        let find = |seq| events.iter().find(|event| event.seq == seq).cloned();
        let mut history = History { events: VecDeque::new(), is_whole: false, find: &find };
        let mut older = events.iter().rev().filter(|event| event.service == service);
        loop {
            match older.next() {
                Some(event) => history.events.push_front(event.clone()),
                None => history.is_whole = true,
            }
            if let Some(chain) = history.chain(service, incarnation) {
                return chain;
            }
        }
    }

    fn messages(events: &[Event], service: &str, incarnation: u64) -> Vec<String> {
        told(events, service, incarnation).into_iter().map(|event| event.message).collect()
    }

    #[test]
    fn a_restart_is_told_from_its_evidence_to_ready() {
        let events = [
            event(1, 0, "", 0, Kind::Operator, "up"),
            event(2, 1, "web", 1, Kind::Start, "start 1"),
            event(3, 2, "web", 1, Kind::Ready, "ready 1"),
            event(4, 0, "web", 1, Kind::Check, "health failed"),
            event(5, 0, "api", 1, Kind::Exit, "somebody else"),
            event(6, 4, "web", 1, Kind::Decision, "accepted"),
            event(7, 6, "web", 1, Kind::Check, "port failed too"),
            event(8, 6, "web", 1, Kind::Signal, "SIGTERM"),
            event(9, 8, "web", 1, Kind::Exit, "exit 0"),
            event(10, 9, "web", 2, Kind::Start, "start 2"),
            event(11, 10, "web", 2, Kind::Ready, "ready 2"),
        ];
        let expected =
            ["health failed", "accepted", "port failed too", "SIGTERM", "exit 0", "start 2", "ready 2"];
        assert_eq!(messages(&events, "web", 0), expected);
        assert_eq!(messages(&events, "web", 2), expected);
        assert_eq!(messages(&events, "web", 1), ["up", "start 1", "ready 1"]);
        assert_eq!(messages(&events, "nobody", 0), [""; 0]);
    }

    #[test]
    fn an_end_is_told_with_its_last_words_and_who_was_in_its_way() {
        let mut said = event(6, 3, "web", 1, Kind::Output, "last line on stderr");
        said.evidence = "Address already in use".into();
        let mut events = vec![
            event(1, 0, "web", 1, Kind::Start, "start 1"),
            event(2, 1, "web", 1, Kind::Check, "port 80 is held by pid 7"),
            event(3, 2, "web", 1, Kind::Exit, "exit 1"),
            event(4, 3, "web", 1, Kind::Decision, "next start in 1s"),
            event(5, 4, "web", 1, Kind::Check, "found later"),
            said,
        ];
        let down = ["port 80 is held by pid 7", "exit 1", "next start in 1s", "found later"];
        assert_eq!(messages(&events, "web", 0), down);
        assert_eq!(told(&events, "web", 0)[1].evidence, "Address already in use");
        events.push(event(7, 5, "web", 2, Kind::Start, "start 2"));
        let up = [&down[..], &["start 2"]].concat();
        assert_eq!(messages(&events, "web", 0), up);
        assert_eq!(told(&events, "web", 2)[1].evidence, "Address already in use");
    }

    #[test]
    fn a_service_that_is_down_is_told_to_its_end_and_a_cause_that_is_gone_is_no_trap() {
        let events = [
            event(8, 7, "web", 3, Kind::Exit, "exit 1"),
            event(9, 8, "web", 3, Kind::GiveUp, "gave up"),
            event(10, 10, "web", 3, Kind::Other, "its own cause"),
        ];
        assert_eq!(messages(&events, "web", 0), ["exit 1", "gave up"]);
    }
}
