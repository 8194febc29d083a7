//! The files of evidence: `home/evidence/<service>.<incarnation>.txt`, 0600, the newest 100 and at most 16 MiB.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use proto::Name;

use super::MOST_BYTES;
use crate::os;

/// How many files are kept, and their most bytes in all.
const MOST_FILES: usize = 100;
const MOST_IN_ALL: u64 = 16 * 1024 * 1024;

/// Writes the evidence of a run, and removes the oldest files beyond the limits. The file is whole at any time.
pub fn write(folder: &Path, service: &Name, incarnation: u64, text: &str) -> io::Result<()> {
    // A home that was deleted is made anew with everything in it, and not by this.
    if !folder.parent().is_some_and(Path::is_dir) {
        return Err(io::ErrorKind::NotFound.into());
    }
    os::own_dir(folder)?;
    let path = file_of(folder, service, incarnation);
    let new = path.with_extension("new");
    os::open_private(&new)?.write_all(text.as_bytes())?;
    fs::rename(&new, &path)?;
    prune(folder)
}

/// Reads the evidence of a run; with incarnation 0 of the newest run that has some. Returns it with the incarnation.
pub fn read(folder: &Path, service: &Name, incarnation: u64) -> io::Result<Option<(u64, String)>> {
    let stem = service.file_stem();
    let of_it = files(folder)?.into_iter().filter_map(|file| {
        let (owner, number) = file.owner()?;
        (owner == stem && (incarnation == 0 || number == incarnation)).then_some((number, file.path))
    });
    let Some((number, path)) = of_it.max() else { return Ok(None) };
    let mut bytes = Vec::new();
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    match fs::File::open(path) {
        Ok(file) => io::Read::read_to_end(&mut io::Read::take(file, most), &mut bytes)?,
        // It was the oldest, and has just been removed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some((number, String::from_utf8_lossy(&bytes).into_owned())))
}

/// Returns the path of the evidence of a run.
pub fn file_of(folder: &Path, service: &Name, incarnation: u64) -> PathBuf {
    folder.join(format!("{}.{incarnation}.txt", service.file_stem()))
}

struct Stored {
    path: PathBuf,
    modified: SystemTime,
    length: u64,
}

impl Stored {
    /// Returns the file stem of the service, and the incarnation.
    fn owner(&self) -> Option<(&str, u64)> {
        let name = self.path.file_name()?.to_str()?.strip_suffix(".txt")?;
        let (stem, incarnation) = name.rsplit_once('.')?;
        Some((stem, incarnation.parse().ok()?))
    }
}

fn files(folder: &Path) -> io::Result<Vec<Stored>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let stored = |entry: fs::DirEntry| {
        let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Stored { path: entry.path(), modified: meta.modified().ok()?, length: meta.len() })
    };
    Ok(entries.flatten().filter_map(stored).collect())
}

/// Removes the oldest files beyond the limits, also those that a killed supervisor left half written.
fn prune(folder: &Path) -> io::Result<()> {
    let mut files = files(folder)?;
    files.sort_by(|one, other| (other.modified, &other.path).cmp(&(one.modified, &one.path)));
    let mut bytes = 0;
    for (at, file) in files.iter().enumerate() {
        bytes += file.length;
        if at >= MOST_FILES || bytes > MOST_IN_ALL {
            match fs::remove_file(&file.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    #[test]
    fn each_run_has_its_file_and_the_newest_is_found() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("evidence");
        assert_eq!(read(&folder, &name("web"), 0).expect("no folder yet"), None);
        let lost = write(&folder.join("home/evidence"), &name("web"), 1, "x").expect_err("home is gone");
        assert_eq!((lost.kind(), folder.exists()), (io::ErrorKind::NotFound, false));
        for (service, incarnation) in [("web", 9), ("web", 10), ("web.1", 50), ("web:1", 60)] {
            let text = format!("{service} {incarnation}");
            write(&folder, &name(service), incarnation, &text).expect("written");
        }
        let read = |service: &str, incarnation| read(&folder, &name(service), incarnation).expect("read");
        assert_eq!(read("web", 0), Some((10, "web 10".into())));
        assert_eq!(read("web", 9), Some((9, "web 9".into())));
        assert_eq!((read("web", 8), read("we", 0), read("web.1.50", 0)), (None, None, None));
        assert_eq!(read("web:1", 0), Some((60, "web:1 60".into())));
        write(&folder, &name("web"), 10, "again").expect("written");
        assert_eq!(read("web", 10), Some((10, "again".into())), "taken again");
        assert_eq!(files(&folder).expect("there").len(), 4, "nothing half written is left");
    }

    #[test]
    fn the_oldest_make_room() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("evidence");
        let old = |path: &Path, age: u64| {
            let time = SystemTime::now() - std::time::Duration::from_secs(1_000 - age);
            fs::File::options()
                .append(true)
                .open(path)
                .and_then(|file| file.set_modified(time))
                .expect("set");
        };
        for incarnation in 1..=105 {
            write(&folder, &name("web"), incarnation, "x").expect("written");
            old(&file_of(&folder, &name("web"), incarnation), incarnation);
        }
        let count = |folder: &Path| files(folder).expect("there").len();
        assert_eq!(count(&folder), MOST_FILES);
        assert_eq!(read(&folder, &name("web"), 5).expect("read"), None);
        assert!(read(&folder, &name("web"), 6).expect("read").is_some());
        fs::write(folder.join("web.7.new"), vec![b'x'; 15 << 20]).expect("half written once");
        old(&folder.join("web.7.new"), 0);
        let long = "x".repeat(2 << 20);
        write(&folder, &name("web"), 106, &long).expect("written");
        assert!(!folder.join("web.7.new").exists(), "it goes as the oldest");
        let bytes: u64 = files(&folder).expect("there").iter().map(|file| file.length).sum();
        assert!(bytes <= MOST_IN_ALL && count(&folder) == MOST_FILES, "{bytes}");
    }
}
