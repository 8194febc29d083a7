//! `init`: writes a first file for the programs found in the folder.

use serde::Serialize;
use sereno_config::Problems;

use super::write;
use crate::args::setup::Init;
use crate::draft::look;
use crate::failure::{Done, Failure, note};
use crate::out::Out;
use crate::place;

#[derive(Serialize)]
struct InitJson<'a> {
    file: Option<String>,
    services: Vec<&'a str>,
    missing: Vec<String>,
    text: &'a str,
}

/// Inspects the folder, writes the file, and prints the next steps.
pub(super) fn run(init: &Init, out: &mut Out) -> Result<Done, Failure> {
    let env = place::environment();
    let path = write::target(init.output.as_deref())?;
    if !init.print {
        write::free(&path, init.force)?;
    }
    let folder = path.parent().unwrap_or(&path);
    let mut draft = look::folder(folder);
    let (_, world) = write::settled(&mut draft, &path, &env)?;
    let text = draft.text();
    if !init.print {
        write::write(&path, &text, init.force, false)?;
    }
    let services: Vec<&str> = draft.services.iter().map(|service| &*service.name).collect();
    if out.json {
        let file = (!init.print).then(|| path.display().to_string());
        let missing = world.0.iter().map(ToString::to_string).collect();
        out.document(&InitJson { file, services, missing, text: &text })?;
    } else if init.print {
        out.text(&text)?;
    } else {
        out.line(&format!("wrote {}: {}", path.display(), services.join(", ")))?;
        if world.0.is_empty() {
            out.line("next: read it, then \"ctl up -d --wait\"")?;
        }
    }
    Ok(missing(&world))
}

/// Prints what the file refers to but does not exist.
pub(super) fn missing(world: &Problems) -> Done {
    for problem in &world.0 {
        note(&problem.to_string());
    }
    if !world.0.is_empty() {
        note("before \"ctl up\": put right what is said above; \"ctl check\" says whether it is");
    }
    Done::when(world.0.is_empty())
}
