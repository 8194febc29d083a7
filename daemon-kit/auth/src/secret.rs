//! A file that only its owner may read: a key, a token. One that others can read is no secret, and is refused.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Far more than a key, a token or a list of them has.
const LONGEST: u64 = 1024 * 1024;

/// Why a secret is not used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The system refuses.
    #[error("read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read or write it.
    #[error("read {}: others can reach it (mode {mode:04o}): chmod 600 {}", path.display(), path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is no text, or far too long.
    #[error("read {}: is no text that could be one", path.display())]
    Text {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a secret.
pub fn read(path: &Path) -> Result<String, SecretError> {
    let failed = |source| SecretError::Read { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    // Of the file that was opened: the name may be another one's by now.
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

/// Writes a secret in place of what was there, as a file that nobody else could ever read.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    // Left by one that was killed while it wrote: it must not be in the way of a revocation.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private().open(&new)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| drop(fs::remove_file(&new)))
}

/// Makes a folder, and those above it, for its owner only.
pub fn folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// A file that is new; one that lies there already is left alone.
fn private() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The mode, if others than the owner may do anything with it.
#[cfg(unix)]
fn open_to_others(found: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = found.mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

/// There a file in one's own folder has its folder's rights.
#[cfg(not(unix))]
fn open_to_others(_: &fs::Metadata) -> Option<u32> {
    None
}

/// What tells one writing of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    /// Of the file as it is now.
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
