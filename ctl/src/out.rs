//! Stdout: one lock, one large buffer, and whether colour and JSON are wanted.

use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write as _};

use serde::Serialize;

use crate::failure::Failure;
use crate::render::Look;
use crate::render::terminal::SafeText;

/// Large enough that following a flood of logs costs few system calls.
const BUFFER: usize = 256 * 1024;

/// Where answers go.
pub(crate) struct Out {
    writer: BufWriter<StdoutLock<'static>>,
    /// Nothing but JSON may be written.
    pub(crate) json: bool,
    /// Whether a person looks at it right now.
    pub(crate) terminal: bool,
    /// Colour and width.
    pub(crate) look: Look,
    /// What services wrote, on its way to a terminal.
    safe: Option<SafeText>,
}

impl Out {
    /// The stdout of this process.
    pub(crate) fn stdout(json: bool) -> Self {
        let stdout = io::stdout().lock();
        let terminal = stdout.is_terminal();
        let unset = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let look = Look { colour: terminal && unset("NO_COLOR") && !dumb, width: width() };
        let safe = (terminal && !json).then(SafeText::default);
        Self { writer: BufWriter::with_capacity(BUFFER, stdout), json, terminal, look, safe }
    }

    /// The terminal may have another size by now.
    pub(crate) fn measure(&mut self) {
        self.look.width = width();
    }

    /// Writes text as it is.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.text(line)?;
        self.bytes(b"\n")
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(Failure::Output)
    }

    /// Writes what a service wrote: as it is, or, on a terminal, so that it can do nothing to that.
    pub(crate) fn written_by_service(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let safe = self.safe.as_mut().map(|safe| safe.next(bytes));
        self.bytes(safe.as_ref().map_or(bytes, |safe| safe.as_bytes()))
    }

    /// Writes one JSON document, in many lines.
    pub(crate) fn document(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer_pretty(&mut self.writer, value)
            .map_err(|error| Failure::Output(error.into()))?;
        self.bytes(b"\n")
    }

    /// Writes one JSON document as one line of a stream of them.
    pub(crate) fn record(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.writer, value).map_err(|error| Failure::Output(error.into()))?;
        self.bytes(b"\n")
    }

    /// Makes everything written so far visible.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(Failure::Output)
    }
}

/// Shows news until it ends or nobody reads stdout any more: the reader of a pipe is missed at once, and not only when there
/// is something to write.
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
            // There is room, which is no news here: waits for the next event.
            let _ = stdout.try_io(|| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
    }
    std::future::pending::<()>().await;
}

/// Windows has no event for it: the next write fails.
#[cfg(not(unix))]
async fn reader_gone() {
    std::future::pending::<()>().await;
}

/// `COLUMNS`, else the terminal's width, else 80.
fn width() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    asked
        .filter(|columns| *columns > 0)
        .or_else(|| terminal_size::terminal_size().map(|(columns, _)| usize::from(columns.0)))
        .unwrap_or(80)
}
