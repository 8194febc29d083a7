//! `check`, `plan` and `apply`: validate a file, show its effects, and apply it.

use std::path::Path;

use proto::v1::{ApplyRequest, Effect, PlanRequest, Step};
use serde::Serialize;
use sereno_config::Problem;

use super::replace::is_confirmed;
use crate::client::Supervisor;
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::{self, Place};
use crate::render::{BAD, BUSY, DIM, GOOD, one_line};

#[derive(Serialize)]
struct CheckJson<'a> {
    file: String,
    ok: bool,
    problems: Vec<ProblemJson<'a>>,
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    key: &'a str,
    value: Option<&'a str>,
    rule: &'a str,
    hint: Option<&'a str>,
    service: Option<&'a str>,
    world: bool,
    message: String,
}

/// One step of a plan, for `--json`.
#[derive(Serialize)]
pub(super) struct StepJson<'a> {
    service: &'a str,
    effect: &'static str,
    changes: &'a [String],
}

#[derive(Serialize)]
struct PlanJson<'a> {
    plan: Option<&'a str>,
    steps: Vec<StepJson<'a>>,
    notes: &'a [String],
}

/// Validates a file and shows every problem.
pub(super) fn check(file: Option<&Path>, path: Option<&Path>, out: &mut Out) -> Result<Done, Failure> {
    let env = place::environment();
    let path = place::path(path.or(file), &env)?;
    if out.json {
        let problems = match place::judge(&path, &env) {
            Ok((_, _, world)) => world,
            Err(problems) => problems,
        };
        let problems: Vec<_> = problems.0.iter().map(problem).collect();
        let ok = problems.is_empty();
        let file = path.display().to_string();
        out.document(&CheckJson { file, ok, problems })?;
        // The problems have been printed; only the exit code is missing.
        return if ok { Ok(Done::Well) } else { Err(Failure::Usage("the file has errors".into())) };
    }
    let config = place::load(&path, &env, "it can not be applied")?.config;
    let (services, monitors) = (config.services.len(), config.monitors.len());
    let plural = |count| if count == 1 { "" } else { "s" };
    out.line(&format!(
        "{}: ok, {services} service{}, {monitors} monitor{}",
        path.display(),
        plural(services),
        plural(monitors)
    ))?;
    Ok(Done::Well)
}

fn problem(problem: &Problem) -> ProblemJson<'_> {
    let some = |number: usize| (number != 0).then_some(number);
    ProblemJson {
        file: problem.file.display().to_string(),
        line: some(problem.line),
        column: some(problem.column),
        key: &problem.key,
        value: problem.value.as_deref(),
        rule: &problem.rule,
        hint: problem.hint.as_deref(),
        service: problem.service.as_ref().map(proto::Name::as_str),
        world: problem.world,
        message: problem.to_string(),
    }
}

/// Shows what applying the file would do.
pub(super) async fn plan(place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let loaded = place.load("it can not be applied")?;
    let supervisor = Supervisor::connect(&place.located.supervisor).await?;
    let response = supervisor.plan(PlanRequest { source: Some(loaded.source) }).await?;
    if out.json {
        let (plan, steps) = (Some(&*response.plan), steps_json(&response.steps));
        out.document(&PlanJson { plan, steps, notes: &response.notes })?;
    } else {
        steps(&response.steps, &response.notes, out)?;
    }
    Ok(Done::Well)
}

/// Applies the file and shows the steps taken.
pub(super) async fn apply(mut replace: bool, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let loaded = place.load("nothing was changed")?;
    let supervisor = Supervisor::connect(&place.located.supervisor).await?;
    let response = loop {
        let source = Some(loaded.source.clone());
        let request = ApplyRequest { source, replace, ..ApplyRequest::default() };
        match supervisor.apply(request).await {
            Err(Failure::OtherFile(why)) if !replace && is_confirmed(&why, out)? => replace = true,
            answer => break answer?,
        }
    };
    if out.json {
        let steps = steps_json(&response.steps);
        out.document(&PlanJson { plan: None, steps, notes: &response.notes })?;
    } else {
        steps(changing(&response.steps), &response.notes, out)?;
    }
    Ok(Done::Well)
}

/// Returns the steps that change something.
pub(super) fn changing(steps: &[Step]) -> impl Iterator<Item = &Step> {
    steps.iter().filter(|step| step.effect() != Effect::None)
}

/// Converts the steps for `--json`.
pub(super) fn steps_json(steps: &[Step]) -> Vec<StepJson<'_>> {
    steps
        .iter()
        .map(|step| StepJson { service: &step.service, effect: step.effect().word(), changes: &step.changes })
        .collect()
}

/// Prints a line for each step, with its changes below it, then the notes.
pub(super) fn steps<'a>(
    steps: impl IntoIterator<Item = &'a Step>,
    notes: &[String],
    out: &mut Out,
) -> Result<(), Failure> {
    let steps: Vec<&Step> = steps.into_iter().collect();
    let width = steps.iter().map(|step| step.service.chars().count()).max().unwrap_or(0);
    for step in &steps {
        let style = match step.effect() {
            Effect::Start => GOOD,
            Effect::Restart => BUSY,
            Effect::Stop => BAD,
            Effect::Live | Effect::None | Effect::Unspecified => DIM,
        };
        let effect = out.look.paint(style, step.effect().word());
        out.line(&format!("{:<width$}  {effect}", one_line(&step.service)))?;
        for change in &step.changes {
            out.line(&format!("    {}", one_line(change)))?;
        }
    }
    for note in notes {
        out.line(&out.look.paint(BUSY, &one_line(note)))?;
    }
    if steps.is_empty() && notes.is_empty() {
        out.line("nothing changes")?;
    }
    Ok(())
}
