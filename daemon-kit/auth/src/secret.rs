//! A file that only its owner may read: a key, a token. A file that others can read is refused.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Maximum size in bytes, far above the size of a key, a token or a list of tokens.
const LONGEST: u64 = 1024 * 1024;

/// Why a secret is not used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The system refuses to read the file.
    #[error("read {}: {source}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// Other users may read or write the file.
    #[error("read {}: others can reach it (mode {mode:04o}): chmod 600 {}", path.display(), path.display())]
    Open {
        /// Path of the file.
        path: PathBuf,
        /// Mode of the file.
        mode: u32,
    },
    /// The file is not text, or far too long.
    #[error("read {}: is no text that could be one", path.display())]
    Text {
        /// Path of the file.
        path: PathBuf,
    },
}

/// Reads a secret.
pub fn read(path: &Path) -> Result<String, SecretError> {
    let failed = |source| SecretError::Read { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    // Checks the opened file: the path may refer to another file by now.
    let mode = open_to_others(&file.metadata().map_err(failed)?);
    if let Some(mode) = mode {
        return Err(SecretError::Open { path: path.into(), mode });
    }
    let mut bytes = Vec::new();
    let length = file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if length as u64 > LONGEST {
        return Err(SecretError::Text { path: path.into() });
    }
    String::from_utf8(bytes).map_err(|_| SecretError::Text { path: path.into() })
}

/// Replaces the file with a secret that no other user can read at any time.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    // A leftover of a process killed while writing must not block a revocation.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private().open(&new)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| drop(fs::remove_file(&new)))
}

/// Creates a folder and its parents, accessible to the owner only.
pub fn folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Options that create a new file and never touch an existing one.
fn private() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Returns the mode if other users have any permission.
#[cfg(unix)]
fn open_to_others(found: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = found.mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

/// On these systems, a file in one's own folder has the permissions of the folder.
#[cfg(not(unix))]
fn open_to_others(_: &fs::Metadata) -> Option<u32> {
    None
}

/// Identifies one version of a file, to detect changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    /// Reads the stamp of a file.
    pub fn of(path: &Path) -> Self {
        Self(
            fs::metadata(path)
                .ok()
                .and_then(|found| Some((found.modified().ok()?, found.len(), number(&found)))),
        )
    }
}

#[cfg(unix)]
fn number(found: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn number(_: &fs::Metadata) -> u64 {
    0
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_others_can_reach_is_no_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        write(&path, "hush").expect("written");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let before = Stamp::of(&path);
        assert_eq!(read(&path).expect("ours"), "hush");
        write(&path, "hush!").expect("written again");
        assert_ne!(Stamp::of(&path), before);
        fs::write(folder.path().join("key.new"), "half").expect("left by one that was killed");
        write(&path, "hush again").expect("written all the same");
        assert_eq!(read(&path).expect("ours"), "hush again");
        for mode in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            let error = read(&path).expect_err("refused").to_string();
            assert!(error.contains(&format!("(mode 0{mode:o}): chmod 600 ")), "{error}");
        }
        assert!(matches!(read(&folder.path().join("none")), Err(SecretError::Read { .. })));
        assert_eq!(Stamp::of(&folder.path().join("none")), Stamp(None));
    }
}
