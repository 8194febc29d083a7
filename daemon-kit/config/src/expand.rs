//! Replaces `${NAME}`, `${NAME:-default}` and `$$` in texts.

use super::Env;
use super::problem::{Scope, Wrong};
use super::tree::{Node, Value};

/// The variable that names the main process of a run in its `stop.command`. Only the supervisor knows its value.
pub const MAIN_PID: &str = "MAINPID";

/// Returns the variables for `stop.command`, in which `${MAINPID}` remains as it is.
pub(super) fn with_main_pid(env: &Env) -> Env {
    let mut env = env.clone();
    env.insert(MAIN_PID.into(), format!("${{{MAIN_PID}}}"));
    env
}

/// Replaces them in every text below a node. The caller leaves out the `shell` line of a service, which the shell
/// expands.
pub(super) fn node(scope: &Scope<'_>, node: &mut Node, env: &Env) {
    node.each_text(&mut |node| {
        let replaced = match &node.value {
            Value::Text(plain) if plain.contains('$') => text(plain, env),
            _ => return,
        };
        match replaced {
            Ok(replaced) => node.value = Value::Text(replaced),
            Err(wrong) => scope.value(node, None, wrong),
        }
    });
}

/// Replaces them in one text. As in a shell, the default after `:-` also applies if the variable is empty.
pub(super) fn text(text: &str, env: &Env) -> Result<String, Wrong> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inside) = after.strip_prefix('{') {
            let (inside, after) = inside.split_once('}').ok_or("has a ${ without its }")?;
            out.push_str(variable(inside, env)?);
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn variable<'a>(inside: &'a str, env: &'a Env) -> Result<&'a str, Wrong> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let first_ok = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first_ok || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("has ${{{inside}}}, which is neither ${{NAME}} nor ${{NAME:-default}}").into());
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(format!("has a ${{…}} inside the default of ${{{name}:-…}}, which can not be").into());
    }
    match (env.get(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(format!(
            "needs {name}, which is not set here; ${{{name}:-default}} would do without, $$ is a dollar"
        )
        .into()),
    }
}

/// Escapes a text so that [`text`] returns it unchanged.
pub(super) fn escape(text: &str) -> String {
    text.replace('$', "$$")
}
