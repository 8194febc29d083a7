//! `up`: starts the supervisor for a file, or applies the file to the running supervisor.

use std::time::Duration;

use proto::time::to_wire;
use proto::v1::{ApplyRequest, LogStream, ReadLogsRequest, Selection, Status, Step};
use proto::{Endpoint, UNARY_DEADLINE};
use serde::Serialize;
use sereno_connect::ConnectError;
use tokio::time::{Instant, sleep};

use super::config::{StepJson, changing, steps, steps_json};
use super::replace::is_confirmed;
use super::settle::{self, Settled};
use super::{down, logs, spawn};
use crate::args::Up;
use crate::client::{Supervisor, unreachable};
use crate::failure::{Done, Failure, note};
use crate::out::Out;
use crate::place::{Loaded, Place};
use crate::render::one_line;
use crate::wait::Waiting;

/// How long to wait for a supervisor that shuts down: services may take their whole time-out to stop.
const LEAVING: Duration = Duration::from_secs(120);
/// A supervisor that accepts connections but does not answer for this time hangs; it is not shutting down.
const SILENT: Duration = Duration::from_secs(10);
/// How long to wait for a supervisor that dies and is restarted.
const SETTLES: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[derive(Serialize)]
struct UpJson<'a> {
    /// Whether this command started the supervisor.
    started: bool,
    pid: Option<u32>,
    steps: Vec<StepJson<'a>>,
    /// With `--wait`: the outcome for each service.
    services: Option<Vec<Settled>>,
}

/// The state after the file was applied.
struct Applied {
    supervisor: Supervisor,
    started: bool,
    before: Option<Status>,
    steps: Vec<Step>,
    notes: Vec<String>,
}

/// Applies the file; then returns, waits, or shows the logs.
pub(super) async fn run(args: &Up, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let began = Instant::now();
    let loaded = place.load("nothing was started")?;
    let endpoint = &place.located.supervisor;
    let count = loaded.config.services.len();
    let mut replace = args.other.replace;
    let (applied, now) = loop {
        match bring(&loaded, replace, place).await {
            Err(Failure::OtherFile(why)) if !replace && is_confirmed(&why, out)? => replace = true,
            // A supervisor that just died is being restarted by a monitor: the file goes to the one that
            // runs in the end.
            Err(Failure::NoSupervisor { .. }) if began.elapsed() < SETTLES => sleep(LOOK_AGAIN).await,
            brought => break brought?,
        }
    };
    let pid = now.supervisor.as_ref().map(|supervisor| supervisor.pid);
    let foreground = !args.detach && !args.wait && !out.json;
    if foreground {
        out.line("Ctrl-C stops everything; closing the terminal does not.")?;
    }
    if !out.json {
        report(&applied, pid, count, place, out)?;
        out.flush()?;
    }
    if foreground {
        return follow(began, endpoint, place, out).await;
    }
    let services = if args.wait {
        let waiting = Waiting::all_wanted(&now, applied.before.as_ref(), &applied.steps);
        let width = now.services.iter().map(|service| service.name.chars().count()).max().unwrap_or(0);
        Some(settle::wait(waiting, endpoint, args.timeout, width, out).await?)
    } else {
        None
    };
    let well = services.iter().flatten().all(|service| service.ok);
    if out.json {
        let (started, steps) = (applied.started, steps_json(&applied.steps));
        out.document(&UpJson { started, pid, steps, services })?;
    }
    Ok(Done::when(well))
}

/// Applies the file and reads the new status.
async fn bring(loaded: &Loaded, replace: bool, place: &Place) -> Result<(Applied, Status), Failure> {
    let applied = apply(loaded, replace, place).await?;
    let now = applied.supervisor.status(false, UNARY_DEADLINE).await?;
    Ok((applied, now))
}

/// Applies the file to the running supervisor, or to a new one.
async fn apply(loaded: &Loaded, replace: bool, place: &Place) -> Result<Applied, Failure> {
    let endpoint = &place.located.supervisor;
    let running = match running(endpoint).await? {
        Some((supervisor, status)) => spawn::Started { supervisor, status, ours: false },
        None => spawn::supervisor(place.file(), replace, endpoint).await?,
    };
    let spawn::Started { supervisor, status, ours } = running;
    if ours {
        return Ok(Applied { supervisor, started: true, before: None, steps: Vec::new(), notes: Vec::new() });
    }
    let source = Some(loaded.source.clone());
    let request = ApplyRequest { source, plan: String::new(), start: true, replace };
    let proto::v1::ApplyResponse { steps, notes } = supervisor.apply(request).await?;
    Ok(Applied { supervisor, started: false, before: Some(status), steps, notes })
}

/// Returns the running supervisor, unless it is shutting down.
async fn running(endpoint: &Endpoint) -> Result<Option<(Supervisor, Status)>, Failure> {
    let began = Instant::now();
    let mut told = false;
    loop {
        let supervisor = match Supervisor::try_connect(endpoint).await {
            Ok(supervisor) => supervisor,
            Err(ConnectError::Nobody(_)) => return Ok(None),
            Err(error) => return Err(unreachable(endpoint, error)),
        };
        match supervisor.status(false, UNARY_DEADLINE).await {
            Ok(status) if !status.supervisor.as_ref().is_some_and(|supervisor| supervisor.shutting_down) => {
                return Ok(Some((supervisor, status)));
            }
            Ok(_) if began.elapsed() < LEAVING => {}
            // The supervisor exited between the two calls.
            Err(Failure::NoSupervisor { .. }) if began.elapsed() < SILENT => {}
            Ok(_) => return Err(Failure::Refused("the supervisor is still shutting down".into())),
            Err(failure) => return Err(failure),
        }
        if !told {
            note("waiting for a supervisor that is shutting down");
            told = true;
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn report(
    applied: &Applied,
    pid: Option<u32>,
    count: usize,
    place: &Place,
    out: &mut Out,
) -> Result<(), Failure> {
    let file = place.file().display().to_string();
    let file = one_line(&file);
    if applied.started {
        let plural = if count == 1 { "" } else { "s" };
        let pid = pid.unwrap_or_default();
        return out.line(&format!("supervisor started (pid {pid}): {count} service{plural} of {file}"));
    }
    out.line(&format!("applied {file}"))?;
    steps(changing(&applied.steps), &applied.notes, out)
}

/// Shows the logs until all services are stopped, by Ctrl-C here or by `down` elsewhere.
async fn follow(began: Instant, endpoint: &Endpoint, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let request = ReadLogsRequest {
        selection: Some(Selection::default()),
        // Shows everything since `up` began, including output from before the stream was open.
        lines: u32::MAX,
        follow: true,
        stream: LogStream::Unspecified.into(),
        since: Some(to_wire(began.elapsed())),
        after: Vec::new(),
    };
    let stopped = tokio::select! {
        end = logs::show(endpoint, request, out) => Some(end),
        _ = tokio::signal::ctrl_c() => None,
    };
    match stopped {
        Some(Err(Failure::NoSupervisor { .. })) => {
            note("the supervisor has ended");
            Ok(Done::Well)
        }
        Some(end) => end,
        None => {
            note("stopping everything; Ctrl-C again does not wait for it");
            tokio::select! {
                end = down::run(false, place, out) => end,
                _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
            }
        }
    }
}
