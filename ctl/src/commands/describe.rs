//! `describe`: shows a service or daemon, from its state, its last events and the file.

use jiff::tz::TimeZone;
use proto::Name;
use proto::v1::{Event, GetTimelineRequest};
use serde::Serialize;

use super::{events, status};
use crate::client::Supervisor;
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::Place;
use crate::render::describe::Sheet;
use crate::render::explain::not_one;
use crate::render::json::{self, DaemonJson, MonitorJson, ServiceJson, SupervisorJson};
use crate::render::settings::{self, Setting};
use crate::render::why::EventJson;

/// Number of events to show.
const EVENTS: u32 = 10;
const ALL_EVENTS: u32 = 1000;

#[derive(Serialize)]
struct DescribeJson<'a> {
    supervisor: Option<SupervisorJson<'a>>,
    monitor: Option<MonitorJson<'a>>,
    service: Option<ServiceJson<'a>>,
    /// `null` if the file names no such service, or has errors.
    settings: Option<Vec<Setting>>,
    events: Vec<EventJson<'a>>,
    daemon: Option<DaemonJson<'a>>,
}

pub(super) async fn run(name: &str, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let view = status::gather(place, true).await?;
    if let Err(why) = &view.supervisor {
        return Err(Failure::NoSupervisor { endpoint: place.located.supervisor.clone(), why: why.clone() });
    }
    let service = view.services.iter().find(|service| service.name == name);
    let monitor = view.monitors.iter().find(|monitor| monitor.name == name);
    let daemon = view.daemons.iter().find(|daemon| daemon.name == name);
    let supervisor = (name == "supervisor").then_some(&view);
    if service.is_none() && monitor.is_none() && daemon.is_none() && supervisor.is_none() {
        let services: Vec<&str> = view.services.iter().map(|service| &*service.name).collect();
        return Err(not_one(name, &services));
    }
    let settings = service.and_then(|_| settings(name, place));
    let events = timeline(name, place).await?;
    if out.json {
        out.document(&DescribeJson {
            supervisor: supervisor.map(json::supervisor),
            monitor: monitor.map(|monitor| json::monitor(monitor, view.now)),
            service: service.map(|service| json::service(service, view.now)),
            settings,
            events: events.iter().map(EventJson::new).collect(),
            daemon: daemon.map(|daemon| json::daemon(daemon, view.now)),
        })?;
        return Ok(Done::Well);
    }
    let zone = TimeZone::system();
    let mut sheet = Sheet::new(out.look);
    sheet.heading(name);
    if let Some(service) = service {
        sheet.service(service, &zone);
        match &settings {
            Some(settings) => sheet.settings(settings),
            None => sheet.heading("settings: the file has errors or does not name it (see \"ctl check\")"),
        }
    }
    if let Some(monitor) = monitor {
        sheet.monitor(monitor, &zone);
    }
    if let Some(daemon) = daemon {
        sheet.daemon(daemon, &zone);
    }
    if let Some(view) = supervisor {
        sheet.supervisor(view);
    }
    if !events.is_empty() {
        sheet.heading("events");
    }
    out.text(&sheet.text())?;
    events::lines(&events, false, out)?;
    Ok(Done::Well)
}

fn settings(name: &str, place: &Place) -> Option<Vec<Setting>> {
    let name = Name::new(name).ok()?;
    let config = place.settings()?;
    Some(settings::service(&name, config.services.get(&name)?, &place.located.home))
}

/// Returns the last events; empty for a supervisor without a journal.
async fn timeline(name: &str, place: &Place) -> Result<Vec<Event>, Failure> {
    let supervisor = Supervisor::connect(&place.located.supervisor).await?;
    // The supervisor's own events name no service, so they are filtered from all events.
    let own = name == "supervisor";
    let service = if own { String::new() } else { name.to_owned() };
    let limit = if own { ALL_EVENTS } else { EVENTS };
    let request = GetTimelineRequest { service, limit, ..GetTimelineRequest::default() };
    match supervisor.timeline(request).await {
        Ok(mut events) => {
            events.retain(|event| !own || event.service.is_empty());
            let last = usize::try_from(EVENTS).unwrap_or(usize::MAX);
            Ok(events.split_off(events.len().saturating_sub(last)))
        }
        Err(Failure::NotYet(_)) => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}
