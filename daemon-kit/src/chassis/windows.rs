//! Endpoints on Windows: a named pipe.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use proto::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions};

use super::listen::ListenError;

/// Every instance of the pipe is taken: one will be free soon.
const PIPE_BUSY: i32 = 231;
const BUSY_AGAIN: Duration = Duration::from_millis(20);

/// A pipe, of which the next instance always stands ready: without one clients would find nothing.
#[derive(Debug)]
pub(super) struct Listener {
    next: NamedPipeServer,
    path: String,
}

impl Listener {
    pub(super) fn bind(endpoint: &Endpoint) -> Result<Self, ListenError> {
        let Endpoint::Pipe(name) = endpoint else {
            return Err(ListenError::Foreign { endpoint: endpoint.clone() });
        };
        let path = native(name);
        let next = instance(&path, true)
            .map_err(|source| ListenError::Bind { endpoint: endpoint.clone(), source })?;
        Ok(Self { next, path })
    }

    /// The next connection, its user and its process, neither of which is known.
    pub(super) async fn accept(&mut self) -> io::Result<(Io, Option<u32>, Option<u32>)> {
        self.next.connect().await?;
        let next = instance(&self.path, false)?;
        Ok((Io::Server(std::mem::replace(&mut self.next, next)), None, None))
    }
}

/// There are no such numbers here: the pipe is open to its owner only.
pub(super) fn own_uid() -> Option<u32> {
    None
}

fn instance(path: &str, first: bool) -> io::Result<NamedPipeServer> {
    ServerOptions::new().first_pipe_instance(first).reject_remote_clients(true).create(path)
}

/// `./pipe/x` as Windows writes it.
fn native(name: &str) -> String {
    format!(r"\\{}", name.replace('/', r"\"))
}

/// Connects to an endpoint.
pub(super) async fn connect(endpoint: Endpoint) -> io::Result<Io> {
    let Endpoint::Pipe(name) = endpoint else {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("connect {endpoint}: this system has no such endpoints"),
        ));
    };
    let path = native(&name);
    loop {
        match ClientOptions::new().open(&path) {
            Err(error) if error.raw_os_error() == Some(PIPE_BUSY) => tokio::time::sleep(BUSY_AGAIN).await,
            other => return other.map(Io::Client),
        }
    }
}

/// One side of a connection.
#[derive(Debug)]
pub(super) enum Io {
    Server(NamedPipeServer),
    Client(NamedPipeClient),
}

macro_rules! either {
    ($self:ident, $pipe:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Server($pipe) => $call,
            Self::Client($pipe) => $call,
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, pipe => Pin::new(pipe).poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, pipe => Pin::new(pipe).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, pipe => Pin::new(pipe).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, pipe => Pin::new(pipe).poll_shutdown(cx))
    }
}
