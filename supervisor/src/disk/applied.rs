//! The file that was applied, with the environment it was applied in: what a supervisor runs that nobody called by hand.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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

/// Reads the copy.
pub fn load(state: &Path) -> io::Result<Applied> {
    let text = fs::read_to_string(path_in(state))?;
    let about = serde_json::from_slice(&fs::read(state.join("applied.json"))?)?;
    Ok(Applied { text, about })
}

/// Writes the copy.
pub fn save(state: &Path, applied: &Applied) -> io::Result<()> {
    replace(&state.join("applied.json"), &serde_json::to_vec_pretty(&applied.about)?)?;
    replace(&path_in(state), applied.text.as_bytes())
}

impl About {
    /// Whether the file it was made from has changed since.
    pub fn is_older_than_its_source(&self) -> bool {
        fs::read_to_string(&self.source).is_ok_and(|text| checksum(&text) != self.checksum)
    }
}
