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

/// Security descriptor of our pipes: access for the system, administrators (who may do anything, like root
/// elsewhere) and the owner. Pipes of an elevated process belong to the administrators, so processes that
/// are not elevated can not reach them.
const ACCESS: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)";

/// Another process has the name: usually a daemon of ours that is about to end.
const ACCESS_DENIED: i32 = 5;
const LEAVES_AGAIN: Duration = Duration::from_millis(20);
const LEAVES_TRIES: u32 = 100;

/// A named pipe. The next instance is always ready: without it clients would find no pipe.
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

    /// Returns the next connection. Its user and process are not known here.
    pub(super) async fn accept(&mut self) -> io::Result<(Io, Option<u32>, Option<u32>)> {
        Ok((Io(self.0.accept().await?), None, None))
    }
}

/// Returns `None`: Windows has no such numbers, and the pipe is open to its owner only.
pub(super) fn own_uid() -> Option<u32> {
    None
}

/// Creates the first instance, and fails if the name is taken, so that no other process can have created
/// the pipe before. Later instances have the same options. None accepts clients of other machines.
fn listen(path: &str) -> io::Result<PipeListener<Bytes, Bytes>> {
    let access = U16CString::from_str(ACCESS).map_err(io::Error::other)?;
    let mut options = PipeListenerOptions::new().path(path);
    options.accept_remote = false;
    options.input_buffer_size_hint = BUFFER;
    options.output_buffer_size_hint = BUFFER;
    options.security_descriptor = Some(SecurityDescriptor::deserialize(&access)?);
    options.create_tokio_duplex()
}

/// Number of bytes that one side may write before the other reads.
const BUFFER: u32 = 64 * 1024;

/// Converts `./pipe/x` to the Windows form.
fn native(name: &str) -> String {
    format!(r"\\{}", name.replace('/', r"\"))
}

/// Our side of a connection.
#[derive(Debug)]
pub(super) struct Io(DuplexPipeStream<Bytes>);

impl Drop for Io {
    fn drop(&mut self) {
        // No task or thread waits until a client that may never return has read the rest.
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
        // Written bytes are in the pipe already; a flush would wait until the client has read them.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
