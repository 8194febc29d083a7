//! `GetIncidents`, from the file of incidents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use prost_types::Timestamp;
use proto::detail::unknown_selector;
use proto::time::{stamp, to_wire};
use proto::{bounds, v1};
use sereno_config::Selector;
use tonic::Status;

use super::{pages, requests};
use crate::incidents::outages::Availability;
use crate::incidents::{HealedBy, Incident, file, wall};
use crate::manager::Handle;
use crate::manager::command::Command;

/// Returns every incident of the file in the journal's folder.
pub(super) async fn all(journal: &Path) -> Result<Vec<Incident>, Status> {
    let path: PathBuf = journal.join("incidents.jsonl");
    let read = tokio::task::spawn_blocking(move || file::read(&path));
    let read = read.await.map_err(|_| Status::internal("reading the incidents failed"))?;
    read.map_err(|error| Status::internal(format!("reading the incidents failed: {error}")))
}

/// Answers a request for incidents.
pub(super) async fn incidents(
    request: v1::GetIncidentsRequest,
    manager: &Handle,
    journal: &Path,
) -> Result<v1::GetIncidentsResponse, Status> {
    let since = requests::duration("since", request.since)?;
    let limit = if request.limit == 0 { 100 } else { usize::try_from(request.limit).unwrap_or(usize::MAX) };
    let all = all(journal).await?;
    let view = manager.ask(Command::View).await?;
    let tags: BTreeMap<&str, &[String]> =
        view.services.iter().map(|service| (service.name.as_str(), service.tags.as_slice())).collect();
    let selectors: Vec<Selector<'_>> = request.selectors.iter().map(|text| Selector::new(text)).collect();
    for (selector, text) in selectors.iter().zip(&request.selectors) {
        let known = all.iter().map(|incident| incident.service.as_str()).chain(tags.keys().copied());
        let mut selected =
            known.filter(|name| selector.selects(name, tags.get(name).copied().unwrap_or_default()));
        if selected.next().is_none() {
            let error = sereno_config::Unmatched(text.clone());
            return Err(unknown_selector(error.to_string(), error.0));
        }
    }
    let now = wall();
    let from = since.map_or(0, |since| now.saturating_sub(milliseconds(since)));
    let wanted = |incident: &&Incident| {
        let tags = tags.get(incident.service.as_str()).copied().unwrap_or_default();
        (selectors.is_empty() || selectors.iter().any(|selector| selector.selects(&incident.service, tags)))
            && (request.before == 0 || incident.id < request.before)
            && (request.id == 0 || incident.id == request.id)
            && (!request.open || incident.is_open())
            && incident.healed.is_none_or(|healed| healed >= from)
    };
    let mut found: Vec<v1::Incident> =
        all.iter().rev().filter(wanted).take(limit).map(|incident| wire(incident, now)).collect();
    found.reverse();
    Ok(pages::incidents(found))
}

/// Converts an incident.
pub(super) fn wire(incident: &Incident, now: u64) -> v1::Incident {
    v1::Incident {
        id: incident.id,
        service: incident.service.clone(),
        began: Some(time(incident.began)),
        noticed: Some(time(incident.noticed)),
        acted: incident.acted.map(time),
        healed: incident.healed.map(time),
        downtime: Some(to_wire(incident.downtime(now))),
        cause_kind: incident.cause.kind().into(),
        cause: bounds::cut(incident.cause.text.clone(), 1024),
        cause_incident: incident.cause.incident.unwrap_or(0),
        first_run: incident.first_run,
        last_run: incident.last_run,
        restarts: incident.restarts,
        evidence: incident.evidence.clone(),
        healed_by: incident.healed_by.map_or("", HealedBy::word).into(),
    }
}

/// Converts the availability of a service.
pub(super) fn availability(of: Availability) -> v1::Availability {
    v1::Availability {
        window: Some(to_wire(of.window)),
        ratio: of.ratio,
        incidents: of.incidents,
        longest: Some(to_wire(of.longest)),
    }
}

fn time(milliseconds: u64) -> Timestamp {
    stamp(UNIX_EPOCH + Duration::from_millis(milliseconds))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
