//! `context`: supervisors on other machines, stored by name.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::args::access::ContextCommand;
use crate::context::{Context, Contexts};
use crate::failure::{Done, Failure};
use crate::out::Out;

/// The word for no context.
const NONE: &str = "none";

#[derive(Serialize)]
struct ContextJson<'a> {
    name: &'a str,
    current: bool,
    #[serde(flatten)]
    context: &'a Context,
}

/// Adds, selects, shows or removes a context.
pub(super) fn run(command: &ContextCommand, out: &mut Out) -> Result<Done, Failure> {
    let path =
        Contexts::path().ok_or_else(|| Failure::Usage("there is no folder to keep contexts in".into()))?;
    let mut all = Contexts::load(&path)?;
    let unknown = |name: &str| Failure::Usage(format!("there is no context {name:?}"));
    let done = match command {
        ContextCommand::Add { name, endpoint, credentials } => {
            if name.as_str() == NONE {
                return Err(Failure::Usage("\"none\" means no context: give it another name".into()));
            }
            let context = Context {
                endpoint: endpoint.to_string(),
                token_file: credentials.token_file.as_deref().map(absolute),
                ca: credentials.ca.as_deref().map(absolute),
                cert: credentials.cert.as_deref().map(absolute),
                key: credentials.key.as_deref().map(absolute),
            };
            all.contexts.insert(name.to_string(), context);
            format!("context {name} is {endpoint}; \"ctl context use {name}\" asks it from now on")
        }
        ContextCommand::Use { name } if name.as_str() == NONE => {
            all.current = None;
            "from now on the supervisor of the file is asked".into()
        }
        ContextCommand::Use { name } => {
            let context = all.contexts.get(name.as_str()).ok_or_else(|| unknown(name.as_str()))?;
            let text = format!("from now on {} is asked, unless -f names a file", context.endpoint);
            all.current = Some(name.to_string());
            text
        }
        ContextCommand::Remove { name } => {
            all.contexts.remove(name.as_str()).ok_or_else(|| unknown(name.as_str()))?;
            if all.current.as_deref() == Some(name.as_str()) {
                all.current = None;
            }
            format!("context {name} is forgotten")
        }
        ContextCommand::List => return list(&all, out),
    };
    all.save(&path)?;
    if out.json {
        return list(&all, out);
    }
    out.line(&done)?;
    Ok(Done::Well)
}

fn list(all: &Contexts, out: &mut Out) -> Result<Done, Failure> {
    let is_current = |name: &String| all.current.as_ref() == Some(name);
    if out.json {
        let rows = all.contexts.iter();
        let rows: Vec<_> =
            rows.map(|(name, context)| ContextJson { name, current: is_current(name), context }).collect();
        out.document(&rows)?;
        return Ok(Done::Well);
    }
    if all.contexts.is_empty() {
        out.line("there are none; \"ctl context add NAME --endpoint URI\" makes one")?;
    }
    let width = all.contexts.keys().map(String::len).max().unwrap_or(0);
    for (name, context) in &all.contexts {
        let star = if is_current(name) { '*' } else { ' ' };
        out.line(&format!("{star} {name:<width$}  {}", context.endpoint))?;
    }
    Ok(Done::Well)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}
