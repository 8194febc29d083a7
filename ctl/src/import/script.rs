//! Determines what PM2 would run: a file with the interpreter of its extension, a program in `PATH`, or a shell line.

use std::path::Path;

use serde_json::Value;

use super::source::App;

/// The command of an app.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// Program with arguments.
    Argv(Vec<String>),
    /// A shell line.
    Shell(String),
}

/// Why an app has no command that can be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoCommand {
    #[error("it has no script")]
    NoScript,
    #[error("PM2's own file server: use one, such as \"python3 -m http.server\" or \"npx serve\"")]
    FileServer,
}

/// Removes the command options from the app, and returns its command.
pub(super) fn take(
    app: &mut App,
    cwd: &Path,
    path: Option<&str>,
    notes: &mut Vec<(String, String)>,
) -> Result<Run, NoCommand> {
    let script = text(app.remove("script")).filter(|script| !script.is_empty()).ok_or(NoCommand::NoScript)?;
    if script == "serve" {
        return Err(NoCommand::FileServer);
    }
    let args = words(app.remove("args"));
    let options = words(app.remove("interpreter_args"));
    let asked = text(app.remove("interpreter"));
    let file = cwd.join(&script);
    if !file.is_file() && script.contains(' ') {
        let words = args.iter().map(|word| shell_words::quote(word).into_owned());
        return Ok(Run::Shell(std::iter::once(script.clone()).chain(words).collect::<Vec<_>>().join(" ")));
    }
    // A file that does not exist (yet) counts as a script by its extension.
    let is_script = by_ending(&script, cwd, path).is_some();
    let is_file = file.is_file() || script.contains('/') || is_script;
    let interpreter = match asked.as_deref() {
        Some("none" | "") => None,
        Some(asked) if asked.starts_with("node@") => {
            notes.push((
                format!("interpreter = {asked}"),
                "the node of PATH is run; give nvm's in command".into(),
            ));
            Some("node".into())
        }
        Some(asked) => Some(program(asked, cwd)),
        // A program in `PATH` needs no interpreter.
        None if !is_file => None,
        None => by_ending(&script, cwd, path),
    };
    let script = match &interpreter {
        None if is_file && !Path::new(&script).is_absolute() && !script.contains('/') => {
            format!("./{script}")
        }
        _ => script,
    };
    let line = interpreter.into_iter().chain(options).chain([script]).chain(args);
    Ok(Run::Argv(line.collect()))
}

/// Prefixes an interpreter below the folder with `./`, so that it is not searched in `PATH`.
fn program(asked: &str, cwd: &Path) -> String {
    let below = asked.contains('/') && !Path::new(asked).is_absolute() && !asked.starts_with('.');
    if below && cwd.join(asked).exists() { format!("./{asked}") } else { asked.into() }
}

fn by_ending(script: &str, cwd: &Path, path: Option<&str>) -> Option<String> {
    let there = |program: &str| sereno_config::resolve_program(program, cwd, path).is_ok();
    let first = |programs: [&str; 2]| {
        programs.into_iter().find(|program| there(program)).unwrap_or(programs[0]).to_owned()
    };
    let ending = Path::new(script).extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
    Some(match ending {
        "js" | "cjs" | "mjs" => "node".into(),
        "py" => first(["python", "python3"]),
        "sh" => "bash".into(),
        "rb" => "ruby".into(),
        "php" => "php".into(),
        "pl" => "perl".into(),
        "ts" | "tsx" => first(["bun", "node"]),
        // It is an executable, or a script with its own interpreter line.
        _ => return None,
    })
}

pub(super) fn text(value: Option<Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Returns a list of words, from a list or from a text split by shell rules.
pub(super) fn words(value: Option<Value>) -> Vec<String> {
    match value {
        Some(Value::Array(list)) => list.into_iter().filter_map(|word| text(Some(word))).collect(),
        Some(Value::String(line)) => {
            shell_words::split(&line).unwrap_or_else(|_| line.split_whitespace().map(str::to_owned).collect())
        }
        other => text(other).into_iter().collect(),
    }
}
