//! The applied file, with the environment it was applied in: the configuration of a supervisor that starts without a
//! caller.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sereno_config::Home;

use super::replace;

/// A configuration file with the path and environment that give it its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The expanded text: complete, without relative paths or `${…}`.
    pub text: String,
    /// Where it came from.
    pub about: About,
}

/// Where an applied file came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The file it was made from.
    pub source: PathBuf,
    /// Checksum of that file's text, to see whether it has changed since.
    pub checksum: u32,
    /// The caller's environment.
    pub env: BTreeMap<String, String>,
}

/// The error for applying another file than the applied one in its home.
#[derive(Debug, thiserror::Error)]
#[error("home {} runs {}: applying {} would end what that file started", home.display(), applied.display(), wanted.display())]
pub struct OtherFile {
    home: PathBuf,
    applied: PathBuf,
    wanted: PathBuf,
}

impl OtherFile {
    /// Refuses a file other than the applied file, unless the applied file's source no longer exists.
    pub fn judge(about: &About, wanted: &Path, home: &Home) -> Result<(), Self> {
        if !about.is_of_another_file(wanted) {
            return Ok(());
        }
        Err(Self { home: home.root().into(), applied: about.source.clone(), wanted: wanted.into() })
    }
}

/// Returns the checksum of a file's text.
pub fn checksum(text: &str) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(text.as_bytes());
    sum.sum()
}

/// Returns the path of the copy's text.
pub fn path_in(state: &Path) -> PathBuf {
    state.join("applied.toml")
}

/// Returns all files of the copy: its text, and where that came from.
pub fn paths_in(state: &Path) -> [PathBuf; 2] {
    [path_in(state), about_in(state)]
}

fn about_in(state: &Path) -> PathBuf {
    state.join("applied.json")
}

/// Reads the copy of the applied file.
pub fn load(state: &Path) -> io::Result<Applied> {
    let text = fs::read_to_string(path_in(state))?;
    let about = serde_json::from_slice(&fs::read(about_in(state))?)?;
    Ok(Applied { text, about })
}

/// Writes the copy of the applied file.
pub fn save(state: &Path, applied: &Applied) -> io::Result<()> {
    replace(&about_in(state), &serde_json::to_vec_pretty(&applied.about)?)?;
    replace(&path_in(state), applied.text.as_bytes())
}

impl About {
    /// Returns whether the source file has changed since.
    pub fn is_older_than_its_source(&self) -> bool {
        fs::read_to_string(&self.source).is_ok_and(|text| checksum(&text) != self.checksum)
    }

    /// Returns whether a path is another file than the source. If the source no longer exists, its project was moved or
    /// the file renamed, and any file may replace it.
    pub fn is_of_another_file(&self, path: &Path) -> bool {
        let gone = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        };
        match (self.source.canonicalize(), path.canonicalize()) {
            (Err(error), _) if gone(&error) => false,
            (Ok(ours), Ok(theirs)) => ours != theirs,
            _ => self.source != path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_is_one_that_exists_beside_the_applied_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let [ours, theirs] = ["ours.toml", "theirs.toml"].map(|name| folder.path().join(name));
        let about = About { source: ours.clone(), checksum: 0, env: BTreeMap::new() };
        fs::write(&theirs, "").expect("written");
        assert!(!about.is_of_another_file(&theirs), "ours was renamed, or its folder moved");
        fs::write(&ours, "").expect("written");
        assert!(about.is_of_another_file(&theirs));
        assert!(!about.is_of_another_file(&folder.path().join(".").join("ours.toml")), "another spelling");
        assert!(about.is_of_another_file(&folder.path().join("nowhere.toml")));
    }
}
