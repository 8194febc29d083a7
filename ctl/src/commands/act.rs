//! Commands that tell the supervisor what is wanted of services, and wait for the result.

use std::time::Duration;

use proto::time::to_wire;
use proto::v1::{
    Outcome, PauseRequest, ReloadRequest, ResetRequest, RestartRequest, ResumeRequest, Selection,
    SignalRequest, StartRequest, StopRequest,
};
use serde::Serialize;

use super::settle::{self, Settled};
use crate::args::{Act, Pause, Signal, Whom};
use crate::client::{self, Supervisor};
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::Place;
use crate::render::{BAD, one_line};
use crate::wait::{Goal, Waiting};

/// Commands that wait for their result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Restart,
    Reload,
}

impl Verb {
    fn goal(self) -> Goal {
        match self {
            Self::Start => Goal::Up,
            Self::Stop => Goal::Down,
            Self::Restart | Self::Reload => Goal::Renewed,
        }
    }
}

#[derive(Serialize)]
struct Outcomes {
    outcomes: Vec<Settled>,
}

/// Sends a command and waits until each service has settled.
pub(super) async fn settle(verb: Verb, act: Act, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let endpoint = &place.located.supervisor;
    let whom = selection(act.whom);
    let outcomes = client::ask(endpoint, async |supervisor| {
        let selection = whom.clone();
        Ok(match verb {
            Verb::Start => supervisor.start(StartRequest { selection }).await?.outcomes,
            Verb::Stop => supervisor.stop(StopRequest { selection }).await?.outcomes,
            Verb::Restart => supervisor.restart(RestartRequest { selection }).await?.outcomes,
            Verb::Reload => supervisor.reload(ReloadRequest { selection }).await?.outcomes,
        })
    })
    .await?;
    let width = width(&outcomes);
    let mut all = refused(&outcomes, width, out)?;
    out.flush()?;
    let waiting = Waiting::new(verb.goal(), &outcomes);
    let mut settled = settle::wait(waiting, endpoint, act.timeout, width, out).await?;
    if !out.json {
        // The first part of a message repeats the request; the rest is news, such as dependents that are also affected.
        for outcome in outcomes.iter().filter(|outcome| outcome.ok) {
            if let Some((_, news)) = outcome.message.split_once("; ") {
                out.line(&format!("{:<width$}  {}", one_line(&outcome.service), one_line(news)))?;
            }
        }
    }
    all.append(&mut settled);
    finish(all, out)
}

/// Waits for the effect of a request that the supervisor has accepted.
pub(super) async fn wait_for(
    goal: Goal,
    outcomes: &[Outcome],
    limit: Duration,
    place: &Place,
    out: &mut Out,
) -> Result<Done, Failure> {
    let waiting = Waiting::new(goal, outcomes);
    let settled = settle::wait(waiting, &place.located.supervisor, limit, width(outcomes), out).await?;
    finish(settled, out)
}

/// Sends a signal to the processes of services.
pub(super) async fn signal(args: Signal, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let supervisor = Supervisor::connect(&place.located.supervisor).await?;
    let (signal, main_only) = (args.which, args.main);
    let selection = selection(args.whom);
    let response = supervisor.signal(SignalRequest { selection, signal, main_only }).await?;
    told(&response.outcomes, out)
}

/// Forgets crashes and restarts of services, and retries those that were given up.
pub(super) async fn reset(whom: Whom, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let whom = selection(whom);
    let call =
        async |supervisor: Supervisor| supervisor.reset(ResetRequest { selection: whom.clone() }).await;
    told(&client::ask(&place.located.supervisor, call).await?.outcomes, out)
}

/// Suspends restarts for failing checks, for a time or until `resume`.
pub(super) async fn pause(args: Pause, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let request = PauseRequest { selection: selection(args.whom), r#for: args.time.map(to_wire) };
    let call = async |supervisor: Supervisor| supervisor.pause(request.clone()).await;
    told(&client::ask(&place.located.supervisor, call).await?.outcomes, out)
}

/// Ends the pause of services before its time.
pub(super) async fn resume(whom: Whom, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let whom = selection(whom);
    let call =
        async |supervisor: Supervisor| supervisor.resume(ResumeRequest { selection: whom.clone() }).await;
    told(&client::ask(&place.located.supervisor, call).await?.outcomes, out)
}

#[expect(clippy::unnecessary_wraps, reason = "this is how the wire has it")]
fn selection(whom: Whom) -> Option<Selection> {
    Some(Selection { selectors: whom.services, all: whom.all })
}

/// Prints the outcome of a command that takes no time.
fn told(outcomes: &[Outcome], out: &mut Out) -> Result<Done, Failure> {
    let width = width(outcomes);
    let mut all = refused(outcomes, width, out)?;
    for outcome in outcomes.iter().filter(|outcome| outcome.ok) {
        if !out.json {
            let message = if outcome.message.is_empty() { "done" } else { &outcome.message };
            out.line(&format!("{:<width$}  {}", one_line(&outcome.service), one_line(message)))?;
        }
        all.push(plain(outcome));
    }
    finish(all, out)
}

/// Prints the services for which the request was refused.
fn refused(outcomes: &[Outcome], width: usize, out: &mut Out) -> Result<Vec<Settled>, Failure> {
    let mut all = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| !outcome.ok) {
        if !out.json {
            let word = out.look.paint(BAD, "refused");
            out.line(&format!(
                "{:<width$}  {word}  {}",
                one_line(&outcome.service),
                one_line(&outcome.message)
            ))?;
        }
        all.push(plain(outcome));
    }
    Ok(all)
}

fn plain(outcome: &Outcome) -> Settled {
    Settled {
        service: outcome.service.clone(),
        ok: outcome.ok,
        state: None,
        pid: None,
        incarnation: (outcome.incarnation != 0).then_some(outcome.incarnation),
        message: outcome.message.clone(),
    }
}

fn finish(mut outcomes: Vec<Settled>, out: &mut Out) -> Result<Done, Failure> {
    let well = outcomes.iter().all(|outcome| outcome.ok);
    if out.json {
        outcomes.sort_by(|a, b| a.service.cmp(&b.service));
        out.document(&Outcomes { outcomes })?;
    }
    Ok(Done::when(well))
}

fn width(outcomes: &[Outcome]) -> usize {
    outcomes.iter().map(|outcome| outcome.service.chars().count()).max().unwrap_or(0)
}
