//! `startup`: writes, enables, shows and removes the unit that starts the supervisor at boot.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sereno_config::Env;

use crate::args::setup::{AtBoot, BootArgs, Startup};
use crate::boot::{self, Boot};
use crate::failure::{Done, Failure, note};
use crate::out::Out;
use crate::place::{self, Place};
use crate::tool;

#[derive(Serialize)]
struct StartupJson<'a> {
    unit: String,
    installed: bool,
    current: bool,
    text: &'a str,
}

struct Target {
    name: String,
    path: PathBuf,
    text: String,
    system: bool,
}

/// Runs the command on the unit of this file.
pub(super) fn run(startup: &Startup, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let (AtBoot::Install(args) | AtBoot::Remove(args) | AtBoot::Show(args)) = &startup.what;
    let target = target(args, place)?;
    match &startup.what {
        AtBoot::Install(_) => install(&target, place, out),
        AtBoot::Remove(_) => remove(&target, out),
        AtBoot::Show(_) => show(&target, out),
    }
}

fn target(args: &BootArgs, place: &Place) -> Result<Target, Failure> {
    let env = place::environment();
    let home = env.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let config = env.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let os = std::env::consts::OS;
    let (mine, everybodys) = (env.get("APPDATA"), env.get("PROGRAMDATA").or_else(|| env.get("ProgramData")));
    let config = match (os, if args.system { everybodys } else { mine }) {
        ("windows", Some(folder)) => PathBuf::from(folder),
        _ => config.unwrap_or_else(|| home.join(".config")),
    };
    let root = || match os {
        "macos" => uid() == "0",
        _ => std::fs::read_to_string("/proc/self/status").is_ok_and(|text| text.contains("\nUid:\t0\t")),
    };
    let system = args.system || (!args.user && !windows() && root());
    let name = args.name.as_deref().map_or_else(|| boot::name(place.file()), crate::draft::name);
    let path = boot::path(os, &name, system, &config, &home).ok_or_else(|| {
        Failure::Refused(format!(
            "{os}: starting at boot is not in this version; let \"ctl up -d\" be run at log-on, by the system's own means"
        ))
    })?;
    let own = std::env::current_exe().map_err(Failure::Start)?;
    let program = own.with_file_name(format!("supervisor{}", std::env::consts::EXE_SUFFIX));
    let located = &place.located;
    let boot = Boot { program: &program, home: located.home.root(), file: &located.file, system };
    let text = match os {
        "windows" => boot::task(&boot, Some(&user(&env)).filter(|_| !system).map(String::as_str)),
        "macos" => boot::plist(&boot, &format!("dev.{name}")),
        _ => boot::unit(&boot),
    };
    Ok(Target { name, path, text, system })
}

/// Returns the user's name in the Windows form.
fn user(env: &Env) -> String {
    let [domain, name] = ["USERDOMAIN", "USERNAME"].map(|name| env.get(name).map_or("", String::as_str));
    if domain.is_empty() { name.into() } else { format!(r"{domain}\{name}") }
}

fn install(target: &Target, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    // At boot the applied file runs, never a newer version that was not reviewed.
    if !place.located.home.state().join("applied.toml").is_file() {
        return Err(Failure::Refused("nothing was applied yet: \"ctl up -d\" first, then this".into()));
    }
    let path = &target.path;
    let refuse = |error: std::io::Error| {
        let hint = match (target.system, std::env::consts::OS) {
            (true, "windows") => " (as an administrator, or without --system)",
            (true, _) => " (as root, or with --user)",
            (false, _) => "",
        };
        Failure::Refused(format!("write {}: {error}{hint}", path.display()))
    };
    if let Ok(there) = std::fs::read_to_string(path)
        && started(&there) != started(&target.text)
    {
        return Err(Failure::Refused(format!(
            "{} starts another Sereno: --name gives this one another name",
            path.display()
        )));
    }
    std::fs::create_dir_all(path.parent().unwrap_or(path)).map_err(refuse)?;
    std::fs::write(path, &target.text).map_err(refuse)?;
    out.line(&format!("wrote {}", path.display()))?;
    let mut well = true;
    for command in enabling(target) {
        well &= tried(&command, out)?;
    }
    if well {
        let at_log_on = !target.system && std::env::consts::OS != "linux";
        let when = if at_log_on { "your next log-on" } else { "the next boot" };
        out.line(&format!("the supervisor starts at {when}; the one that runs now goes on"))?;
    }
    Ok(Done::when(well))
}

fn remove(target: &Target, out: &mut Out) -> Result<Done, Failure> {
    if !target.path.exists() {
        out.line(&format!("{} is not installed", target.path.display()))?;
        return Ok(Done::Well);
    }
    // Does not stop the supervisor: only the next boot changes.
    let task = windows().then(|| words(["schtasks", "/delete", "/tn", &target.name, "/f"]));
    let unit = format!("{}.service", target.name);
    let disabled = match task.or_else(|| systemctl(target, &["disable", &unit])) {
        Some(command) => tried(&command, out)?,
        None => true,
    };
    std::fs::remove_file(&target.path)
        .map_err(|error| Failure::Refused(format!("delete {}: {error}", target.path.display())))?;
    out.line(&format!("deleted {}", target.path.display()))?;
    if let Some(reload) = systemctl(target, &["daemon-reload"]).filter(|_| disabled) {
        tried(&reload, out)?;
    }
    Ok(Done::Well)
}

fn show(target: &Target, out: &mut Out) -> Result<Done, Failure> {
    let there = std::fs::read_to_string(&target.path).ok();
    let (installed, current) = (there.is_some(), there.as_deref() == Some(&target.text));
    if out.json {
        let unit = target.path.display().to_string();
        out.document(&StartupJson { unit, installed, current, text: &target.text })?;
        return Ok(Done::Well);
    }
    let state = match (installed, current) {
        (true, true) => "installed",
        (true, false) => "installed, but not as below: \"ctl startup install\" writes it anew",
        (false, _) => "not installed: \"ctl startup install\" does it",
    };
    out.line(&format!("# {}: {state}", target.path.display()))?;
    out.text(&target.text)?;
    Ok(Done::Well)
}

/// Returns what a unit starts.
fn started(unit: &str) -> Option<String> {
    let line = unit.lines().find(|line| line.starts_with("ExecStart=") || line.contains("--resume"))?;
    Some(line.split("--resume").nth(1).unwrap_or(line).to_owned())
}

fn enabling(target: &Target) -> Vec<Vec<String>> {
    if windows() {
        let file = target.path.display().to_string();
        return vec![words(["schtasks", "/create", "/tn", &target.name, "/xml", &file, "/f"])];
    }
    let unit = format!("{}.service", target.name);
    let mut commands: Vec<Vec<String>> =
        [systemctl(target, &["daemon-reload"]), systemctl(target, &["enable", &unit])]
            .into_iter()
            .flatten()
            .collect();
    if commands.is_empty() {
        // Only enables the job and does not load it: loading would start a second supervisor at once.
        // Launchd reads the folder by itself.
        let domain = if target.system { "system".into() } else { format!("gui/{}", uid()) };
        return vec![words(["launchctl", "enable", &format!("{domain}/dev.{}", target.name)])];
    }
    if !target.system {
        commands.push(vec!["loginctl".into(), "enable-linger".into()]);
    }
    commands
}

/// Returns the user id, which names launchd's domain.
fn uid() -> String {
    let said = tool::ask("id", ["-u"]).map(|said| said.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).trim().to_owned()
}

fn windows() -> bool {
    std::env::consts::OS == "windows"
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn systemctl(target: &Target, args: &[&str]) -> Option<Vec<String>> {
    (std::env::consts::OS == "linux").then(|| {
        let scope = (!target.system).then_some("--user");
        std::iter::once("systemctl").chain(scope).chain(args.iter().copied()).map(str::to_owned).collect()
    })
}

/// Runs a command. If it fails, the user can run it later.
fn tried(command: &[String], out: &mut Out) -> Result<bool, Failure> {
    let line = command.join(" ");
    let (program, args) = command.split_first().map_or((Path::new(""), &[][..]), |(p, a)| (Path::new(p), a));
    let said = tool::ask(program, args);
    let why = match said {
        Ok(said) if said.status.success() => {
            out.line(&format!("ran {line}"))?;
            return Ok(true);
        }
        Ok(said) => {
            let text = String::from_utf8_lossy(&said.stderr);
            text.lines().next().unwrap_or("it failed").trim().to_owned()
        }
        Err(error) => error.to_string(),
    };
    out.flush()?;
    let then = if windows() {
        "run it in a terminal of an administrator"
    } else {
        "run it where the init system runs"
    };
    note(&format!("{line}: {why}; {then}"));
    Ok(false)
}
