//! Rotates logs on its own thread, so that renaming, opening and deleting do not delay a service's log. The stream
//! continues with the old file until the new file exists.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::UNIX_EPOCH;

use super::compress::Compressor;
use super::{Command, Key, Logs, RotationPolicy, index};
use crate::os::{LogDir, pipe};

/// The next file of a stream; the old file has been renamed and may still be written to.
pub(super) struct Rotated {
    pub(super) key: Key,
    pub(super) file: io::Result<(File, u64)>,
}

enum Job {
    Rotate {
        key: Key,
        keep: RotationPolicy,
    },
    /// Closes a large file that is no longer linked, which frees its blocks and would delay the stream.
    Close(File),
}

/// The handle of this thread, and of the compressing thread.
pub(super) struct Rotator {
    jobs: mpsc::Sender<Job>,
    compressor: Compressor,
}

impl Rotator {
    pub(super) fn start(answers: Logs) -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel();
        let renaming = Arc::new(Mutex::new(()));
        let compressor = Compressor::start(Arc::clone(&renaming))?;
        thread::Builder::new()
            .name("rotate".into())
            .stack_size(256 * 1024)
            .spawn(move || run(&jobs, &renaming, &answers))?;
        Ok(Self { jobs: sender, compressor })
    }

    pub(super) fn rotate(&self, key: Key, keep: RotationPolicy) {
        let _ = self.jobs.send(Job::Rotate { key, keep });
    }

    pub(super) fn close(&self, file: File) {
        let _ = self.jobs.send(Job::Close(file));
    }

    /// Lets a log's files be compressed, except the newest two, which may be written to. `written` counts the bytes
    /// since the last call.
    pub(super) fn compress(&self, keep: &RotationPolicy, written: u64) {
        if keep.compress {
            self.compressor.compress(keep.clone(), written);
        }
    }
}

fn run(jobs: &mpsc::Receiver<Job>, renaming: &Mutex<()>, answers: &Logs) {
    for job in jobs {
        match job {
            Job::Close(file) => drop(file),
            Job::Rotate { key, keep } => {
                let shifted = {
                    let _held = renaming.lock().expect("nobody panics while holding it");
                    shift(&keep)
                };
                let file = shifted.and_then(|()| LogDir::of(&keep.path)?.log(&keep.path));
                answers.send(Command::Rotated(Rotated { key, file }));
            }
        }
    }
}

/// Renames `log` → `log.1`, `log.1` → `log.2`, `log.2.gz` → `log.3.gz`, … and removes the oldest.
pub(super) fn shift(keep: &RotationPolicy) -> io::Result<()> {
    let folder = LogDir::of(&keep.path)?;
    // Without indexes only the times are unknown.
    let indexes = folder.folder(index::FOLDER, false).ok();
    for number in (0..=keep.keep).rev() {
        for zipped in [false, true] {
            let from = if number == 0 { keep.path.clone() } else { numbered(&keep.path, number, zipped) };
            if number == 0 && zipped {
                continue;
            }
            if number > 0 && !zipped && folder.has(&numbered(&keep.path, number, true)) {
                // A supervisor was killed between writing and removing: the compressed file is complete, and the plain
                // file is a duplicate.
                folder.remove(&from)?;
            } else if number == keep.keep {
                folder.remove(&from)?;
                indexes.as_ref().map_or(Ok(()), |indexes| indexes.remove(&index::name_of(&from)))?;
            } else {
                let to = numbered(&keep.path, number + 1, zipped);
                folder.rename(&from, &to)?;
                let (from, to) = (index::name_of(&from), index::name_of(&to));
                indexes.as_ref().map_or(Ok(()), |indexes| indexes.rename(&from, &to))?;
            }
        }
    }
    Ok(())
}

/// Returns the path of a rotated file.
pub(super) fn numbered(path: &Path, number: u32, zipped: bool) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    if zipped {
        name.push(".gz");
    }
    name.into()
}

/// Returns a number that stays unique to this file: the system's inode number is used again as soon as a file is gone.
pub(super) fn number_of(file: &File) -> io::Result<u64> {
    let born = file.metadata()?.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born = born.map_or(0, |born| u64::try_from(born.as_nanos()).unwrap_or(u64::MAX));
    Ok(pipe::file_number(file)? ^ born.rotate_left(32))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use super::*;
    use crate::logs::compress::compress;

    #[test]
    fn files_move_up_the_oldest_goes_and_the_second_is_compressed() {
        let folder = tempfile::tempdir().expect("a folder");
        let keep = RotationPolicy { path: folder.path().join("x.log"), max_size: 1, keep: 3, compress: true };
        for round in 1..=5 {
            fs::write(&keep.path, format!("round {round}")).expect("written");
            shift(&keep).expect("shifted");
            compress(&keep, 2);
        }
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .expect("there")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["x.log.1", "x.log.2.gz", "x.log.3.gz"]);
        let mut text = String::new();
        let zipped = File::open(numbered(&keep.path, 3, true)).expect("there");
        flate2::read::GzDecoder::new(zipped).read_to_string(&mut text).expect("whole");
        assert_eq!(text, "round 3");
        assert_eq!(fs::read_to_string(numbered(&keep.path, 1, false)).expect("there"), "round 5");
    }

    #[test]
    fn what_was_compressed_and_not_removed_is_not_kept_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let keep = RotationPolicy { path: folder.path().join("x.log"), max_size: 1, keep: 5, compress: true };
        for path in [numbered(&keep.path, 2, false), numbered(&keep.path, 2, true)] {
            fs::write(path, "x").expect("written");
        }
        shift(&keep).expect("shifted");
        assert!(numbered(&keep.path, 3, true).exists());
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1);
    }

    #[test]
    fn keeping_none_simply_removes() {
        let folder = tempfile::tempdir().expect("a folder");
        let keep = RotationPolicy { path: folder.path().join("x.log"), max_size: 1, keep: 0, compress: true };
        fs::write(&keep.path, "x").expect("written");
        shift(&keep).expect("shifted");
        assert!(!keep.path.exists());
    }
}
