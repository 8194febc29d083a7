//! Binds endpoints and identifies the peer of each connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use proto::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::access::Access;
use super::budget::ReadBudget;
use super::connections::{ConnectionLimiter, PeerKey, Slot};
use super::malformed::{Explainer, REPLACED, Step};
use super::rate::{RateKey, RateLimiter};
use super::tcp::TcpEndpoint;
#[cfg(unix)]
use super::unix as os;
#[cfg(windows)]
use super::windows as os;
use sereno_auth::tls::CertificateError;
use sereno_auth::{Identity, TlsError};

pub(super) use os::own_uid;

/// Pause after a failed accept, when the system has no descriptor to spare.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// A connection without a granted call within this time is closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an endpoint can not be bound.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The system refuses to bind.
    #[error("bind {endpoint}: {source}")]
    Bind {
        /// Endpoint to bind.
        endpoint: Endpoint,
        /// Error of the system.
        source: io::Error,
    },
    /// A file that is not a socket has this path. It is not ours to remove.
    #[error("bind {endpoint}: a file that is no socket is in the way: move or remove it")]
    Occupied {
        /// Endpoint to bind.
        endpoint: Endpoint,
    },
    /// This system does not support such endpoints.
    #[error("bind {endpoint}: this system has no such endpoints")]
    Foreign {
        /// Endpoint to bind.
        endpoint: Endpoint,
    },
    /// A required setting is missing, so no client could authenticate.
    #[error("bind {endpoint}: {lacks}")]
    Lacks {
        /// Endpoint to bind.
        endpoint: Endpoint,
        /// The missing setting.
        lacks: &'static str,
    },
    /// The certificates are unusable.
    #[error("bind {endpoint}: {source}")]
    Tls {
        /// Endpoint to bind.
        endpoint: Endpoint,
        /// Cause of the error.
        source: TlsError,
    },
}

/// Identity of the peer, as far as the connection tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A process of this machine, over a socket or pipe.
    Local {
        /// User id of the process.
        uid: Option<u32>,
        /// Process id, if known.
        pid: Option<u32>,
    },
    /// A client on this machine, over TCP. The token in each call identifies it.
    Loopback(SocketAddr),
    /// A client with a TLS certificate.
    Certificate {
        /// Address of the peer.
        address: SocketAddr,
        /// Identity in the certificate.
        identity: Result<Identity, CertificateError>,
        /// Expiry of the certificate, in seconds since 1970: a connection may outlive it.
        until: Option<i64>,
    },
}

/// The peer of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Identity of the peer.
    pub origin: Origin,
    pub(super) place: Arc<Slot>,
}

impl Peer {
    /// Returns the key by which its calls are counted while it is not authenticated.
    pub(super) fn stranger(&self) -> RateKey {
        RateKey::Stranger(self.place.peer_key())
    }
}

/// Bound endpoints. Unbinds them when dropped, and removes their socket files.
#[derive(Debug)]
pub struct Listener {
    access: Arc<Access>,
    local: Vec<Local>,
    doors: Vec<TcpEndpoint>,
}

#[derive(Debug)]
pub(super) struct Local {
    inner: os::Listener,
    limiter: ConnectionLimiter,
}

/// What happens if a TCP endpoint can not be bound at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindPolicy {
    /// Fails: a person is present and can correct the cause.
    FailFast,
    /// Retries until it succeeds: what already runs must go on.
    Retry,
}

/// Binds an endpoint that only this user can reach. Removes a stale socket file first: the caller knows, by
/// a lock or because it owns the name, that no other process serves there. Needs a tokio runtime.
pub fn bind(endpoint: &Endpoint) -> Result<Listener, ListenError> {
    bind_all(std::slice::from_ref(endpoint), Access::default(), BindPolicy::FailFast)
}

/// Binds several endpoints with the permissions of `access`. TCP endpoints have their own connection limit
/// and never take slots from local ones.
pub fn bind_all(endpoints: &[Endpoint], access: Access, policy: BindPolicy) -> Result<Listener, ListenError> {
    let access = Arc::new(access);
    let (limiter, far) = (ConnectionLimiter::default(), ConnectionLimiter::default());
    let mut listener = Listener { access: Arc::clone(&access), local: Vec::new(), doors: Vec::new() };
    for endpoint in endpoints {
        if endpoint.is_local() {
            listener.local.push(Local { inner: os::Listener::bind(endpoint)?, limiter: limiter.clone() });
        } else {
            listener.doors.push(TcpEndpoint::bind(endpoint, &access, &far, policy)?);
        }
    }
    Ok(listener)
}

impl Listener {
    /// Returns the permissions at these endpoints.
    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access)
    }

    /// Returns the bound addresses of the TCP endpoints, with the actual port where port 0 was requested.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.doors.iter().filter_map(TcpEndpoint::address).collect()
    }

    /// Splits into local and TCP endpoints, which are served differently.
    pub(super) fn split(self) -> (Vec<Local>, Vec<TcpEndpoint>) {
        (self.local, self.doors)
    }
}

impl Local {
    /// Returns the next connection. Cancel-safe.
    pub(super) async fn accept(&mut self) -> Connection {
        loop {
            match self.inner.accept().await {
                Ok((io, uid, pid)) => {
                    let peer_key = pid.map_or(PeerKey::Somebody, PeerKey::Process);
                    // A peer without a slot sees the connection close at once.
                    if let Some(place) = self.limiter.admit(peer_key) {
                        return Connection::new(Io::Local(io), Origin::Local { uid, pid }, place);
                    }
                    tracing::debug!(?pid, "has too many connections");
                }
                Err(error) => accept_failed(&error).await,
            }
        }
    }

    /// Returns a stream of all connections, for tonic.
    pub(super) fn incoming(self) -> impl Stream<Item = io::Result<Connection>> {
        futures_util::stream::unfold(self, |mut listener| async {
            let connection = listener.accept().await;
            Some((Ok(connection), listener))
        })
    }
}

/// Waits after a failed accept: tonic would retry at once and for ever, a busy loop when descriptors run out.
pub(super) async fn accept_failed(error: &io::Error) {
    tracing::warn!(%error, "accept failed");
    sleep(ACCEPT_AGAIN).await;
}

/// Transport of a connection.
#[derive(Debug)]
pub(super) enum Io {
    Local(os::Io),
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection of one client.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    peer: Peer,
    /// Deadline of the first granted call.
    patience: Option<Pin<Box<Sleep>>>,
    explainer: Explainer,
    /// Bytes to send before anything else.
    first: Vec<u8>,
    /// What may be read; `None` for a local connection, which may read without limit.
    budget: Option<ReadBudget>,
}

impl Connection {
    pub(super) fn new(io: Io, origin: Origin, place: Arc<Slot>) -> Self {
        let patience = Some(Box::pin(sleep(PATIENCE)));
        let (explainer, first) = (Explainer::default(), Vec::new());
        Self { io, peer: Peer { origin, place }, patience, explainer, first, budget: None }
    }

    /// Limits what is read from it.
    pub(super) fn limited(mut self, limiter: Arc<RateLimiter>) -> Self {
        self.budget = Some(ReadBudget::new(limiter));
        self
    }

    /// Returns why the connection must close, if it must.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        if self.peer.place.poll_must_go(cx).is_ready() {
            return Some(io::Error::new(io::ErrorKind::ConnectionAborted, "others want its place"));
        }
        let patience = self.patience.as_mut()?;
        if self.peer.place.is_trusted() {
            self.patience = None;
            return None;
        }
        patience.as_mut().poll(cx).is_ready().then(|| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("made no call that is granted within {PATIENCE:?}"),
            )
        })
    }
}

/// Sends over a local socket. Explains resets that well-behaved clients get for their `:authority`.
fn poll_local(
    io: &mut os::Io,
    explainer: &mut Explainer,
    first: &mut Vec<u8>,
    cx: &mut Context<'_>,
    bufs: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let filled = bufs.iter().position(|buf| !buf.is_empty()).unwrap_or(bufs.len());
    let bufs = &bufs[filled..];
    let buf = bufs.first().map_or(&[][..], |buf| &**buf);
    while !first.is_empty() {
        let sent = ready!(Pin::new(&mut *io).poll_write(cx, first))?;
        first.drain(..sent);
    }
    match explainer.next(buf) {
        // Sends a frame's header and content in one write: a process that is killed has then sent both or neither.
        Step::Pass(_, follow) if bufs.len() > 1 && total(&bufs[1..]) <= follow => {
            let sent = ready!(Pin::new(io).poll_write_vectored(cx, bufs))?;
            let mut left = sent;
            for buf in bufs {
                let part = left.min(buf.len());
                explainer.sent(&buf[..part]);
                left -= part;
            }
            Poll::Ready(Ok(sent))
        }
        Step::Pass(count, _) => {
            let sent = ready!(Pin::new(io).poll_write(cx, &buf[..count]))?;
            explainer.sent(&buf[..sent]);
            Poll::Ready(Ok(sent))
        }
        Step::Replace(with) => {
            *first = with;
            Poll::Ready(Ok(REPLACED))
        }
    }
}

fn total(bufs: &[io::IoSlice<'_>]) -> usize {
    bufs.iter().map(|buf| buf.len()).sum()
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.peer.place.leave();
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

macro_rules! each {
    ($self:ident, $io:ident => $call:expr) => {
        match &mut $self.get_mut().io {
            Io::Local($io) => $call,
            Io::Plain($io) => $call,
            Io::Tls($io) => $call,
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.poll_end(cx) {
            return Poll::Ready(Err(error));
        }
        if let Some(budget) = &mut this.budget {
            ready!(budget.poll(&this.peer.place, cx));
        }
        let before = buf.filled().len();
        ready!(match &mut this.io {
            Io::Local(io) => Pin::new(io).poll_read(cx, buf),
            Io::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_read(cx, buf),
        })?;
        if let Some(budget) = &mut this.budget {
            budget.count(buf.filled().len() - before, &this.peer.place);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { io, explainer, first, .. } = self.get_mut();
        match io {
            Io::Local(io) => poll_local(io, explainer, first, cx, &[io::IoSlice::new(buf)]),
            Io::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            // Sends only the pending `first` bytes.
            ready!(self.as_mut().poll_write(cx, &[]))?;
        }
        each!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { io, explainer, first, .. } = self.get_mut();
        match io {
            Io::Local(io) => poll_local(io, explainer, first, cx, bufs),
            Io::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Io::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Local(io) => io.is_write_vectored(),
            Io::Plain(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }
}
