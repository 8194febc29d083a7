//! Writes a new `sereno.toml`: never over an existing file unasked, and validated first.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sereno_config::{Env, Problems};

use crate::draft::Draft;
use crate::draft::settle::{self, Refused};
use crate::failure::Failure;

/// Default name of the file.
const FILE: &str = "sereno.toml";

/// Returns the absolute path to write to.
pub(super) fn target(output: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(output.unwrap_or(Path::new(FILE))).map_err(Failure::Start)?;
    Ok(if path.is_dir() { path.join(FILE) } else { path })
}

/// Returns the draft in a form that this version loads, the parts removed for that, and what the file
/// refers to but does not exist.
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

/// Checks that a file may be written there.
pub(super) fn free(path: &Path, force: bool) -> Result<(), Failure> {
    if !force && path.symlink_metadata().is_ok() {
        return Err(Failure::Refused(format!(
            "{} is there already: --force replaces it, -o FILE writes another",
            path.display()
        )));
    }
    Ok(())
}

/// Writes the file atomically. `private` makes it readable for its owner only, because it may contain passwords.
pub(super) fn write(path: &Path, text: &str, force: bool, private: bool) -> Result<(), Failure> {
    free(path, force)?;
    let refuse = |error: std::io::Error| Failure::Refused(format!("write {}: {error}", path.display()));
    if private {
        // Only the owner can read it, from its first byte on.
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
