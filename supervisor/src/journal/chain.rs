//! `why`: the chain of causes behind the newest event of a service, oldest first.

use std::collections::BTreeSet;

use super::{Event, Kind};

/// Returns the chain that ends in the newest run (or, with `incarnation`, in the start of that run): everything that
/// led to it, what was reported on the way, and what followed from it.
///
/// Events are in the order of their numbers. Causes decide what belongs to the chain; numbers only order the lines.
pub fn chain<'a>(
    events: &(impl Iterator<Item = &'a Event> + Clone),
    service: &str,
    incarnation: u64,
) -> Vec<Event> {
    let of_service = || events.clone().filter(|event| event.service == service);
    let milestone = |event: &&Event| match event.kind {
        Kind::Start => incarnation == 0 || event.incarnation == incarnation,
        Kind::Exit | Kind::GiveUp => incarnation == 0,
        _ => false,
    };
    let Some(anchor) = of_service().filter(milestone).last() else { return Vec::new() };

    let mut line = BTreeSet::from([anchor.seq]);
    let mut cause = anchor.cause;
    while cause != 0 {
        let Some(event) = events.clone().find(|event| event.seq == cause) else { break };
        // The chain ends at the start of the previous run: why that run began belongs to another restart.
        if event.kind == Kind::Start || !line.insert(cause) {
            break;
        }
        cause = event.cause;
    }
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
            || line.contains(&event.cause) && event.seq < anchor.seq && event.service == service
            // Effects of the anchor.
            || fate.contains(&event.cause) && event.seq > anchor.seq && event.service == service
    };
    with_last_words(events.clone().filter(belongs).cloned().collect(), events)
}

/// Adds the last output of a run to its exit event, although it is recorded later.
fn with_last_words<'a>(
    mut chain: Vec<Event>,
    events: &(impl Iterator<Item = &'a Event> + Clone),
) -> Vec<Event> {
    chain.retain(|event| event.kind != Kind::Output);
    for exit in chain.iter_mut().filter(|event| event.kind == Kind::Exit) {
        let said = events.clone().find(|event| event.kind == Kind::Output && event.cause == exit.seq);
        if let Some(said) = said {
            exit.evidence.clone_from(&said.evidence);
        }
    }
    chain
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
        }
    }

    fn messages(events: &[Event], service: &str, incarnation: u64) -> Vec<String> {
        chain(&events.iter(), service, incarnation).into_iter().map(|event| event.message).collect()
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
        assert_eq!(chain(&events.iter(), "web", 0)[1].evidence, "Address already in use");
        events.push(event(7, 5, "web", 2, Kind::Start, "start 2"));
        let up = [&down[..], &["start 2"]].concat();
        assert_eq!(messages(&events, "web", 0), up);
        assert_eq!(chain(&events.iter(), "web", 2)[1].evidence, "Address already in use");
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
