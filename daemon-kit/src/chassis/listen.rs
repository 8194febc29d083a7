//! Binding an endpoint, and who is at the other end of a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use proto::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::Connected;

#[cfg(unix)]
use super::unix as os;
#[cfg(windows)]
use super::windows as os;

/// Connections open at one time; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 256;
/// How long to leave it when the system has no descriptor to spare.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The system refuses.
    #[error("bind {endpoint}: {source}")]
    Bind {
        /// Where.
        endpoint: Endpoint,
        /// What the system says.
        source: io::Error,
    },
    /// Something that is no socket lies there, and is not ours to remove.
    #[error("bind {endpoint}: a file that is no socket is in the way")]
    Occupied {
        /// Where.
        endpoint: Endpoint,
    },
    /// This system has no such endpoints.
    #[error("bind {endpoint}: this system has no such endpoints")]
    Foreign {
        /// Where.
        endpoint: Endpoint,
    },
}

/// Who is at the other end, as far as the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peer {
    /// The user.
    pub uid: Option<u32>,
    /// The process.
    pub pid: Option<u32>,
}

/// A bound endpoint. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Listener {
    inner: os::Listener,
    free: Arc<Semaphore>,
}

/// Binds an endpoint that only this user can reach. A stale socket file is removed first: the caller knows, by a lock
/// or because it owns the name, that nobody else serves there. Needs a tokio runtime.
pub fn bind(endpoint: &Endpoint) -> Result<Listener, ListenError> {
    Ok(Listener { inner: os::Listener::bind(endpoint)?, free: Arc::new(Semaphore::new(MAX_CONNECTIONS)) })
}

impl Listener {
    /// The next connection. May be dropped and called again.
    pub async fn accept(&mut self) -> Connection {
        let free = Arc::clone(&self.free);
        let permit = free.acquire_owned().await.expect("nobody closes the semaphore");
        loop {
            match self.inner.accept().await {
                Ok((io, peer)) => return Connection { io, peer, _permit: permit },
                Err(error) => {
                    // tonic would ask again at once, for ever: without descriptors that is a busy loop.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    /// Every connection, for tonic.
    pub fn incoming(self) -> impl Stream<Item = io::Result<Connection>> {
        futures_util::stream::unfold(self, |mut listener| async {
            let connection = listener.accept().await;
            Some((Ok(connection), listener))
        })
    }
}

/// One client.
#[derive(Debug)]
pub struct Connection {
    io: os::Io,
    peer: Peer,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
