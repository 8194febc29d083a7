//! The file that was applied, with the environment it was applied in: what a supervisor runs that nobody called by hand.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sereno_config::Home;

use super::replace;

/// A configuration file together with what it means where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The expanded text: complete in itself, nothing in it is relative or `${…}`.
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

/// Another file than the applied one was to be applied in its home.
#[derive(Debug, thiserror::Error)]
#[error("home {} runs {}: applying {} would end what that file started", home.display(), applied.display(), wanted.display())]
pub struct OtherFile {
    home: PathBuf,
    applied: PathBuf,
    wanted: PathBuf,
}

impl OtherFile {
    /// Refuses a file that is not the applied one, unless that one no longer exists.
    pub fn judge(about: &About, wanted: &Path, home: &Home) -> Result<(), Self> {
        if !about.is_of_another_file(wanted) {
            return Ok(());
        }
        Err(Self { home: home.root().into(), applied: about.source.clone(), wanted: wanted.into() })
    }
}

/// Checksum of a file's text.
pub fn checksum(text: &str) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(text.as_bytes());
    sum.sum()
}

/// Where the copy is.
pub fn path_in(state: &Path) -> PathBuf {
    state.join("applied.toml")
}

/// All the files of the copy: its text, and where that came from.
pub fn paths_in(state: &Path) -> [PathBuf; 2] {
    [path_in(state), about_in(state)]
}

fn about_in(state: &Path) -> PathBuf {
    state.join("applied.json")
}

/// Reads the copy.
pub fn load(state: &Path) -> io::Result<Applied> {
    let text = fs::read_to_string(path_in(state))?;
    let about = serde_json::from_slice(&fs::read(about_in(state))?)?;
    Ok(Applied { text, about })
}

/// Writes the copy.
pub fn save(state: &Path, applied: &Applied) -> io::Result<()> {
    replace(&about_in(state), &serde_json::to_vec_pretty(&applied.about)?)?;
    replace(&path_in(state), applied.text.as_bytes())
}

impl About {
    /// Whether the file it was made from has changed since.
    pub fn is_older_than_its_source(&self) -> bool {
        fs::read_to_string(&self.source).is_ok_and(|text| checksum(&text) != self.checksum)
    }

    /// Whether the file at this path is another one than the one it was made from. Where that one no longer exists, its
    /// project was moved or its file renamed, and any file goes on with it.
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
