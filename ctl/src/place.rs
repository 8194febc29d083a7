//! Finds the `sereno.toml` to use, and with it the home, the endpoints and the monitors.

use std::path::{Path, PathBuf};

use proto::Endpoint;
use proto::v1::Source;
use sereno_config::{Config, Env, Located, Problems};

use crate::args::access::Remote;
use crate::context::{self, Contexts};
use crate::failure::{Failure, note};

/// A file with the locations derived from it; or a remote supervisor.
pub(crate) struct Place {
    /// File, home and endpoints; complete even if the file has errors.
    pub(crate) located: Located,
    /// For a remote supervisor, what named it: a flag, a context or a variable.
    pub(crate) elsewhere: Option<String>,
    env: Env,
}

impl Place {
    /// Returns the remote supervisor that a flag, a context or the environment names, else the one of the file.
    /// Also sets the credentials of this process.
    pub(crate) fn asked(explicit: Option<&Path>, remote: &Remote) -> Result<Self, Failure> {
        let env = environment();
        let contexts = match Contexts::path() {
            Some(path) => Contexts::load(&path)?,
            None => Contexts::default(),
        };
        let mut resolved = context::resolve(remote, explicit.is_some(), &env, &contexts)?;
        let Some(endpoint) = resolved.endpoint.take() else {
            let place = Self::find(explicit)?;
            // Remote monitors are asked with the certificate of this file's supervisor.
            let own = place.located.tls.iter().find(|(table, _)| table == "supervisor");
            resolved.credentials.tls =
                resolved.credentials.tls.or_else(|| own.map(|(_, files)| files.clone()));
            context::set_credentials(resolved.credentials);
            return Ok(place);
        };
        context::set_credentials(resolved.credentials);
        let located = Located {
            file: endpoint.to_string().into(),
            home: sereno_config::Home::at(Path::new("")),
            supervisor: endpoint,
            tls: Vec::new(),
            monitors: Vec::new(),
            problems: Problems::default(),
        };
        Ok(Self { located, elsewhere: Some(resolved.by), env })
    }

    /// Finds the file, and prints a note if it has errors.
    pub(crate) fn find(explicit: Option<&Path>) -> Result<Self, Failure> {
        let env = environment();
        let file = path(explicit, &env)?;
        let located = sereno_config::locate(&file, &env).map_err(|problems| refused(&problems, &file, ""))?;
        if !located.problems.0.is_empty() {
            note(&format!("{}: has errors (see \"ctl check\"); going on with defaults", file.display()));
        }
        Ok(Self { located, elsewhere: None, env })
    }

    /// Returns the same place with another supervisor and no monitors.
    pub(crate) fn at(&self, supervisor: Endpoint) -> Self {
        let located = Located { supervisor, monitors: Vec::new(), ..self.located.clone() };
        Self { located, elsewhere: None, env: self.env.clone() }
    }

    /// Finds the file without printing anything, for use by a shell's completion.
    pub(crate) fn quietly(explicit: Option<&Path>) -> Option<Self> {
        let env = environment();
        let file = path(explicit, &env).ok()?;
        let located = sereno_config::locate(&file, &env).ok()?;
        Some(Self { located, elsewhere: None, env })
    }

    /// Reads the file and checks it, and whether everything that it refers to exists. An error lists every problem
    /// and ends with `consequence`.
    pub(crate) fn load(&self, consequence: &str) -> Result<Loaded, Failure> {
        load(&self.located.file, &self.env, consequence)
    }

    /// Returns the file's settings, if its syntax and values are valid.
    pub(crate) fn settings(&self) -> Option<Config> {
        let text = sereno_config::read(&self.located.file).ok()?;
        sereno_config::load(&self.located.file, &text, &self.env).ok()
    }

    /// Returns the path of the file.
    pub(crate) fn file(&self) -> &Path {
        &self.located.file
    }
}

/// A file that is valid and can be applied.
pub(crate) struct Loaded {
    /// The settings of the file.
    pub(crate) config: Config,
    /// The same file as it is sent to the supervisor.
    pub(crate) source: Source,
}

/// Reads a file and fails if it has any problem; `consequence` ends the error's last line.
pub(crate) fn load(path: &Path, env: &Env, consequence: &str) -> Result<Loaded, Failure> {
    let (text, config, problems) =
        judge(path, env).map_err(|problems| refused(&problems, path, consequence))?;
    if !problems.0.is_empty() {
        return Err(refused(&problems, path, consequence));
    }
    let env = env.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(Loaded { config, source: Source { path: path.display().to_string(), text, env } })
}

/// Returns the file's text, its settings, and what it refers to but does not exist. Fails if its syntax or a value
/// is invalid.
pub(crate) fn judge(path: &Path, env: &Env) -> Result<(String, Config, Problems), Problems> {
    let text = sereno_config::read(path)?;
    let config = sereno_config::load(path, &text, env)?;
    let mut world = sereno_config::check_trust(&config, path);
    world.0.extend(sereno_config::check_world(&config, env).0);
    Ok((text, config, world))
}

/// Returns the path of the file to use: the explicit one, else the one that is found.
pub(crate) fn path(explicit: Option<&Path>, env: &Env) -> Result<PathBuf, Failure> {
    let here = match explicit.filter(|path| path.is_absolute()).and_then(Path::parent) {
        Some(folder) => folder.into(),
        None => here()?,
    };
    sereno_config::find(explicit, &here, env)
        .map_err(|problem| Failure::Usage(problem.to_string().trim_end().into()))
}

/// Returns the current folder.
pub(crate) fn here() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        Failure::Usage(format!("the folder that you are in can not be read: {error}; go to another"))
    })
}

/// Returns the variables of this process that are UTF-8: files and messages can contain no others.
pub(crate) fn environment() -> Env {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn refused(problems: &Problems, path: &Path, consequence: &str) -> Failure {
    let count = problems.0.len();
    let noun = if count == 1 { "problem" } else { "problems" };
    let mut conclusion = format!("{}: {count} {noun}", path.display());
    if !consequence.is_empty() {
        conclusion = format!("{conclusion}; {consequence}");
    }
    Failure::Config { problems: problems.to_string(), conclusion }
}
