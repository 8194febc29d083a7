//! Documentation of `ctl`: completions, man pages, the reference, the schema.

use std::fmt::Write as _;
use std::path::Path;

use clap::CommandFactory as _;

use crate::args::Args;
use crate::complete;
use crate::failure::{Done, Failure};
use crate::out::Out;

/// Writes the completion script of a shell. It asks `ctl` at each completion, so that names come from the file.
pub(super) fn completions(shell: clap_complete::Shell, out: &mut Out) -> Result<Done, Failure> {
    let script = complete::registration(shell)
        .ok_or_else(|| Failure::Refused(format!("{shell}: there are no completions for it")))?;
    out.bytes(&script)?;
    Ok(Done::Well)
}

/// Prints the schema of `sereno.toml`.
pub(super) fn schema(out: &mut Out) -> Result<Done, Failure> {
    out.text(&sereno_config::schema())?;
    Ok(Done::Well)
}

/// Writes a man page for `ctl` and each of its commands.
pub(super) fn man(folder: &Path, out: &mut Out) -> Result<Done, Failure> {
    let refuse = |error: std::io::Error| Failure::Refused(format!("write {}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(refuse)?;
    clap_mangen::generate_to(Args::command(), folder).map_err(refuse)?;
    out.line(&format!("man pages are in {}", folder.display()))?;
    Ok(Done::Well)
}

/// Prints every command in Markdown, for `docs/commands.md`.
pub(super) fn reference(out: &mut Out) -> Result<Done, Failure> {
    let mut command = Args::command();
    command.build();
    let mut text = String::from(HEAD);
    section(&command, &mut text);
    for sub in command.get_subcommands() {
        part(sub, &mut text);
    }
    out.text(text.trim_end())?;
    out.line("")?;
    Ok(Done::Well)
}

const HEAD: &str = "# Commands\n\nEvery command of `ctl`, from its own definition (`ctl reference`); a test holds this \
file against it. Words are written as `ctl COMMAND --help` says them.\n\n";

fn part(command: &clap::Command, text: &mut String) {
    if command.is_hide_set() {
        return;
    }
    let path = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let _ = writeln!(text, "## `{path}`\n");
    section(command, text);
    for sub in command.get_subcommands() {
        part(sub, text);
    }
}

fn section(command: &clap::Command, text: &mut String) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(text, "{about}.\n");
    let others: Vec<String> = command.get_all_aliases().map(|alias| format!("`{alias}`")).collect();
    if !others.is_empty() {
        let _ = writeln!(text, "Also: {}.\n", others.join(", "));
    }
    let mut usage = command.clone();
    let usage = usage.render_usage().to_string();
    let _ = writeln!(text, "```text\n{}\n```\n", usage.trim_start_matches("Usage: ").trim());
    let arguments: Vec<&clap::Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str()))
        // Global options are listed once, at the top.
        .filter(|arg| !arg.is_global_set() || !command.get_bin_name().unwrap_or("ctl").contains(' '))
        .collect();
    if arguments.is_empty() {
        return;
    }
    let _ = writeln!(text, "| | default | |\n|---|---|---|");
    for arg in arguments {
        let default: Vec<String> = if arg.get_action().takes_values() && !arg.is_hide_default_value_set() {
            arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect()
        } else {
            Vec::new()
        };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let default = default.join(" ");
        let _ = writeln!(
            text,
            "| `{}` | {default} | {} |",
            names(arg),
            help.replace('\n', " ").replace('|', "\\|")
        );
    }
    text.push('\n');
}

fn names(arg: &clap::Arg) -> String {
    let value = arg.get_value_names().unwrap_or_default().join(" ");
    let takes = arg.get_action().takes_values();
    let (short, long) = (arg.get_short().map(|s| format!("-{s}")), arg.get_long().map(|l| format!("--{l}")));
    let named: Vec<String> = [short, long].into_iter().flatten().collect();
    match (named.is_empty(), takes) {
        (true, _) => value,
        (false, true) => format!("{} {value}", named.join(", ")),
        (false, false) => named.join(", "),
    }
}
