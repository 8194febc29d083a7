//! A daemon's own log: `tracing` into a rotating file, written by a separate thread. A slow or full disk
//! costs log lines (counted by the library) and never the daemon's time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// A file is rotated when it would exceed this size, in bytes.
const MAX_SIZE: u64 = 10 * 1024 * 1024;
/// Number of rotated files that are kept; `.1` is the newest.
const KEEP: u32 = 5;
/// Maximum number of lines that wait for the disk; further lines are dropped.
const WAITING: usize = 4096;

/// Why logging can not start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level or filter is invalid.
    #[error("read log filter {filter:?}: {reason} (write \"info\" or \"info,h2=warn\")")]
    Filter {
        /// The filter as given.
        filter: String,
        /// Error of the library.
        reason: String,
    },
    /// The file can not be written.
    #[error("open log {}: {source}", path.display())]
    Open {
        /// The file or its folder.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// Logging was already started in this process.
    #[error("start logging: this process already logs")]
    Twice,
}

/// Writes the waiting lines when dropped: `main` holds it until its end.
#[must_use = "the log ends when this is dropped"]
#[derive(Debug)]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// Starts logging to `dir/<daemon>.log`, or to stderr without a folder: one line per event, in UTC.
pub fn init(daemon: &str, filter: &str, dir: Option<&Path>) -> Result<LogGuard, LoggingError> {
    let parsed = EnvFilter::try_new(filter)
        .map_err(|error| LoggingError::Filter { filter: filter.into(), reason: error.to_string() })?;
    let out: Box<dyn Write + Send> = match dir {
        Some(dir) => {
            let path = dir.join(format!("{daemon}.log"));
            Box::new(Rotating::open(path, MAX_SIZE, KEEP)?)
        }
        None => Box::new(io::stderr()),
    };
    let (writer, worker) =
        NonBlockingBuilder::default().buffered_lines_limit(WAITING).thread_name("log").finish(OneLine(out));
    tracing_subscriber::fmt()
        .compact()
        .with_ansi(false)
        .with_env_filter(parsed)
        .with_writer(writer)
        .try_init()
        .map_err(|_| LoggingError::Twice)?;
    Ok(LogGuard { _worker: worker })
}

/// Writes each event as one printable line, whatever a service or a peer put into it. Nothing can forge a
/// line of the log or control the terminal of its reader.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    // The library passes one whole event at a time.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let body = event.strip_suffix(b"\n").unwrap_or(event);
        if body.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            self.0.write_all(event)?;
        } else {
            let mut line = String::with_capacity(event.len() + 16);
            for character in String::from_utf8_lossy(body).chars() {
                match character {
                    '\n' => line.push_str("\\n"),
                    '\r' => line.push_str("\\r"),
                    character => line.push(proto::text::printable(character)),
                }
            }
            line.push('\n');
            self.0.write_all(line.as_bytes())?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A file of limited size with a limited number of rotated files.
struct Rotating {
    path: PathBuf,
    file: File,
    size: u64,
    max: u64,
    keep: u32,
}

impl Rotating {
    fn open(path: PathBuf, max: u64, keep: u32) -> Result<Self, LoggingError> {
        let open = || -> io::Result<(File, u64)> {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir)?;
            }
            let file = append(&path)?;
            let size = file.metadata()?.len();
            Ok((file, size))
        };
        let (file, size) = open().map_err(|source| LoggingError::Open { path: path.clone(), source })?;
        Ok(Self { path, file, size, max, keep })
    }

    fn elder(&self, age: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{age}"));
        name.into()
    }

    fn rotate(&mut self) -> io::Result<()> {
        for age in (1..self.keep).rev() {
            // A missing number in the sequence is no error.
            let _ = fs::rename(self.elder(age), self.elder(age + 1));
        }
        fs::rename(&self.path, self.elder(1))?;
        self.file = append(&self.path)?;
        Ok(())
    }
}

impl Write for Rotating {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.size > 0 && self.size + line.len() as u64 > self.max {
            // If the rotation fails (full disk, removed folder), the old file stays in use until it has
            // grown by another `max`.
            let _ = self.rotate();
            self.size = 0;
        } else if !self.path.exists()
            && let Ok(file) = append(&self.path)
        {
            // The folder was deleted and exists again.
            (self.file, self.size) = (file, 0);
        }
        let written = self.file.write(line)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).expect("a log")
    }

    #[test]
    fn rotates_by_size_and_keeps_so_many() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log/x.log");
        let mut log = Rotating::open(path.clone(), 10, 2).expect("opens");
        for line in ["first\n", "second\n", "third\n", "fourth\n"] {
            log.write_all(line.as_bytes()).expect("writes");
        }
        assert_eq!(read(&path), "fourth\n");
        assert_eq!(read(&log.elder(1)), "third\n");
        assert_eq!(read(&log.elder(2)), "second\n");
        assert!(!log.elder(3).exists());
        drop(log);
        let mut log = Rotating::open(path.clone(), 10, 2).expect("opens again");
        log.write_all(b"x\n").expect("appends");
        assert_eq!(read(&path), "fourth\nx\n");
    }

    #[test]
    fn a_deleted_log_is_begun_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log/x.log");
        let mut log = Rotating::open(path.clone(), 100, 2).expect("opens");
        fs::remove_dir_all(dir.path().join("log")).expect("deleted");
        log.write_all(b"nowhere\n").expect("goes on");
        fs::create_dir(dir.path().join("log")).expect("made");
        log.write_all(b"here\n").expect("writes");
        assert_eq!(read(&path), "here\n");
    }

    #[test]
    fn an_event_is_one_line() {
        let mut line = OneLine(Vec::new());
        line.write_all(b"sick\n2026 INFO forged\r\n").expect("writes");
        line.write_all("evil\x1b]0;own\x07 \u{9b}\u{202e}é\n".as_bytes()).expect("writes");
        let written = String::from_utf8(line.0).expect("text");
        assert_eq!(written, "sick\\n2026 INFO forged\\r\nevil ]0;own    é\n");
    }

    #[test]
    fn a_bad_filter_says_which() {
        let error = init("x", "info,=,=", None).expect_err("refused").to_string();
        assert!(error.starts_with("read log filter \"info,=,=\""), "{error}");
    }
}
