//! `status`: asks the supervisor and every monitor in parallel, each with its own deadline.

use std::time::{Duration, SystemTime};

use proto::{Endpoint, Name};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::disk;
use crate::args::StatusArgs;
use crate::client::{STATUS_DEADLINE, StatusFeed, Supervisor, monitor_status};
use crate::failure::{Done, Failure};
use crate::out::{Out, while_read};
use crate::place::Place;
use crate::render::{json, table};
use crate::view::{Answers, MonitorAnswer, View};

/// Redraw interval while watching: uptimes and monitor results change without a message of the supervisor.
const REDRAW: Duration = Duration::from_secs(1);
/// Minimum time between two redraws after changes.
const CALM: Duration = Duration::from_millis(100);

/// Shows the status once, or repeatedly.
pub(super) async fn run(args: &StatusArgs, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    if args.watch {
        return while_read(watch(args, place, out)).await;
    }
    let mut view = gather(place, out.json).await?;
    if view.supervisor.is_ok() {
        view.select(&args.services)?;
    } else if let Some(reading) = disk::instead_of_supervisor(place).await {
        view.services = gather(&reading.place, false).await?.services;
        view.services.retain(|service| service.pid.is_some());
    }
    if out.json {
        out.document(&json::status(&view))?;
    } else {
        let text = table::status(&view, out.look);
        out.text(&text)?;
    }
    match view.supervisor {
        Ok(_) => Ok(Done::when(view.all_well())),
        Err(why) => {
            out.flush()?;
            Err(Failure::NoSupervisor { endpoint: place.located.supervisor.clone(), why })
        }
    }
}

/// Draws over the previous output, which avoids the flicker of clearing the screen first.
async fn watch(args: &StatusArgs, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let mut feed = StatusFeed::new(&place.located.supervisor);
    if out.terminal && !out.json {
        out.text("\x1b[2J")?;
    }
    loop {
        let drawn = Instant::now();
        out.measure();
        let mut view = gather(place, true).await?;
        // A service that is missing for a moment does not end the watch.
        let _ = view.select(&args.services);
        draw(&view, out)?;
        tokio::select! {
            changed = feed.next() => if changed.is_ok() { sleep_until(drawn + CALM).await },
            () = sleep_until(drawn + REDRAW) => {}
        }
        sleep_until(drawn + CALM).await;
    }
}

fn draw(view: &View, out: &mut Out) -> Result<(), Failure> {
    if out.json {
        out.record(&json::status(view))?;
        return out.flush();
    }
    let text = table::status(view, out.look);
    if out.terminal {
        let rows = terminal_size::terminal_size().map_or(usize::MAX, |(_, rows)| rows.0.into());
        out.text("\x1b[H")?;
        // More lines than the screen has would scroll, and shift the home position.
        for line in text.lines().take(rows.saturating_sub(1)) {
            out.text(line)?;
            out.text("\x1b[K\n")?;
        }
        out.text("\x1b[J")?;
    } else {
        out.line(&text)?;
    }
    out.flush()
}

/// Asks the supervisor and all monitors.
pub(crate) async fn gather(place: &Place, usage: bool) -> Result<View, Failure> {
    let located = &place.located;
    let mut asked = JoinSet::new();
    for (name, endpoint) in &located.monitors {
        ask(&mut asked, name.as_str(), endpoint);
    }
    let supervisor = match status(&located.supervisor, usage).await {
        Ok(status) => Ok(status),
        Err(Failure::NoSupervisor { why, .. }) => Err(why),
        Err(other) => return Err(other),
    };
    // The file may have changed since it was applied; the supervisor knows the monitors that actually run.
    let states = supervisor.as_ref().map(|status| status.monitors.as_slice()).unwrap_or_default();
    let mut told = Vec::new();
    for state in states {
        let known = |(name, endpoint): &(Name, Endpoint)| {
            name.as_str() == state.name && endpoint.to_string() == state.endpoint
        };
        if located.monitors.iter().any(known) {
            continue;
        }
        match Endpoint::parse(&state.endpoint) {
            // A monitor with a local endpoint on another machine can not be asked: the supervisor's report is used.
            Ok(endpoint) if place.elsewhere.is_some() && endpoint.is_local() => told.push(state),
            Ok(endpoint) => ask(&mut asked, &state.name, &endpoint),
            Err(_) => told.push(state),
        }
    }
    let mut monitors: Vec<MonitorAnswer> = asked.join_all().await;
    let services = supervisor.as_ref().map(|status| status.services.as_slice()).unwrap_or_default();
    monitors.extend(told.into_iter().map(|state| MonitorAnswer::told(state, services)));
    if supervisor.is_ok() {
        monitors.retain(|asked| {
            states.iter().any(|state| state.name == asked.name && state.endpoint == asked.endpoint)
        });
    }
    monitors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(View::join(Answers {
        now: SystemTime::now(),
        endpoint: located.supervisor.to_string(),
        config: located.file.display().to_string(),
        supervisor,
        monitors,
    }))
}

async fn status(endpoint: &Endpoint, usage: bool) -> Result<proto::v1::Status, Failure> {
    Supervisor::connect(endpoint).await?.status(usage, STATUS_DEADLINE).await
}

fn ask(asked: &mut JoinSet<MonitorAnswer>, name: &str, endpoint: &Endpoint) {
    let (name, endpoint) = (name.to_owned(), endpoint.clone());
    asked.spawn(async move {
        let answer = monitor_status(&endpoint, STATUS_DEADLINE).await;
        MonitorAnswer { name, endpoint: endpoint.to_string(), answer }
    });
}
