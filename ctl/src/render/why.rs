//! Renders events as lines: the chain of causes of `why`, and the journal of `events`.

use jiff::tz::TimeZone;
use proto::time::unstamp;
use proto::v1::{Event, Incident};
use serde::Serialize;

use super::incidents::IncidentJson;
use super::time::{clock, rfc3339};
use super::{BAD, DIM, GOOD, Look, PLAIN, one_line};

/// Renders an event: `12:00:03.4  supervisor      start pid 812 (incarnation 5)`, with the evidence below
/// if the line does not contain it. With `named`, the service precedes the message.
pub(crate) fn event(event: &Event, named: bool, zone: &TimeZone, look: Look) -> String {
    let time = clock(unstamp(event.time), zone);
    let mut line = look.paint(DIM, &time);
    line.extend(["  ", &format!("{:<14}", one_line(&event.source)), "  "]);
    if named && !event.service.is_empty() {
        line.extend([&one_line(&event.service), ": "]);
    }
    let style = match event.kind.as_str() {
        "ready" => GOOD,
        "give-up" => BAD,
        _ => PLAIN,
    };
    line.push_str(&look.paint(style, &one_line(&event.message)));
    // What a run was doing fills pages, and its message tells most: `why --evidence` shows the rest.
    let below = if event.kind == "evidence" { "" } else { &event.evidence };
    for more in below.lines().map(one_line) {
        let text = more.trim();
        let written = matches!(event.kind.as_str(), "exit" | "output");
        // A service's output is always shown. A monitor's evidence (`status 503`, `body {…}`) is left out
        // if its value is already in the message.
        let said = event.message.contains(text.split_once(' ').map_or(text, |(_, value)| value));
        if !text.is_empty() && (written || !said) {
            line.extend(["\n    ", &look.paint(DIM, if written { more.trim_end() } else { text })]);
        }
    }
    line
}

/// JSON of `why` and `events`: `{ "events": [ … ] }`.
#[derive(Serialize)]
pub(crate) struct Events<'a> {
    events: Vec<EventJson<'a>>,
}

/// JSON of `why`: `{ "events": [ … ], "incident": { … } }`; `incident` is `null` where none is told of.
#[derive(Serialize)]
pub(crate) struct Why<'a> {
    events: Vec<EventJson<'a>>,
    incident: Option<IncidentJson<'a>>,
}

impl<'a> Why<'a> {
    pub(crate) fn new(events: &'a [Event], incident: Option<&'a Incident>) -> Self {
        Self {
            events: events.iter().map(EventJson::new).collect(),
            incident: incident.map(IncidentJson::new),
        }
    }
}

/// JSON of `why --evidence`; its fields are part of the contract.
#[derive(Serialize)]
pub(crate) struct EvidenceJson<'a> {
    pub(crate) service: &'a str,
    pub(crate) incarnation: u64,
    pub(crate) evidence: &'a str,
}

/// JSON of one event; its fields are part of the contract.
#[derive(Serialize)]
pub(crate) struct EventJson<'a> {
    seq: u64,
    cause: Option<u64>,
    time: Option<String>,
    source: &'a str,
    service: Option<&'a str>,
    incarnation: Option<u64>,
    kind: &'a str,
    message: &'a str,
    evidence: Option<&'a str>,
}

impl<'a> Events<'a> {
    pub(crate) fn new(events: &'a [Event]) -> Self {
        Self { events: events.iter().map(EventJson::new).collect() }
    }
}

impl<'a> EventJson<'a> {
    pub(crate) fn new(event: &'a Event) -> Self {
        let some = |text: &'a str| (!text.is_empty()).then_some(text);
        Self {
            seq: event.seq,
            cause: (event.cause != 0).then_some(event.cause),
            time: unstamp(event.time).and_then(rfc3339),
            source: &event.source,
            service: some(&event.service),
            incarnation: (event.incarnation != 0).then_some(event.incarnation),
            kind: &event.kind,
            message: &event.message,
            evidence: some(&event.evidence),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::time::stamp;

    use super::*;
    use crate::view::testing::noon;

    const LOOK: Look = Look { colour: false, width: 80 };

    fn at(milliseconds: u64, source: &str, kind: &str, message: &str) -> Event {
        Event {
            seq: 7,
            cause: 6,
            time: Some(stamp(noon() + Duration::from_millis(milliseconds))),
            source: source.into(),
            service: "backend".into(),
            incarnation: 4,
            kind: kind.into(),
            message: message.into(),
            evidence: String::new(),
            detail: None,
        }
    }

    /// The contract's example, word for word.
    #[test]
    fn a_chain_is_one_line_a_link() {
        let chain = [
            at(3100, "health-monitor", "check", "health failed 3 of 3: 503 {\"status\":\"sick\"}"),
            at(3100, "supervisor", "decision", "restart accepted (incarnation 4), budget 1 of 10 in 1h"),
            at(3110, "supervisor", "signal", "SIGTERM to 3 processes"),
            at(3400, "supervisor", "exit", "exit 0 after 2h 4m"),
            at(3450, "supervisor", "start", "start pid 812 (incarnation 5)"),
            at(3999, "supervisor", "ready", "ready after 0.5 s (port own, health 200)"),
        ];
        let text: Vec<_> = chain.iter().map(|link| event(link, false, &TimeZone::UTC, LOOK)).collect();
        assert_eq!(
            text.join("\n"),
            "\
12:00:03.1  health-monitor  health failed 3 of 3: 503 {\"status\":\"sick\"}
12:00:03.1  supervisor      restart accepted (incarnation 4), budget 1 of 10 in 1h
12:00:03.1  supervisor      SIGTERM to 3 processes
12:00:03.4  supervisor      exit 0 after 2h 4m
12:00:03.4  supervisor      start pid 812 (incarnation 5)
12:00:03.9  supervisor      ready after 0.5 s (port own, health 200)"
        );
    }

    #[test]
    fn evidence_stands_below_only_where_the_message_lacks_it() {
        let mut link = at(0, "health-monitor", "check", "health failed 3 of 3: 503");
        link.evidence = "status 503\nbody: sick\x1b[2J\n".into();
        assert_eq!(
            event(&link, true, &TimeZone::UTC, LOOK),
            "12:00:00.0  health-monitor  backend: health failed 3 of 3: 503\n    body: sick [2J"
        );
    }

    #[test]
    fn what_a_run_was_doing_is_one_line() {
        let mut seen = at(0, "supervisor", "evidence", "all 4 threads stopped by SIGSTOP");
        seen.evidence = "backend (incarnation 4)\npid 812\n".into();
        let line = "12:00:00.0  supervisor      all 4 threads stopped by SIGSTOP";
        assert_eq!(event(&seen, false, &TimeZone::UTC, LOOK), line);
    }

    #[test]
    fn what_a_service_wrote_stands_below_as_it_wrote_it() {
        let mut end = at(0, "supervisor", "exit", "exit 1 after 2.0 s");
        end.evidence = "Traceback:\n  File \"x.py\"\n\nexit 1".into();
        assert_eq!(
            event(&end, false, &TimeZone::UTC, LOOK),
            "12:00:00.0  supervisor      exit 1 after 2.0 s\n    Traceback:\n      File \"x.py\"\n    exit 1"
        );
    }

    #[test]
    fn json_has_null_for_what_is_absent() {
        let mut link = at(0, "supervisor", "daemon", "started");
        link.service.clear();
        link.cause = 0;
        link.incarnation = 0;
        assert_eq!(
            serde_json::to_string(&Events::new(&[link])).expect("JSON"),
            "{\"events\":[{\"seq\":7,\"cause\":null,\"time\":\"2024-05-01T12:00:00.000Z\",\"source\":\"supervisor\",\
             \"service\":null,\"incarnation\":null,\"kind\":\"daemon\",\"message\":\"started\",\"evidence\":null}]}"
        );
    }
}
