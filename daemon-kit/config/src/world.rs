//! Checks that the host has what a file names: programs, folders, files, users.
//!
//! This is done before anything changes (`check`, `up`, `apply`). The supervisor looks again before a start, with
//! [`resolve_program`], [`service_env`](super::service_env) and [`account()`](super::account()); an error then fails only
//! that start.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use proto::Name;

use super::account::{self, AccountError, account};
use super::model::{CheckSpec, Command, Config, Service};
use super::problem::{Problem, Problems};
use super::{Env, environ, tree, trust};

/// Checks everything that a file names. Each problem names the service it belongs to.
pub fn check_world(config: &Config, env: &Env) -> Problems {
    let mut problems = Vec::new();
    for (name, service) in &config.services {
        let key = tree::join("services", name.as_str());
        let world = World { config, name: Some(name), key, problems: Vec::new() };
        problems.extend(world.service(service, env));
    }
    for (name, monitor) in &config.monitors {
        let key = tree::join("monitors", name.as_str());
        let mut world = World { config, name: None, key, problems: Vec::new() };
        if let Some(program) = &monitor.program {
            world.check("program", resolve_program(program, &config.base, environ::path_of(env)));
        }
        problems.extend(world.problems);
    }
    if let Some(tls) = &config.supervisor.tls {
        let mut world = World { config, name: None, key: "supervisor".into(), problems: Vec::new() };
        let usable = tls.load().and_then(|material| material.server(std::sync::Arc::default()));
        world.check("tls", usable);
        problems.extend(world.problems);
    }
    Problems::sorted(problems)
}

struct World<'a> {
    config: &'a Config,
    name: Option<&'a Name>,
    key: String,
    problems: Vec<Problem>,
}

impl World<'_> {
    fn check<T, E: Display>(&mut self, key: &str, found: Result<T, E>) -> Option<T> {
        found
            .map_err(|error| {
                let key = format!("{}.{key}", self.key);
                let rule = error.to_string();
                self.problems.push(self.config.places.problem(&self.config.path, &key, self.name, rule));
            })
            .ok()
    }

    fn service(mut self, service: &Service, caller: &Env) -> Vec<Problem> {
        let account = account(service.user.as_deref(), service.group.as_deref());
        let key = if matches!(account, Err(AccountError::NoGroup(_))) { "group" } else { "user" };
        let account = self.check(key, account);
        if let Some(account) = &account {
            self.check("user", account::may_become(account));
            for path in &service.env_file {
                let whose = trust::of_env_file(path, account.uid);
                self.check("env_file", whose.map_err(|why| format!("{}: {why}", path.display())));
            }
        }
        let account = account.unwrap_or_default();
        self.check("capabilities", account::may_confine(service.capabilities.is_some()));
        self.check("no_new_privileges", account::can_confine(service.no_new_privileges));
        let cwd = self.check("cwd", folder(&service.cwd));
        let env = self.check("env_file", environ::service_env(service, &account, caller));
        // Without either of them, a missing program is only a consequence.
        if let (Some(()), Some(env)) = (cwd, &env) {
            let path = environ::path_of(env);
            if let Command::Argv(argv) = &service.command {
                self.program("command", argv, &service.cwd, path);
            }
            self.program(
                "stop.command",
                service.stop.command.as_deref().unwrap_or_default(),
                &service.cwd,
                path,
            );
            let evidence = service.stop.evidence.as_ref().and_then(|evidence| evidence.command.as_deref());
            self.program("stop.evidence.command", evidence.unwrap_or_default(), &service.cwd, path);
            for (id, check) in &service.checks {
                if let CheckSpec::Exec { argv, cwd, env: own } = &check.spec {
                    let path = environ::path_of(own).or(path);
                    let key = tree::join("checks", id.as_str());
                    self.program(&format!("{key}.command"), argv, cwd, path);
                }
            }
        }
        let job = service.schedule.as_ref().map(|schedule| ("schedule.timezone", &schedule.cron));
        let restarts = service.restart.cron.as_ref().map(|cron| ("restart.timezone", cron));
        for (key, cron) in job.into_iter().chain(restarts) {
            self.check(key, cron.check_zone());
        }
        for (id, check) in &service.checks {
            if let CheckSpec::Http(http) = &check.spec
                && let Some(file) = &http.ca_file
            {
                let id = id.as_str();
                let below = if id == "health" { id.into() } else { tree::join("checks", id) };
                self.check(&format!("{below}.ca_file"), readable(file));
            }
        }
        self.problems
    }

    fn program(&mut self, key: &str, argv: &[String], cwd: &Path, path: Option<&str>) {
        if let Some(program) = argv.first() {
            self.check(key, resolve_program(program, cwd, path));
        }
    }
}

/// Why a folder or a file cannot be used.
#[derive(Debug, thiserror::Error)]
enum PathError {
    #[error("{} is not a folder", .0.display())]
    NoFolder(PathBuf),
    #[error("can not find the folder {}: {}", .0.display(), short(.1))]
    NotFound(PathBuf, io::Error),
    #[error("can not open {}: {}", .0.display(), short(.1))]
    NotOpened(PathBuf, io::Error),
}

fn folder(path: &Path) -> Result<(), PathError> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(PathError::NoFolder(path.into())),
        Err(error) => Err(PathError::NotFound(path.into(), error)),
    }
}

fn readable(path: &Path) -> Result<(), PathError> {
    std::fs::File::open(path).map(drop).map_err(|error| PathError::NotOpened(path.into(), error))
}

/// Formats an error of the system without its number.
pub(super) fn short(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

// ---- programs ----

/// Why a program can not be run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Its name is empty.
    #[error("can not run a program without a name")]
    NoName,
    /// No folder of `PATH` has it, nor the working directory.
    #[error("can not find the program {0:?} in PATH nor in {cwd}", cwd = .1.display())]
    NotInPath(String, PathBuf),
    /// There is nothing at its path.
    #[error("can not find the program {}: {}", .0.display(), short(.1))]
    Unfound(PathBuf, #[source] io::Error),
    /// It is a folder.
    #[error("can not run {}: it is a folder", .0.display())]
    Folder(PathBuf),
    /// Nobody may execute it.
    #[error("can not run {}: it is not executable (chmod +x)", .0.display())]
    NotExecutable(PathBuf),
}

/// The folders of programs if `PATH` is not set.
const PATH: &str = if cfg!(windows) { "" } else { "/usr/local/bin:/usr/bin:/bin" };

/// Finds a program of a service: a name in its `PATH`, then in its `cwd`; a path relative to its `cwd`.
pub fn resolve_program(argv0: &str, cwd: &Path, path_value: Option<&str>) -> Result<PathBuf, ProgramError> {
    let endings = endings();
    let separators: &[char] = if cfg!(windows) { &['/', '\\'] } else { &['/'] };
    if argv0.is_empty() {
        return Err(ProgramError::NoName);
    }
    if argv0.contains(separators) {
        let path: PathBuf = cwd.join(argv0).components().collect();
        return named(&path, &endings).ok_or_else(|| why_not(&path));
    }
    let path_value = path_value.unwrap_or(PATH);
    // An empty entry means the working directory, and a relative entry starts there.
    let folders = std::env::split_paths(OsStr::new(path_value)).map(|folder| cwd.join(folder));
    let mut candidates = folders.chain([cwd.to_owned()]).map(|folder| folder.join(argv0));
    if let Some(found) = candidates.find_map(|path| named(&path, &endings)) {
        return Ok(found);
    }
    let here = cwd.join(argv0);
    if here.is_file() {
        return Err(why_not(&here));
    }
    Err(ProgramError::NotInPath(argv0.into(), cwd.into()))
}

/// Returns the endings that the name of a program may lack.
fn endings() -> Vec<String> {
    if !cfg!(windows) {
        return vec![String::new()];
    }
    let given = std::env::var("PATHEXT").unwrap_or_else(|_| ".COM;.EXE;.BAT;.CMD".into());
    given.split(';').map(str::to_lowercase).chain([String::new()]).collect()
}

fn named(path: &Path, endings: &[String]) -> Option<PathBuf> {
    let with = |ending: &String| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    endings.iter().map(with).find(|path| is_program(path))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file() && path.extension().is_some()
}

fn why_not(path: &Path) -> ProgramError {
    match std::fs::metadata(path) {
        Err(error) => ProgramError::Unfound(path.into(), error),
        Ok(meta) if meta.is_dir() => ProgramError::Folder(path.into()),
        Ok(_) => ProgramError::NotExecutable(path.into()),
    }
}
