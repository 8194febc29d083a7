//! `GetTimeline` and `WatchEvents`, from the journal's files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use proto::v1;
use tokio::sync::watch;
use tonic::Status;

use super::{convert, incidents, pages};
use crate::incidents::{Incident, wall};
use crate::journal::read::{Follower, Next, newest};
use crate::journal::{Began, Detail, Event, Kind, chain};
use crate::manager::Handle;
use crate::manager::command::{Command, Unwritten};

/// The name by which the supervisor itself is asked for.
const SUPERVISOR: &str = "supervisor";

/// How many of its deaths are told.
const DEATHS: usize = 20;

/// Answers a request for events.
pub(super) async fn timeline(
    request: v1::GetTimelineRequest,
    manager: &Handle,
    folder: &Path,
) -> Result<v1::GetTimelineResponse, Status> {
    let Unwritten { events: unwritten, .. } = manager.ask(Command::Journal).await?;
    let known = if request.why { incidents::all(folder).await? } else { Vec::new() };
    let folder = folder.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        if request.why {
            return why(&request, &folder, &known, unwritten);
        }
        let v1::GetTimelineRequest { service, limit, before, .. } = request;
        let limit = if limit == 0 { 100 } else { usize::try_from(limit).unwrap_or(usize::MAX) };
        let instances = format!("{service}:");
        let of_it = |event: &Event| {
            service.is_empty() || event.service == service || event.service.starts_with(&instances)
        };
        let mut events = newest(&folder, of_it, limit, before);
        let is_before = |event: &Event| before == 0 || event.seq < before;
        events.extend(unwritten.into_iter().filter(|event| of_it(event) && is_before(event)));
        events.drain(..events.len().saturating_sub(limit));
        (events, None)
    });
    let (events, incident) = read.await.map_err(|_| Status::internal("reading the journal failed"))?;
    let incident = incident.map(|incident| incidents::wire(&incident, wall()));
    let page = pages::events(events.into_iter().map(convert::event).collect());
    Ok(v1::GetTimelineResponse { incident, ..page })
}

/// Returns what led to the last restart or incident of a service, or to the one that is asked for, and that incident.
fn why(
    request: &v1::GetTimelineRequest,
    folder: &Path,
    incidents: &[Incident],
    unwritten: Vec<Event>,
) -> (Vec<Event>, Option<Incident>) {
    let v1::GetTimelineRequest { service, incarnation, before, incident, .. } = request;
    if service == SUPERVISOR {
        let is_death =
            |event: &Event| matches!(event.detail, Some(Detail::Supervisor { began: Began::Revived, .. }));
        return (newest(folder, is_death, DEATHS, *before), None);
    }
    let mut own = incidents.iter().filter(|of| of.service == *service).rev();
    let (mut events, told) = if *incident != 0 {
        let of_number = own.find(|of| of.id == *incident);
        (of_number.map_or_else(Vec::new, |of| chain::around(folder, of.id, service)), of_number)
    } else {
        let chain = chain::chain(folder, service, *incarnation, unwritten);
        let is_milestone = |event: &&Event| matches!(event.kind, Kind::Start | Kind::Exit | Kind::GiveUp);
        let last_change = chain.iter().rfind(is_milestone).map_or(0, |event| event.time);
        // Whether the restart is what was done about the incident.
        let is_of = |of: &Incident| of.noticed <= last_change && of.healed.is_none_or(|at| last_change <= at);
        match own.next() {
            Some(last) if is_of(last) && *incarnation == 0 => (chain, Some(last)),
            // Nothing was started since: it healed by itself, or is open.
            Some(last) if last.noticed > last_change && *incarnation == 0 => {
                (chain::around(folder, last.id, service), Some(last))
            }
            _ => {
                let of_run = |of: &&Incident| of.restarts > 0 && of.last_run == *incarnation;
                (chain, incidents.iter().filter(|of| of.service == *service).find(of_run))
            }
        }
    };
    events.retain(|event| *before == 0 || event.seq < *before);
    (events, told.cloned())
}

/// A stream of events, from a number on. It reads the files at its own pace, and so misses nothing.
pub(super) struct Events {
    follower: Follower,
    /// The number that follows the last event in the files.
    written: watch::Receiver<u64>,
    read: VecDeque<Next>,
}

impl Events {
    /// Begins at a number; 0 means with the next event.
    pub(super) async fn new(from: u64, manager: &Handle, folder: PathBuf) -> Result<Self, Status> {
        let written = manager.written();
        let from = if from == 0 { manager.ask(Command::Journal).await?.next } else { from };
        Ok(Self { follower: Follower::new(&folder, from), written, read: VecDeque::new() })
    }

    /// Returns the next item, and the stream after it; `None` at the end of the supervisor.
    pub(super) async fn next(mut self) -> Option<(Result<v1::WatchEventsResponse, Status>, Self)> {
        loop {
            if let Some(next) = self.read.pop_front() {
                let next = match next {
                    Next::Event(event) => v1::watch_events_response::Next::Event(convert::event(*event)),
                    Next::Gap(oldest) => v1::watch_events_response::Next::Gap(v1::Gap { oldest }),
                };
                return Some((Ok(v1::WatchEventsResponse { next: Some(next) }), self));
            }
            // Marked before the files are read: what is written afterwards wakes it again.
            self.written.mark_unchanged();
            let Self { mut follower, written, .. } = self;
            let read = tokio::task::spawn_blocking(move || (follower.read(), follower)).await;
            let (read, follower) = read.ok()?;
            self = Self { follower, written, read: VecDeque::new() };
            match read {
                Ok(read) => self.read = read.into(),
                Err(error) => {
                    let error = Status::internal(format!("reading the journal failed: {error}"));
                    return Some((Err(error), self));
                }
            }
            if self.read.is_empty() {
                self.written.changed().await.ok()?;
            }
        }
    }
}
