//! Checks the programs beside `ctl`, their versions, sockets without a listener, and monitors that are not attached.

use std::path::Path;

use proto::Endpoint;
use sereno_config::Home;

use super::{Finding, note, well, wrong};
use crate::failure::NoAnswer;
use crate::tool;
use crate::view::View;

const OWN: &str = env!("CARGO_PKG_VERSION");

/// Checks the programs that belong together.
pub(crate) fn programs(folder: &Path, found: &mut Vec<Finding>) {
    let fix = "install all four programs of one version into one folder (cargo deploy install)";
    let mut good = true;
    for name in ["supervisor", "health-monitor", "port-monitor"] {
        let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        let said = tool::ask(&program, ["--version"]);
        let problem = match said {
            Err(error) => format!("{} can not be run: {}", program.display(), plain(&error)),
            Ok(said) => {
                let text = String::from_utf8_lossy(&said.stdout);
                let version = text.split_whitespace().last().unwrap_or("none");
                if version == OWN {
                    continue;
                }
                format!("{} is version {version}, ctl is {OWN}", program.display())
            }
        };
        good = false;
        found.push(wrong("programs", problem, fix));
    }
    if good {
        found.push(well("programs", format!("all of version {OWN}, in {}", folder.display())));
    }
}

/// Checks the daemons by their own reports.
pub(crate) fn daemons(view: &View, home: &Home, found: &mut Vec<Finding>) {
    match &view.supervisor {
        Err(why) => {
            let stale = socket(home, "supervisor").filter(|path| path.exists());
            let found_text = format!("the supervisor does not run ({why})");
            match stale {
                Some(path) if matches!(why, NoAnswer::Silent(_)) => found.push(wrong(
                    "supervisor",
                    format!("{}: something listens and does not answer", path.display()),
                    "a monitor kills and replaces it after guard.hang; else end that process and \"ctl up -d\"",
                )),
                Some(path) => found.push(note(
                    "supervisor",
                    format!("{found_text}; {} is left from an earlier one", path.display()),
                    "\"ctl up -d\" takes the socket over",
                )),
                None => found.push(note("supervisor", found_text, "\"ctl up -d\" starts it")),
            }
        }
        Ok(supervisor) => {
            versions("supervisor", &supervisor.version, found);
            if supervisor.config_newer {
                found.push(note(
                    "supervisor",
                    "the file has changed since it was applied",
                    "\"ctl plan\" shows what would happen, \"ctl apply\" does it",
                ));
            }
            for unbound in &supervisor.unbound {
                found.push(wrong(
                    "endpoints",
                    format!("can not be bound: {unbound}"),
                    "it is tried again every 5 s: end whoever holds it (\"ss -ltnp\" names them), or put another one into \
                     [supervisor] listen or metrics, \"ctl apply\" and \"ctl upgrade\"",
                ));
            }
            monitors(view, found);
            if let Some(why) = &supervisor.unguarded {
                let fix = if view.daemons.is_empty() {
                    "[supervisor] guard = true (then \"ctl apply\"), or \"ctl startup install\""
                } else {
                    "\"ctl why guard\" and \"ctl logs guard\" say why; \"ctl restart guard\""
                };
                let what = format!("unguarded: nobody starts the supervisor again if it is killed ({why})");
                found.push(note("guard", what, fix));
            } else if let Some(guard) = view.daemons.first() {
                found.push(well("guard", format!("{} runs, as no built-in monitor guards", guard.name)));
            }
        }
    }
}

fn monitors(view: &View, found: &mut Vec<Finding>) {
    for monitor in &view.monitors {
        let name = &monitor.name;
        match &monitor.answer {
            Err(why) => found.push(wrong(
                "monitors",
                format!("{name} does not answer at {}: {why}", monitor.endpoint),
                format!("\"ctl why {name}\" and \"ctl logs {name}\" say why; \"ctl restart {name}\""),
            )),
            Ok(_) if !monitor.attached => found.push(wrong(
                "monitors",
                format!("{name} runs and is not attached: its checks count for nothing"),
                format!("\"ctl logs {name}\" says what keeps it from the supervisor; \"ctl restart {name}\""),
            )),
            Ok(up) => {
                match &monitor.program {
                    Some(program) => found.push(well(
                        "daemons",
                        format!("{name} answers, version {} of {program}", up.version),
                    )),
                    None if monitor.managed != Some(true) => found.push(well(
                        "daemons",
                        format!("{name} answers, version {}; it is not run here", up.version),
                    )),
                    None => versions(name, &up.version, found),
                }
                if let Some(why) = &monitor.blind {
                    found.push(wrong(
                        "monitors",
                        format!("{name} doubts what it measures: {why}"),
                        "its restarts are held until that is over; look at this machine's network and descriptors",
                    ));
                }
            }
        }
    }
}

fn versions(name: &str, version: &str, found: &mut Vec<Finding>) {
    if version == OWN {
        return found.push(well("daemons", format!("{name} answers, version {version}")));
    }
    let fix = match name {
        "supervisor" => "\"ctl upgrade\" puts the installed one into the running process".to_owned(),
        _ => format!("\"ctl restart {name}\" starts the installed one"),
    };
    found.push(wrong("daemons", format!("{name} runs version {version}, ctl is {OWN}"), fix));
}

fn socket(home: &Home, daemon: &str) -> Option<std::path::PathBuf> {
    match home.endpoint(daemon) {
        Endpoint::Unix(path) => Some(path),
        _ => None,
    }
}

fn plain(error: &std::io::Error) -> String {
    let text = error.to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
