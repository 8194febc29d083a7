//! Endpoints on Windows: a named pipe.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use interprocess::os::windows::named_pipe::PipeListenerOptions;
use interprocess::os::windows::named_pipe::pipe_mode::Bytes;
use interprocess::os::windows::named_pipe::tokio::{DuplexPipeStream, PipeListener};
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use proto::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use widestring::U16CString;

use super::listen::ListenError;

/// Who may open a pipe of ours: the system, administrators (who may do anything, as root may elsewhere) and its owner.
/// What an elevated process made is owned by the administrators: who is not elevated does not reach it.
const ACCESS: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)";

/// Somebody else has the name: usually a daemon of ours that is about to end.
const ACCESS_DENIED: i32 = 5;
const LEAVES_AGAIN: Duration = Duration::from_millis(20);
const LEAVES_TRIES: u32 = 100;

/// A pipe, of which the next instance always stands ready: without one clients would find nothing.
#[derive(Debug)]
pub(super) struct Listener(PipeListener<Bytes, Bytes>);

impl Listener {
    pub(super) fn bind(endpoint: &Endpoint) -> Result<Self, ListenError> {
        let Endpoint::Pipe(name) = endpoint else {
            return Err(ListenError::Foreign { endpoint: endpoint.clone() });
        };
        let mut tries = 0;
        loop {
            match listen(&native(name)) {
                Ok(pipe) => return Ok(Self(pipe)),
                Err(error) if error.raw_os_error() == Some(ACCESS_DENIED) && tries < LEAVES_TRIES => {
                    tries += 1;
                    thread::park_timeout(LEAVES_AGAIN);
                }
                Err(source) => return Err(ListenError::Bind { endpoint: endpoint.clone(), source }),
            }
        }
    }

    /// The next connection, its user and its process, neither of which is known.
    pub(super) async fn accept(&mut self) -> io::Result<(Io, Option<u32>, Option<u32>)> {
        Ok((Io(self.0.accept().await?), None, None))
    }
}

/// There are no such numbers here: the pipe is open to its owner only.
pub(super) fn own_uid() -> Option<u32> {
    None
}

/// The first instance: refused if the name is taken, so that nobody can have been there before us. The next ones are
/// made just so, and none takes clients of other machines.
fn listen(path: &str) -> io::Result<PipeListener<Bytes, Bytes>> {
    let access = U16CString::from_str(ACCESS).map_err(io::Error::other)?;
    let mut options = PipeListenerOptions::new().path(path);
    options.accept_remote = false;
    options.input_buffer_size_hint = BUFFER;
    options.output_buffer_size_hint = BUFFER;
    options.security_descriptor = Some(SecurityDescriptor::deserialize(&access)?);
    options.create_tokio_duplex()
}

/// What one side may have written before the other one reads.
const BUFFER: u32 = 64 * 1024;

/// `./pipe/x` as Windows writes it.
fn native(name: &str) -> String {
    format!(r"\\{}", name.replace('/', r"\"))
}

/// Our side of a connection.
#[derive(Debug)]
pub(super) struct Io(DuplexPipeStream<Bytes>);

impl Drop for Io {
    fn drop(&mut self) {
        // Nobody waits, and no thread either, until a client that may never come back has read the rest.
        self.0.assume_flushed();
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is written is in the pipe; a flush would wait until the client has read it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
