//! Compresses rotated logs on its own thread: rotating and opening do not wait for it. Logs take turns, one file at a
//! time. Each log may have at most as many bytes compressed as its service wrote, because its folder may be full of
//! files that no service wrote.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use super::RotationPolicy;
use super::rotate::{number_of, numbered};
use crate::os::{LogDir, LogRights};

/// Compressing needs more stack than the other threads: 256 KiB are too little in an unoptimised build.
const STACK: usize = 2 * 1024 * 1024;

/// A log that was rotated, and how many bytes its service has written since the previous rotation.
struct Job {
    keep: RotationPolicy,
    written: u64,
}

pub(super) struct Compressor(mpsc::Sender<Job>);

impl Compressor {
    /// Starts the thread. `renaming` is locked while rotated files are renamed.
    pub(super) fn start(renaming: Arc<Mutex<()>>) -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel();
        thread::Builder::new()
            .name("compress".into())
            .stack_size(STACK)
            .spawn(move || Queue::default().run(&jobs, &renaming))?;
        Ok(Self(sender))
    }

    pub(super) fn compress(&self, keep: RotationPolicy, written: u64) {
        let _ = self.0.send(Job { keep, written });
    }
}

/// The logs of which a file may be compressed.
#[derive(Default)]
struct Queue {
    logs: HashMap<PathBuf, Log>,
    turns: VecDeque<PathBuf>,
}

impl Queue {
    fn run(mut self, jobs: &mpsc::Receiver<Job>, renaming: &Mutex<()>) {
        loop {
            let first = if self.turns.is_empty() {
                let Ok(job) = jobs.recv() else { return };
                Some(job)
            } else {
                None
            };
            first.into_iter().chain(jobs.try_iter()).for_each(|job| self.add(job));
            self.turn(renaming);
        }
    }

    fn add(&mut self, job: Job) {
        let path = job.keep.path.clone();
        let log = self.logs.entry(path.clone()).or_insert_with(|| Log::new(job.keep.clone()));
        log.keep = job.keep;
        log.allowance = log.allowance.saturating_add(job.written);
        if !self.turns.contains(&path) {
            self.turns.push_back(path);
        }
    }

    fn turn(&mut self, renaming: &Mutex<()>) {
        let Some(path) = self.turns.pop_front() else { return };
        if self.logs.get_mut(&path).is_some_and(|log| log.compress_next(renaming)) {
            // More files may follow, after all other logs.
            self.turns.push_back(path);
        }
    }
}

/// A log, and how much of it may be compressed.
struct Log {
    keep: RotationPolicy,
    /// Bytes that may still be read. Each byte that its service wrote adds one.
    allowance: u64,
    /// Whether it was logged that a file is not compressed.
    said: bool,
}

impl Log {
    fn new(keep: RotationPolicy) -> Self {
        // What was written under an earlier supervisor is not counted here: the allowance is for a single file.
        Self { allowance: keep.largest(), keep, said: false }
    }

    /// Compresses the newest file that can be compressed. Returns whether there may be another.
    fn compress_next(&mut self, renaming: &Mutex<()>) -> bool {
        let Ok(folder) = LogDir::of(&self.keep.path) else { return false };
        for number in 2..=self.keep.keep {
            let before = self.allowance;
            let done = self.compress(&folder, number, renaming);
            let was_read = self.allowance != before;
            match done {
                Ok(done) if done || was_read => return true,
                Ok(_) => {}
                Err(error) => {
                    self.say(number, &error);
                    if was_read {
                        // Not again before the next rotation: the disk may be full.
                        return false;
                    }
                }
            }
        }
        false
    }

    fn compress(&mut self, folder: &LogDir, number: u32, renaming: &Mutex<()>) -> io::Result<bool> {
        let path = numbered(&self.keep.path, number, false);
        if !folder.has(&path) || folder.has(&numbered(&self.keep.path, number, true)) {
            return Ok(false);
        }
        let source = folder.read(&path)?;
        let size = source.metadata()?.len();
        if size > self.keep.largest() {
            return Err(io::Error::other("it is larger than its service can have made it"));
        }
        let Some(left) = self.allowance.checked_sub(size) else { return Ok(false) };
        self.allowance = left;
        let partial = partial(&self.keep.path);
        let done = write(folder, &partial, &source, size).and_then(|()| {
            let _held = renaming.lock().expect("nobody panics while holding it");
            finish(folder, &self.keep, number, &source, &partial)
        });
        if !matches!(done, Ok(true)) {
            let _ = folder.remove(&partial);
        }
        done
    }

    /// Logged once for each log: its service may have any number of such files.
    fn say(&mut self, number: u32, error: &io::Error) {
        if !std::mem::replace(&mut self.said, true) {
            let path = numbered(&self.keep.path, number, false);
            tracing::warn!(path = %path.display(), %error, "a rotated log stays uncompressed");
        }
    }
}

/// Returns the path that is written first, so that a compressed log is either complete or missing.
fn partial(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".gz.part");
    name.into()
}

fn comment(number: u64) -> String {
    format!("sereno file {number}")
}

/// Returns the number that a compressed file had before.
pub(super) fn number_in(comment: &[u8]) -> Option<u64> {
    std::str::from_utf8(comment).ok()?.strip_prefix("sereno file ")?.parse().ok()
}

fn write(folder: &LogDir, partial: &Path, source: &File, size: u64) -> io::Result<()> {
    // A reader of the file finds it again by its number.
    let builder = flate2::GzBuilder::new().comment(comment(number_of(source)?));
    let file = folder.replace(partial, LogRights::of(source)?)?;
    let mut encoder = builder.write(file, flate2::Compression::fast());
    io::copy(&mut source.take(size), &mut encoder)?;
    encoder.finish()?.sync_all()?;
    if source.metadata()?.len() == size {
        Ok(())
    } else {
        Err(io::Error::other("it changed while it was compressed"))
    }
}

/// Replaces the source by the compressed file; the source may have moved to a higher number meanwhile. Returns whether
/// it did.
fn finish(
    folder: &LogDir,
    keep: &RotationPolicy,
    number: u32,
    source: &File,
    partial: &Path,
) -> io::Result<bool> {
    let own = number_of(source)?;
    let is_source = |number: &u32| {
        let there = folder.read(&numbered(&keep.path, *number, false));
        there.and_then(|file| number_of(&file)).is_ok_and(|there| there == own)
    };
    let Some(number) = (number..=keep.keep).find(is_source) else { return Ok(false) };
    folder.rename(partial, &numbered(&keep.path, number, true))?;
    folder.remove(&numbered(&keep.path, number, false))?;
    Ok(true)
}

/// Compresses a rotated file, as the thread does.
#[cfg(test)]
pub(super) fn compress(keep: &RotationPolicy, number: u32) {
    let keep = RotationPolicy { keep: number.max(keep.keep), ..keep.clone() };
    let folder = LogDir::of(&keep.path).expect("there");
    Log::new(keep).compress(&folder, number, &Mutex::new(())).expect("compressed");
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::logs::rotate::shift;

    fn keep(folder: &Path, name: &str) -> RotationPolicy {
        RotationPolicy { path: folder.join(name), max_size: 10, keep: 5, compress: true }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn sparse(path: &Path, size: u64) {
        File::create(path).and_then(|file| file.set_len(size)).expect("a sparse file");
    }

    #[test]
    fn what_no_service_wrote_is_left_alone_and_the_next_is_compressed() {
        let folder = tempfile::tempdir().expect("a folder");
        let keep = keep(folder.path(), "x.log");
        sparse(&numbered(&keep.path, 2, false), 8 << 40);
        fs::write(numbered(&keep.path, 3, false), "line").expect("written");
        let mut log = Log::new(keep);
        let lock = Mutex::new(());
        assert!(log.compress_next(&lock));
        assert!(log.said);
        assert!(!log.compress_next(&lock), "reading it would take hours");
        assert_eq!(names(folder.path()), ["x.log.2", "x.log.3.gz"]);
    }

    #[test]
    fn no_more_is_compressed_than_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let keep = keep(folder.path(), "x.log");
        for number in 2..=5 {
            fs::write(numbered(&keep.path, number, false), "0123456789").expect("written");
        }
        let mut log = Log { allowance: 25, ..Log::new(keep) };
        let lock = Mutex::new(());
        while log.compress_next(&lock) {}
        assert_eq!(names(folder.path()), ["x.log.2.gz", "x.log.3.gz", "x.log.4", "x.log.5"]);
        log.allowance += 5;
        while log.compress_next(&lock) {}
        assert_eq!(names(folder.path()), ["x.log.2.gz", "x.log.3.gz", "x.log.4.gz", "x.log.5"]);
    }

    #[test]
    fn logs_take_turns() {
        let folder = tempfile::tempdir().expect("a folder");
        let (many, one) = (keep(folder.path(), "many.log"), keep(folder.path(), "one.log"));
        for number in 2..=5 {
            fs::write(numbered(&many.path, number, false), "line").expect("written");
        }
        fs::write(numbered(&one.path, 2, false), "line").expect("written");
        let mut queue = Queue::default();
        for keep in [many.clone(), many, one.clone()] {
            queue.add(Job { keep, written: 10 });
        }
        let lock = Mutex::new(());
        queue.turn(&lock);
        queue.turn(&lock);
        assert!(numbered(&one.path, 2, true).exists(), "after one of the other");
        assert!(names(folder.path()).contains(&"many.log.3".into()));
        while !queue.turns.is_empty() {
            queue.turn(&lock);
        }
        let expected = ["many.log.2.gz", "many.log.3.gz", "many.log.4.gz", "many.log.5.gz", "one.log.2.gz"];
        assert_eq!(names(folder.path()), expected);
    }

    #[test]
    fn what_was_rotated_meanwhile_is_found_where_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let keep = keep(folder.path(), "x.log");
        let path = numbered(&keep.path, 2, false);
        fs::write(&path, "older").expect("written");
        fs::write(numbered(&keep.path, 1, false), "newer").expect("written");
        let dir = LogDir::of(&path).expect("opened");
        let source = dir.read(&path).expect("opened");
        let partial = partial(&keep.path);
        write(&dir, &partial, &source, 5).expect("written");
        shift(&keep).expect("shifted");
        assert!(finish(&dir, &keep, 2, &source, &partial).expect("renamed"));
        assert_eq!(names(folder.path()), ["x.log.2", "x.log.3.gz"]);
        assert_eq!(fs::read_to_string(&path).expect("there"), "newer", "and nothing else is removed");
    }

    #[test]
    fn what_grows_meanwhile_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let keep = keep(folder.path(), "x.log");
        let path = numbered(&keep.path, 2, false);
        fs::write(&path, "longer than it was").expect("written");
        let dir = LogDir::of(&path).expect("opened");
        let source = dir.read(&path).expect("opened");
        write(&dir, &partial(&keep.path), &source, 4).expect_err("it has changed");
    }

    #[test]
    fn its_thread_has_room_to_compress() {
        let folder = tempfile::tempdir().expect("a folder");
        let keep = keep(folder.path(), "x.log");
        fs::write(numbered(&keep.path, 2, false), "x".repeat(100_000)).expect("written");
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || compress(&keep, 2));
        thread.expect("started").join().expect("alive");
    }
}
