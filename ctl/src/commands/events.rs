//! `why` and `events`: past events and their causes.

use jiff::tz::TimeZone;
use proto::UNARY_DEADLINE;
use proto::time::unstamp;
use proto::v1::watch_events_response::Next;
use proto::v1::{Event, GetEvidenceRequest, GetTimelineRequest, WatchEventsRequest};
use sereno_config::Selector;

use crate::args::past;
use crate::client::{Supervisor, reconnect};
use crate::failure::{Done, Failure, note};
use crate::out::{Out, while_read};
use crate::place::Place;
use crate::render::explain::not_one;
use crate::render::time::day;
use crate::render::why::{EventJson, Events, EvidenceJson, Why, event};
use crate::render::{incidents, one_line};

/// Shows the chain of causes of one restart.
pub(super) async fn why(args: past::Why, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let supervisor = Supervisor::connect(&place.located.supervisor).await?;
    if args.evidence {
        return evidence(args, &supervisor, out).await;
    }
    let request = GetTimelineRequest {
        service: args.service.clone(),
        why: true,
        incarnation: args.incarnation,
        incident: args.incident,
        ..GetTimelineRequest::default()
    };
    let told = supervisor.get_timeline(request).await?;
    let (events, incident) = (told.events, told.incident);
    if events.is_empty() {
        must_exist(&args.service, &supervisor).await?;
    }
    if out.json {
        out.document(&Why::new(&events, incident.as_ref()))?;
        return Ok(Done::Well);
    }
    if let Some(incident) = &incident {
        let now = std::time::SystemTime::now();
        out.line(&incidents::headline(incident, now, &TimeZone::system(), out.look))?;
    } else if args.incident != 0 {
        return Err(Failure::Refused(format!(
            "{} has no incident {}",
            one_line(&args.service),
            args.incident
        )));
    }
    let service = one_line(&args.service);
    // A first run has no restart to explain, only its start.
    let first = |event: &Event| event.incarnation <= 1 && event.kind != "exit";
    let is_supervisor = args.service == "supervisor";
    match args.incarnation {
        0 if is_supervisor && events.is_empty() => out.line("the supervisor has not died so far")?,
        _ if is_supervisor => {}
        0 if incident.is_some() => {}
        0 if events.is_empty() => out.line(&format!("{service} has not been restarted yet"))?,
        0 if events.iter().all(first) => {
            out.line(&format!("{service} has not been restarted yet; it was started so:"))?;
        }
        number if events.is_empty() => {
            out.line(&format!("{service}: nothing is known of a start of incarnation {number}"))?;
        }
        _ => {}
    }
    lines(&events, false, out)?;
    Ok(Done::Well)
}

/// Shows what was seen of a run before it was ended.
async fn evidence(args: past::Why, supervisor: &Supervisor, out: &mut Out) -> Result<Done, Failure> {
    let past::Why { service, incarnation, .. } = args;
    let request = GetEvidenceRequest { service: service.clone(), incarnation };
    let found = supervisor.get_evidence(request).await?;
    if out.json {
        out.document(&EvidenceJson {
            service: &service,
            incarnation: found.incarnation,
            evidence: &found.text,
        })?;
        return Ok(Done::Well);
    }
    for line in found.text.lines() {
        let clean = one_line(line);
        out.line(clean.trim_end())?;
    }
    Ok(Done::Well)
}

/// Fails if no service or daemon has that name.
async fn must_exist(name: &str, supervisor: &Supervisor) -> Result<(), Failure> {
    let status = supervisor.status(false, UNARY_DEADLINE).await?;
    let services: Vec<&str> = status.services.iter().map(|service| &*service.name).collect();
    let known = name == "supervisor"
        || services.contains(&name)
        || status.monitors.iter().any(|monitor| monitor.name == name)
        || status.daemons.iter().any(|daemon| daemon.name == name);
    if known { Ok(()) } else { Err(not_one(name, &services)) }
}

/// Shows the last events of the journal, and new ones if wanted.
pub(super) async fn journal(args: past::Events, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let supervisor = Supervisor::connect(&place.located.supervisor).await?;
    let service = args.service.unwrap_or_default();
    let request = GetTimelineRequest {
        service: service.clone(),
        // Zero means a default on the wire: `-n 0` must not show a hundred events.
        limit: args.lines.max(1),
        ..GetTimelineRequest::default()
    };
    let mut events = supervisor.timeline(request).await?;
    let next = events.last().map_or(0, |last| last.seq + 1);
    if args.lines == 0 {
        events.clear();
    }
    if !args.follow {
        if out.json {
            out.document(&Events::new(&events))?;
        } else {
            lines(&events, true, out)?;
        }
        return Ok(Done::Well);
    }
    let zone = TimeZone::system();
    for one in &events {
        show(one, &zone, out)?;
    }
    while_read(follow(supervisor, next, &service, &zone, place, out)).await
}

/// Follows new events, also after the supervisor is replaced: the journal is the same.
async fn follow(
    mut supervisor: Supervisor,
    mut next: u64,
    service: &str,
    zone: &TimeZone,
    place: &Place,
    out: &mut Out,
) -> Result<Done, Failure> {
    let selector = Selector::new(service);
    out.flush()?;
    loop {
        let mut feed = match supervisor.watch_events(WatchEventsRequest { from: next }).await {
            Ok(feed) => feed,
            Err(Failure::NoSupervisor { .. }) => {
                supervisor = reconnect(&place.located.supervisor).await?;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        loop {
            out.flush()?;
            match feed.next().await {
                Ok(Some(response)) => {
                    let one = match response.next {
                        Some(Next::Event(one)) => one,
                        Some(Next::Gap(gap)) => {
                            note(&format!("events before {} are not kept any more", gap.oldest));
                            continue;
                        }
                        None => continue,
                    };
                    next = one.seq + 1;
                    if service.is_empty() || selector.selects(&one.service, &[]) {
                        show(&one, zone, out)?;
                    }
                }
                Ok(None) | Err(Failure::NoSupervisor { .. }) => break,
                Err(failure) => return Err(failure),
            }
        }
        supervisor = reconnect(&place.located.supervisor).await?;
    }
}

fn show(one: &Event, zone: &TimeZone, out: &mut Out) -> Result<(), Failure> {
    if out.json { out.record(&EventJson::new(one)) } else { out.line(&event(one, true, zone, out.look)) }
}

/// Prints events with their time, below a line with the date if it is not today.
pub(super) fn lines(events: &[Event], named: bool, out: &mut Out) -> Result<(), Failure> {
    let zone = TimeZone::system();
    let mut shown = day(Some(std::time::SystemTime::now()), &zone);
    for one in events {
        let this = day(unstamp(one.time), &zone);
        if let Some(this) = this.filter(|this| shown.as_ref() != Some(this)) {
            out.line(&this)?;
            shown = Some(this);
        }
        out.line(&event(one, named, &zone, out.look))?;
    }
    Ok(())
}
