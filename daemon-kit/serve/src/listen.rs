//! Binding endpoints, and who is at the other end of a connection.

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
use super::connections::{ConnectionLimiter, PeerKey, Slot};
use super::malformed::{Explainer, REPLACED, Step};
use super::tcp::TcpEndpoint;
#[cfg(unix)]
use super::unix as os;
#[cfg(windows)]
use super::windows as os;
use sereno_auth::tls::CertificateError;
use sereno_auth::{Identity, TlsError};

pub(super) use os::own_uid;

/// How long to leave it when the system has no descriptor to spare.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Who has not made a call that is granted within this time has no business here.
const PATIENCE: Duration = Duration::from_secs(10);

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
    #[error("bind {endpoint}: a file that is no socket is in the way: move or remove it")]
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
    /// Nobody could come in.
    #[error("bind {endpoint}: {lacks}")]
    Lacks {
        /// Where.
        endpoint: Endpoint,
        /// What is needed.
        lacks: &'static str,
    },
    /// The certificates are no good.
    #[error("bind {endpoint}: {source}")]
    Tls {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: TlsError,
    },
}

/// Who is at the other end, as far as the connection says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A process of this machine, over a socket or pipe.
    Local {
        /// The user.
        uid: Option<u32>,
        /// The process.
        pid: Option<u32>,
    },
    /// Somebody on this machine, over TCP: what they show in a call says who.
    Loopback(SocketAddr),
    /// Whoever this certificate was made for.
    Certificate {
        /// Where they are.
        address: SocketAddr,
        /// Who they are.
        identity: Result<Identity, CertificateError>,
        /// How long that is so, in seconds since 1970: a connection may last longer.
        until: Option<i64>,
    },
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Who it is.
    pub origin: Origin,
    pub(super) place: Arc<Slot>,
}

/// Bound endpoints. Dropped, they leave nothing behind.
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

/// Whether an endpoint on TCP must be there at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindPolicy {
    /// A person is there, who can put it right.
    FailFast,
    /// What runs must go on: it is tried again and again.
    Retry,
}

/// Binds an endpoint that only this user can reach. A stale socket file is removed first: the caller knows, by a lock
/// or because it owns the name, that nobody else serves there. Needs a tokio runtime.
pub fn bind(endpoint: &Endpoint) -> Result<Listener, ListenError> {
    bind_all(std::slice::from_ref(endpoint), Access::default(), BindPolicy::FailFast)
}

/// Binds several endpoints, for whom `access` lets in. Those on TCP never take places from the local ones.
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
    /// Who may do what here.
    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access)
    }

    /// Where the endpoints on TCP really are: who asked for port 0 wants to know.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.doors.iter().filter_map(TcpEndpoint::address).collect()
    }

    /// The local endpoints and those on TCP, to be served in different ways.
    pub(super) fn split(self) -> (Vec<Local>, Vec<TcpEndpoint>) {
        (self.local, self.doors)
    }
}

impl Local {
    /// The next connection. May be dropped and called again.
    pub(super) async fn accept(&mut self) -> Connection {
        loop {
            match self.inner.accept().await {
                Ok((io, uid, pid)) => {
                    let peer_key = pid.map_or(PeerKey::Somebody, PeerKey::Process);
                    // Whoever is not let in sees the connection end at once.
                    if let Some(place) = self.limiter.admit(peer_key) {
                        return Connection::new(Io::Local(io), Origin::Local { uid, pid }, place);
                    }
                    tracing::debug!(?pid, "has too many connections");
                }
                Err(error) => accept_failed(&error).await,
            }
        }
    }

    /// Every connection, for tonic.
    pub(super) fn incoming(self) -> impl Stream<Item = io::Result<Connection>> {
        futures_util::stream::unfold(self, |mut listener| async {
            let connection = listener.accept().await;
            Some((Ok(connection), listener))
        })
    }
}

/// tonic would ask again at once, for ever: without descriptors that is a busy loop.
pub(super) async fn accept_failed(error: &io::Error) {
    tracing::warn!(%error, "accept failed");
    sleep(ACCEPT_AGAIN).await;
}

/// How bytes come and go.
#[derive(Debug)]
pub(super) enum Io {
    Local(os::Io),
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// One client.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    peer: Peer,
    /// Until when it must have made a call that is granted.
    patience: Option<Pin<Box<Sleep>>>,
    explainer: Explainer,
    /// What goes out before anything else.
    first: Vec<u8>,
}

impl Connection {
    pub(super) fn new(io: Io, origin: Origin, place: Arc<Slot>) -> Self {
        let patience = Some(Box::pin(sleep(PATIENCE)));
        let (explainer, first) = (Explainer::default(), Vec::new());
        Self { io, peer: Peer { origin, place }, patience, explainer, first }
    }

    /// Why it must end, if it must.
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

/// Sends over a local socket, where clients that mean well are reset for their authority.
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
        // The head of a frame and its content: in one piece, so that whoever is killed has sent both or neither.
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
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.poll_end(cx) {
            return Poll::Ready(Err(error));
        }
        each!(self, io => Pin::new(io).poll_read(cx, buf))
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
            // Nothing but what is to go out first.
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
