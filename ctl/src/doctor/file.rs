//! Checks the file: its errors, and what it refers to but does not exist.

use std::path::Path;

use sereno_config::{Config, Env, Problems};

use super::{Finding, note, well, wrong};
use crate::place;

/// Returns the file's settings, if it can be read.
pub(crate) fn look(path: &Path, env: &Env, found: &mut Vec<Finding>) -> Option<Config> {
    match place::judge(path, env) {
        Err(problems) => {
            told(&problems, "correct the file; \"ctl check\" says whether it is right", found);
            None
        }
        Ok((_, config, world)) => {
            if world.0.is_empty() {
                found.push(well("file", format!("{}: {} services", path.display(), config.services.len())));
            }
            told(&world, "install or create it, or correct the file", found);
            found.extend(sereno_config::open_env_files(&config).into_iter().map(|path| {
                let found = format!("{} can be read by other users", path.display());
                note("file", found, "if there are secrets in it: chmod 600")
            }));
            Some(config)
        }
    }
}

fn told(problems: &Problems, fix: &str, found: &mut Vec<Finding>) {
    found.extend(problems.0.iter().map(|problem| wrong("file", problem.to_string(), fix)));
}
