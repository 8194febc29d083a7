//! `import`: converts the file of another tool to a `sereno.toml`, and lists the options without an equivalent.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{init, up, write};
use crate::args::setup::{From, Import, ImportPm2, ImportTo};
use crate::args::{OtherFile, Up};
use crate::draft::procfile;
use crate::failure::{Done, Failure, note};
use crate::import::{Dropped, Folders, Imported, pm2, source};
use crate::out::Out;
use crate::place::{self, Place};
use crate::render::{BUSY, DIM, one_line};

#[derive(Serialize)]
struct ImportJson<'a> {
    file: Option<String>,
    services: Vec<&'a str>,
    dropped: &'a [Dropped],
    notes: &'a [String],
    missing: Vec<String>,
    text: &'a str,
}

/// Reads, writes and lists; with `--up` also starts.
pub(super) async fn run(import: Import, out: &mut Out) -> Result<Done, Failure> {
    let to = match &import.from {
        From::Pm2(asked) => &asked.to,
        From::Procfile(asked) => &asked.to,
    };
    let printed = to.output.as_deref() == Some(Path::new("-"));
    let path = write::target(to.output.as_deref().filter(|_| !printed))?;
    if !printed {
        write::free(&path, to.force)?;
    }
    let imported = match &import.from {
        From::Pm2(asked) => from_pm2(asked, &path)?,
        From::Procfile(asked) => from_procfile(&asked.path, &path)?,
    };
    let done = told(imported, to, &path, printed, out)?;
    if !to.up || printed || done == Done::NotWell {
        return Ok(done);
    }
    out.flush()?;
    let up = Up {
        detach: true,
        wait: true,
        timeout: Duration::from_secs(90),
        other: OtherFile { replace: false },
    };
    up::run(&up, &Place::find(Some(&path))?, out).await
}

fn folders(from: &Path, path: &Path) -> Result<Folders, Failure> {
    let from = std::path::absolute(from).map_err(Failure::Start)?;
    let folder = |path: &Path| path.parent().unwrap_or(path).to_owned();
    // Canonical paths: a symbolic link would hide that one folder lies below the other.
    let settled = |path: &Path| folder(path).canonicalize().unwrap_or_else(|_| folder(path));
    Ok(Folders { from: settled(&from), to: settled(path) })
}

fn from_pm2(asked: &ImportPm2, path: &Path) -> Result<Imported, Failure> {
    let env = place::environment();
    let file = std::path::absolute(&asked.path).map_err(Failure::Start)?;
    let source = source::read(&file).map_err(|error| Failure::Usage(error.to_string()))?;
    let profile = asked.env.as_deref();
    let has = |name: &str| source.apps.iter().any(|app| app.contains_key(&format!("env_{name}")));
    if let Some(profile) = profile.filter(|profile| !has(profile)) {
        let keys = source.apps.iter().flat_map(serde_json::Map::keys);
        let mut known: Vec<&str> = keys.filter_map(|key| key.strip_prefix("env_")).collect();
        known.sort_unstable();
        known.dedup();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        return Err(Failure::Usage(format!("--env {profile}: no app has env_{profile}; there are: {known}")));
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = pm2::Wanted { profile, env: &env, processors };
    let mut imported = pm2::import(source, &folders(&file, path)?, &wanted);
    imported.draft.head = vec![format!(
        "Made by \"ctl import pm2 {}\"; what has no place here it listed, with the reason.",
        asked.path.display()
    )];
    if imported.draft.services.is_empty() {
        let why: Vec<String> =
            imported.dropped.iter().map(|one| format!("{}: {}", one.service, one.reason)).collect();
        return Err(Failure::Refused(format!(
            "{}: no app could be taken over ({})",
            file.display(),
            why.join("; ")
        )));
    }
    Ok(imported)
}

fn from_procfile(file: &Path, path: &Path) -> Result<Imported, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("read {}: {error}", file.display())))?;
    let folders = folders(file, path)?;
    let cwd = folders.written(&folders.from);
    let (mut draft, odd) = procfile::read(&text, (cwd != ".").then_some(&*cwd));
    procfile::with_ports(&mut draft);
    procfile::with_env_file(&mut draft, &folders.from, &folders.written(&folders.from.join(".env")));
    if draft.services.is_empty() {
        return Err(Failure::Usage(format!("read {}: no line of it is \"name: command\"", file.display())));
    }
    draft.head = vec![format!("Made by \"ctl import procfile {}\".", file.display())];
    let dropped = odd.into_iter().map(|(number, line)| Dropped {
        service: String::new(),
        option: format!("line {number} ({line})"),
        reason: "it is not \"name: command\"".into(),
    });
    Ok(Imported { dropped: dropped.collect(), draft, notes: Vec::new() })
}

fn told(
    mut imported: Imported,
    to: &ImportTo,
    path: &Path,
    printed: bool,
    out: &mut Out,
) -> Result<Done, Failure> {
    let env = place::environment();
    let (refused, world) = write::settled(&mut imported.draft, path, &env)?;
    imported.dropped.extend(refused.into_iter().map(|gone| Dropped {
        service: gone.service,
        option: gone.key,
        reason: gone.rule,
    }));
    // Groups the entries by service, in the order of the file.
    let order: Vec<String> = imported.dropped.iter().map(|one| one.service.clone()).collect();
    imported.dropped.sort_by_key(|one| order.iter().position(|name| *name == one.service));
    let text = imported.draft.text();
    if !printed {
        write::write(path, &text, to.force, true)?;
    }
    let services: Vec<&str> = imported.draft.services.iter().map(|service| &*service.name).collect();
    if out.json {
        let file = (!printed).then(|| path.display().to_string());
        let missing = world.0.iter().map(ToString::to_string).collect();
        let (dropped, notes) = (&*imported.dropped, &*imported.notes);
        out.document(&ImportJson { file, services, dropped, notes, missing, text: &text })?;
    } else if printed {
        out.text(&text)?;
        // The file goes to stdout, so the remarks go to stderr.
        for one in &imported.dropped {
            note(&format!("dropped {} {}: {}", one.service, one.option, one.reason));
        }
    } else {
        out.line(&format!("wrote {}: {}", path.display(), services.join(", ")))?;
        list(&imported, out)?;
    }
    Ok(init::missing(&world))
}

fn list(imported: &Imported, out: &mut Out) -> Result<(), Failure> {
    if !imported.dropped.is_empty() {
        out.line("")?;
        out.line("Not taken over:")?;
    }
    for one in &imported.dropped {
        let of = if one.service.is_empty() { String::new() } else { format!("{}: ", one.service) };
        let what = out.look.paint(BUSY, &one_line(&format!("{of}{}", one.option)));
        out.line(&format!("  {what}"))?;
        for line in wrapped(&one.reason, out.look.width.saturating_sub(6).max(30)) {
            out.line(&format!("      {line}"))?;
        }
    }
    if !imported.notes.is_empty() {
        out.line("")?;
    }
    for text in &imported.notes {
        for line in wrapped(text, out.look.width.max(30)) {
            let line = out.look.paint(DIM, &line);
            out.line(&line)?;
        }
    }
    Ok(())
}

/// Wraps text at word boundaries.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in one_line(text).split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}
