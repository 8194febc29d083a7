//! `incidents`: when services did not serve.

use jiff::tz::TimeZone;
use proto::time::to_wire;
use proto::v1::GetIncidentsRequest;

use crate::args::past::Incidents;
use crate::client::Supervisor;
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::Place;
use crate::render::incidents::{Document, table};

pub(super) async fn run(which: Incidents, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let supervisor = Supervisor::connect(&place.located.supervisor).await?;
    let request = GetIncidentsRequest {
        selectors: which.services,
        since: which.since.map(to_wire),
        open: which.open,
        limit: which.lines.max(1),
        ..GetIncidentsRequest::default()
    };
    let incidents = supervisor.incidents(request).await?;
    if out.json {
        out.document(&Document::new(&incidents))?;
    } else if incidents.is_empty() {
        out.line(if which.open { "no incident is open" } else { "no incidents" })?;
    } else {
        out.text(&table(&incidents, std::time::SystemTime::now(), &TimeZone::system(), out.look))?;
    }
    Ok(Done::Well)
}
