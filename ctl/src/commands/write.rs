//! A new `sereno.toml`: never over another one unasked, and judged before anybody relies on it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sereno_config::{Env, Problems};

use crate::draft::Draft;
use crate::draft::settle::{self, Refused};
use crate::failure::Failure;

/// The name of the file where none is given.
const FILE: &str = "sereno.toml";

/// Where it is to be written, absolute.
pub(super) fn target(output: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(output.unwrap_or(Path::new(FILE))).map_err(Failure::Start)?;
    Ok(if path.is_dir() { path.join(FILE) } else { path })
}

/// A draft that this version loads, what had to go for that, and what the world lacks for it.
pub(super) fn settled(
    draft: &mut Draft,
    path: &Path,
    env: &Env,
) -> Result<(Vec<Refused>, Problems), Failure> {
    let (refused, rest) = settle::form(draft, path, env);
    if !rest.0.is_empty() {
        return Err(Failure::Config {
            problems: rest.to_string(),
            conclusion: format!("{}: not written: what would be in it has errors", path.display()),
        });
    }
    let world = settle::world(draft, path, env);
    Ok((refused, world))
}

/// Whether a file may be put there.
pub(super) fn free(path: &Path, force: bool) -> Result<(), Failure> {
    if !force && path.symlink_metadata().is_ok() {
        return Err(Failure::Refused(format!(
            "{} is there already: --force replaces it, -o FILE writes another",
            path.display()
        )));
    }
    Ok(())
}

/// Writes it whole or not at all; `private`: for its owner only, as there may be passwords in it.
pub(super) fn write(path: &Path, text: &str, force: bool, private: bool) -> Result<(), Failure> {
    free(path, force)?;
    let refuse = |error: std::io::Error| Failure::Refused(format!("write {}: {error}", path.display()));
    if private {
        // Made for its owner only, from its first byte on.
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(path)).map_err(refuse)?;
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(refuse)?;
        return file.persist(path).map(drop).map_err(|error| refuse(error.error));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = std::fs::File::create(&beside).map_err(refuse)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(refuse)?;
    std::fs::rename(&beside, path).map_err(refuse)
}
