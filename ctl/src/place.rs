//! Which `sereno.toml` is meant, and so which home, endpoints and monitors.

use std::path::{Path, PathBuf};

use proto::v1::Source;
use sereno_config::{Config, Env, Located, Problems};

use crate::args::access::Remote;
use crate::context::{self, Contexts};
use crate::failure::{Failure, note};

/// A file and where everything of it lies.
pub(crate) struct Place {
    /// File, home and endpoints, also where the file has errors.
    pub(crate) located: Located,
    /// It is another machine's; what said so.
    pub(crate) elsewhere: Option<String>,
    env: Env,
}

impl Place {
    /// The one that is meant: by a flag, a context or the environment one elsewhere, else that of the file.
    pub(crate) fn asked(explicit: Option<&Path>, remote: &Remote) -> Result<Self, Failure> {
        let env = environment();
        let contexts = match Contexts::path() {
            Some(path) => Contexts::load(&path)?,
            None => Contexts::default(),
        };
        let mut told = context::resolve(remote, explicit.is_some(), &env, &contexts)?;
        let Some(endpoint) = told.endpoint.take() else {
            let place = Self::find(explicit)?;
            // Monitors elsewhere are asked as the supervisor of this file.
            let own = place.located.tls.iter().find(|(table, _)| table == "supervisor");
            told.credentials.tls = told.credentials.tls.or_else(|| own.map(|(_, files)| files.clone()));
            context::show(told.credentials);
            return Ok(place);
        };
        context::show(told.credentials);
        let located = Located {
            file: endpoint.to_string().into(),
            home: sereno_config::Home::at(Path::new("")),
            supervisor: endpoint,
            tls: Vec::new(),
            monitors: Vec::new(),
            problems: Problems::default(),
        };
        Ok(Self { located, elsewhere: Some(told.by), env })
    }

    /// Finds the file as `docker compose` finds its own.
    pub(crate) fn find(explicit: Option<&Path>) -> Result<Self, Failure> {
        let env = environment();
        let file = path(explicit, &env)?;
        let located = sereno_config::locate(&file, &env).map_err(|problems| refused(&problems, &file, ""))?;
        if !located.problems.0.is_empty() {
            note(&format!("{}: has errors (see \"ctl check\"); going on with defaults", file.display()));
        }
        Ok(Self { located, elsewhere: None, env })
    }

    /// The same without a word: nobody reads it while a shell completes.
    pub(crate) fn quietly(explicit: Option<&Path>) -> Option<Self> {
        let env = environment();
        let file = path(explicit, &env).ok()?;
        let located = sereno_config::locate(&file, &env).ok()?;
        Some(Self { located, elsewhere: None, env })
    }

    /// The file with everything in it, checked against the world too; or every problem, and what that means.
    pub(crate) fn load(&self, consequence: &str) -> Result<Loaded, Failure> {
        load(&self.located.file, &self.env, consequence)
    }

    /// The file's settings if it has no errors of form.
    pub(crate) fn settings(&self) -> Option<Config> {
        let text = sereno_config::read(&self.located.file).ok()?;
        sereno_config::load(&self.located.file, &text, &self.env).ok()
    }

    /// The folder that paths of the file are relative to, as the file's own name shows it.
    pub(crate) fn file(&self) -> &Path {
        &self.located.file
    }
}

/// A file that may be applied.
pub(crate) struct Loaded {
    /// What it says.
    pub(crate) config: Config,
    /// What the supervisor is sent.
    pub(crate) source: Source,
}

/// Reads and judges a file.
pub(crate) fn load(path: &Path, env: &Env, consequence: &str) -> Result<Loaded, Failure> {
    let (text, config, problems) =
        judge(path, env).map_err(|problems| refused(&problems, path, consequence))?;
    if !problems.0.is_empty() {
        return Err(refused(&problems, path, consequence));
    }
    let env = env.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(Loaded { config, source: Source { path: path.display().to_string(), text, env } })
}

/// The file's text and settings with what the world lacks; or what is wrong with its form.
pub(crate) fn judge(path: &Path, env: &Env) -> Result<(String, Config, Problems), Problems> {
    let text = sereno_config::read(path)?;
    let config = sereno_config::load(path, &text, env)?;
    let mut world = sereno_config::check_trust(&config, path);
    world.0.extend(sereno_config::check_world(&config, env).0);
    Ok((text, config, world))
}

/// The file that is meant.
pub(crate) fn path(explicit: Option<&Path>, env: &Env) -> Result<PathBuf, Failure> {
    let here = match explicit.filter(|path| path.is_absolute()).and_then(Path::parent) {
        Some(folder) => folder.into(),
        None => here()?,
    };
    sereno_config::find(explicit, &here, env)
        .map_err(|problem| Failure::Usage(problem.to_string().trim_end().into()))
}

/// The folder in which this was typed.
pub(crate) fn here() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        Failure::Usage(format!("the folder that you are in can not be read: {error}; go to another"))
    })
}

/// What of this process's environment is text; nothing else can stand in a file or on the wire.
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
