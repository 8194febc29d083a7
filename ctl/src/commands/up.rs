//! `up`: starts the supervisor for a file, or applies the file to the one that runs.

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
use crate::client::{Supervisor, plainly, unreachable};
use crate::failure::{Done, Failure, note};
use crate::out::Out;
use crate::place::{Loaded, Place};
use crate::render::one_line;
use crate::wait::Waiting;

/// How long a supervisor on its way out is waited for: services may take their whole time-out to stop.
const LEAVING: Duration = Duration::from_secs(120);
/// One that accepts connections and says nothing is not on its way out, it hangs.
const SILENT: Duration = Duration::from_secs(10);
/// How long a supervisor that comes and goes is given to settle.
const SETTLES: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[derive(Serialize)]
struct UpJson<'a> {
    /// Whether a supervisor had to be started.
    started: bool,
    pid: Option<u32>,
    steps: Vec<StepJson<'a>>,
    /// With `--wait`: what became of each service.
    services: Option<Vec<Settled>>,
}

/// What there is after the file was applied.
struct Applied {
    supervisor: Supervisor,
    started: bool,
    before: Option<Status>,
    steps: Vec<Step>,
    notes: Vec<String>,
}

/// Does it, and then returns, waits or shows the logs.
pub(super) async fn run(args: &Up, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let began = Instant::now();
    let loaded = place.load("nothing was started")?;
    let endpoint = &place.located.supervisor;
    let count = loaded.config.services.len();
    let mut replace = args.other.replace;
    let (applied, now) = loop {
        match bring(&loaded, replace, place).await {
            Err(Failure::OtherFile(why)) if !replace && is_confirmed(&why, out)? => replace = true,
            // One that just died is being started again by a monitor: whoever is there in the end gets the file.
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

/// Makes the file the one that runs, and sees that it is.
async fn bring(loaded: &Loaded, replace: bool, place: &Place) -> Result<(Applied, Status), Failure> {
    let applied = apply(loaded, replace, place).await?;
    let now = applied.supervisor.status(false, UNARY_DEADLINE).await?;
    Ok((applied, now))
}

/// Makes the file the one that runs, in whichever supervisor there is afterwards.
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

/// The supervisor that runs and will go on running.
async fn running(endpoint: &Endpoint) -> Result<Option<(Supervisor, Status)>, Failure> {
    let began = Instant::now();
    let mut told = false;
    loop {
        let supervisor = match Supervisor::try_connect(endpoint).await {
            Ok(supervisor) => supervisor,
            Err(ConnectError::Nobody(_)) => return Ok(None),
            Err(error) => return Err(unreachable(endpoint, plainly(&error))),
        };
        match supervisor.status(false, UNARY_DEADLINE).await {
            Ok(status) if !status.supervisor.as_ref().is_some_and(|supervisor| supervisor.shutting_down) => {
                return Ok(Some((supervisor, status)));
            }
            Ok(_) if began.elapsed() < LEAVING => {}
            // Gone between the two calls.
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

/// Shows the logs until everything is stopped, by Ctrl-C here or by `down` elsewhere.
async fn follow(began: Instant, endpoint: &Endpoint, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let request = ReadLogsRequest {
        selection: Some(Selection::default()),
        // All since `up` was typed: also what came before anybody could follow.
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
