//! Writes to stdout, through one lock and one large buffer.

use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write as _};

use serde::Serialize;

use crate::failure::Failure;
use crate::render::Look;
use crate::render::terminal::SafeText;

/// Size of the buffer in bytes; large, so that a flood of logs takes few system calls.
const BUFFER: usize = 256 * 1024;

/// The output of a command.
pub(crate) struct Out {
    writer: BufWriter<StdoutLock<'static>>,
    /// Whether only JSON may be written.
    pub(crate) json: bool,
    /// Whether stdout is a terminal.
    pub(crate) terminal: bool,
    /// Colour and width of the output.
    pub(crate) look: Look,
    /// Filter for the output of services; only if it goes to a terminal.
    safe: Option<SafeText>,
}

impl Out {
    /// Locks the stdout of this process.
    pub(crate) fn stdout(json: bool) -> Self {
        let stdout = io::stdout().lock();
        let terminal = stdout.is_terminal();
        let unset = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let look = Look { colour: terminal && unset("NO_COLOR") && !dumb, width: width() };
        let safe = (terminal && !json).then(SafeText::default);
        Self { writer: BufWriter::with_capacity(BUFFER, stdout), json, terminal, look, safe }
    }

    /// Measures the terminal's width again, because it may have been resized.
    pub(crate) fn measure(&mut self) {
        self.look.width = width();
    }

    /// Writes text unchanged.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes a line, with a line end added.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.text(line)?;
        self.bytes(b"\n")
    }

    /// Writes bytes unchanged.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(Failure::Output)
    }

    /// Writes the output of a service: unchanged, or on a terminal without control
    /// sequences other than colours.
    pub(crate) fn written_by_service(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let safe = self.safe.as_mut().map(|safe| safe.next(bytes));
        self.bytes(safe.as_ref().map_or(bytes, |safe| safe.as_bytes()))
    }

    /// Writes a JSON document on several lines.
    pub(crate) fn document(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer_pretty(&mut self.writer, value)
            .map_err(|error| Failure::Output(error.into()))?;
        self.bytes(b"\n")
    }

    /// Writes a JSON document as one line of a stream.
    pub(crate) fn record(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.writer, value).map_err(|error| Failure::Output(error.into()))?;
        self.bytes(b"\n")
    }

    /// Writes the buffer to stdout.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(Failure::Output)
    }
}

/// Runs `show` until it ends, or until stdout has no reader any more. A closed pipe is noticed at once, and not only
/// at the next write.
pub(crate) async fn while_read<T>(show: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        done = show => done,
        () = reader_gone() => Err(Failure::Output(io::ErrorKind::BrokenPipe.into())),
    }
}

/// Returns when stdout is a pipe or a socket whose other end is closed.
#[cfg(unix)]
async fn reader_gone() {
    use std::os::fd::AsFd as _;
    use tokio::{io::Interest, net::unix::pipe::Sender};
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    // A regular file has no reader, and can not be waited for.
    if let Ok(stdout) = stdout.and_then(Sender::from_owned_fd_unchecked) {
        while let Ok(ready) = stdout.ready(Interest::WRITABLE).await {
            if ready.is_write_closed() {
                return;
            }
            // Clears the readiness, so that the next iteration waits for a new event.
            let _ = stdout.try_io(|| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
    }
    std::future::pending::<()>().await;
}

/// Never returns: Windows has no such event, and the next write fails.
#[cfg(not(unix))]
async fn reader_gone() {
    std::future::pending::<()>().await;
}

/// Returns `COLUMNS`, else the terminal's width, else 80.
fn width() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    asked
        .filter(|columns| *columns > 0)
        .or_else(|| terminal_size::terminal_size().map(|(columns, _)| usize::from(columns.0)))
        .unwrap_or(80)
}
