//! Splits answers that do not fit into a single message into pages.

use prost::Message;
use proto::{Name, v1};
use tonic::Status;

/// The most encoded bytes of a page, unless a single entry has more: a quarter of the largest message.
const PAGE: usize = proto::MAX_MESSAGE / 4;

/// Returns how many of the first entries fit into a page.
fn fitting<M: Message>(entries: impl Iterator<Item = M>) -> usize {
    let mut bytes = 0;
    let fits = |entry: &M| {
        bytes += entry.encoded_len();
        bytes <= PAGE
    };
    entries.take_while(fits).count().max(1)
}

/// Returns the page of a status that begins after a service. Empty means the first page, the only page with more than
/// services.
pub(super) fn status(mut status: v1::Status, after: &str) -> Result<v1::GetStatusResponse, Status> {
    if !after.is_empty() {
        let after = super::requests::name("after", after)?;
        let is_later = |service: &v1::ServiceStatus| {
            Name::new(&service.name).is_ok_and(|name| name.counted() > after.counted())
        };
        let services = status.services.into_iter().filter(is_later).collect();
        status = v1::Status { generation: status.generation, services, ..v1::Status::default() };
    }
    let fit = fitting(status.services.iter().cloned());
    let more = fit < status.services.len();
    status.services.truncate(fit);
    Ok(v1::GetStatusResponse { status: Some(status), more })
}

/// Returns a status as the messages of a stream, in order.
pub(super) fn messages(mut status: v1::Status) -> Vec<v1::WatchStatusResponse> {
    let mut messages = Vec::new();
    loop {
        let fit = fitting(status.services.iter().cloned());
        let rest = status.services.split_off(fit.min(status.services.len()));
        let generation = status.generation;
        messages.push(v1::WatchStatusResponse { status: Some(status), more: !rest.is_empty() });
        if rest.is_empty() {
            return messages;
        }
        status = v1::Status { generation, services: rest, ..v1::Status::default() };
    }
}

/// Returns the newest events that fit, oldest first, and whether there are older events.
pub(super) fn events(mut events: Vec<v1::Event>) -> v1::GetTimelineResponse {
    let fit = fitting(events.iter().rev().cloned());
    let more = fit < events.len();
    events.drain(..events.len().saturating_sub(fit));
    v1::GetTimelineResponse { events, more, incident: None }
}

/// Returns the newest incidents that fit, oldest first, and whether there are older ones.
pub(super) fn incidents(mut incidents: Vec<v1::Incident>) -> v1::GetIncidentsResponse {
    let fit = fitting(incidents.iter().rev().cloned());
    let more = fit < incidents.len();
    incidents.drain(..incidents.len().saturating_sub(fit));
    v1::GetIncidentsResponse { incidents, more }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large(services: usize) -> v1::Status {
        let service = |number: usize| v1::ServiceStatus {
            name: format!("web:{number}"),
            reason: "x".repeat(10_000),
            ..v1::ServiceStatus::default()
        };
        let supervisor = Some(v1::SupervisorStatus::default());
        v1::Status {
            generation: 7,
            supervisor,
            services: (0..services).map(service).collect(),
            ..v1::Status::default()
        }
    }

    fn names(services: &[v1::ServiceStatus]) -> Vec<String> {
        services.iter().map(|service| service.name.clone()).collect()
    }

    #[test]
    fn pages_of_a_status_hold_every_service_once_and_fit() {
        let whole = large(1_000);
        let (mut seen, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = status(whole.clone(), &after).expect("a page");
            assert!(page.encoded_len() < proto::MAX_MESSAGE);
            let part = page.status.expect("a status");
            assert_eq!(part.supervisor.is_some(), pages == 0);
            seen.extend(names(&part.services));
            pages += 1;
            if !page.more {
                break;
            }
            after = seen.last().expect("not empty").clone();
        }
        assert_eq!(seen, names(&whole.services));
        assert!(pages > 5, "{pages}");
        assert!(status(whole, "no/name").is_err());
    }

    #[test]
    fn messages_of_a_stream_hold_every_service_once() {
        let whole = large(300);
        let messages = messages(whole.clone());
        assert!(messages.len() > 1 && messages.iter().all(|one| one.encoded_len() < proto::MAX_MESSAGE));
        let parts = messages.iter().filter_map(|message| message.status.as_ref());
        assert_eq!(parts.flat_map(|part| names(&part.services)).collect::<Vec<_>>(), names(&whole.services));
        let more: Vec<bool> = messages.iter().map(|message| message.more).collect();
        assert_eq!(more.iter().filter(|more| !**more).count(), 1, "{more:?}");
        assert_eq!(super::messages(v1::Status::default()).len(), 1, "also one without services");
    }

    #[test]
    fn the_newest_events_come_first_and_the_rest_is_asked_for() {
        let event = |seq| v1::Event { seq, evidence: "x".repeat(4_000), ..v1::Event::default() };
        let mut rest: Vec<v1::Event> = (1..=1_000).map(event).collect();
        let mut seen = Vec::new();
        loop {
            let page = events(rest.clone());
            let numbers: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
            rest.retain(|event| event.seq < numbers[0]);
            seen.splice(0..0, numbers);
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, (1..=1_000).collect::<Vec<_>>());
        assert_eq!(events(Vec::new()).events, []);
    }
}
