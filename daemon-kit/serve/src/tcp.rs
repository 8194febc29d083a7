//! A TCP endpoint: accepting, the TLS handshake, and binding again after a failure.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::Stream;
use proto::Endpoint;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::access::Access;
use super::connections::{ConnectionLimiter, PeerKey, Slot};
use super::listen::{BindPolicy, Connection, Io, ListenError, Origin, accept_failed};
use sereno_auth::{expiry, tls};

/// Maximum duration of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause between attempts to bind.
const BIND_AGAIN: Duration = Duration::from_secs(5);

/// A single TCP endpoint.
#[derive(Debug)]
pub(super) struct TcpEndpoint {
    endpoint: Endpoint,
    host: String,
    port: u16,
    tls: bool,
    listener: Option<TcpListener>,
    access: Arc<Access>,
    limiter: ConnectionLimiter,
}

impl TcpEndpoint {
    pub(super) fn bind(
        endpoint: &Endpoint,
        access: &Arc<Access>,
        limiter: &ConnectionLimiter,
        policy: BindPolicy,
    ) -> Result<Self, ListenError> {
        let lacks = |lacks| ListenError::Lacks { endpoint: endpoint.clone(), lacks };
        let (host, port, tls) = match endpoint {
            Endpoint::Http(_) if !access.has_tokens() => {
                return Err(lacks("needs a file of tokens, and has no home"));
            }
            Endpoint::Http(address) => return Self::open(*address, access, limiter, policy),
            Endpoint::Https { host, port } => (host.clone(), *port, true),
            _ => return Err(ListenError::Foreign { endpoint: endpoint.clone() }),
        };
        Self::at(endpoint, (host, port, tls), access, limiter, policy)
    }

    /// Opens an endpoint without authentication.
    pub(super) fn open(
        address: SocketAddr,
        access: &Arc<Access>,
        limiter: &ConnectionLimiter,
        policy: BindPolicy,
    ) -> Result<Self, ListenError> {
        let place = (address.ip().to_string(), address.port(), false);
        Self::at(&Endpoint::Http(address), place, access, limiter, policy)
    }

    fn at(
        endpoint: &Endpoint,
        (host, port, tls): (String, u16, bool),
        access: &Arc<Access>,
        limiter: &ConnectionLimiter,
        policy: BindPolicy,
    ) -> Result<Self, ListenError> {
        let lacks = |lacks| ListenError::Lacks { endpoint: endpoint.clone(), lacks };
        let ready = || {
            let failed = |source| ListenError::Tls { endpoint: endpoint.clone(), source };
            if tls && !access.load_tls().map_err(failed)? {
                return Err(lacks("needs tls = { ca, cert, key } beside it (see \"ctl pki\")"));
            }
            listen(&host, port).map_err(|source| ListenError::Bind { endpoint: endpoint.clone(), source })
        };
        // Resolving a name may take time, and a restart must not wait for it.
        let later = policy == BindPolicy::Retry && host.parse::<IpAddr>().is_err();
        let bound = if later { Ok(None) } else { ready().map(Some) };
        let listener = match bound {
            Ok(listener) => listener,
            Err(error) if policy == BindPolicy::FailFast => return Err(error),
            Err(error) => {
                tracing::error!(%error, "goes on without, and tries again");
                None
            }
        };
        let (access, limiter) = (Arc::clone(access), limiter.clone());
        Ok(Self { endpoint: endpoint.clone(), host, port, tls, listener, access, limiter })
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }

    /// Returns the next client. Cancel-safe.
    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let listener = if let Some(listener) = &self.listener {
                listener
            } else {
                let listener = match TcpListener::bind((&*self.host, self.port)).await {
                    Ok(listener) => listener,
                    Err(error) => {
                        let endpoint = &self.endpoint;
                        self.access.set_unbound(&endpoint.to_string(), Some(error.to_string()));
                        self.access.say(&format!("{endpoint} can not be bound: {error}; it is tried again"));
                        sleep(BIND_AGAIN).await;
                        continue;
                    }
                };
                self.access.set_unbound(&self.endpoint.to_string(), None);
                tracing::info!(endpoint = %self.endpoint, "is bound now");
                self.listener.insert(listener)
            };
            match listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => accept_failed(&error).await,
            }
        }
    }

    /// Returns a stream of all connections, for tonic. A slow handshake does not delay other connections.
    pub(super) fn incoming(self) -> impl Stream<Item = io::Result<Connection>> {
        let state = (self, JoinSet::<Option<Connection>>::new());
        futures_util::stream::unfold(state, |(mut door, mut greeted)| async move {
            loop {
                tokio::select! {
                    (stream, address) = door.accept() => {
                        let peer = PeerKey::at(address.ip());
                        if let Err(too_fast) = door.access.may_connect(peer) {
                            door.access.refused(&address.ip().to_string(), &too_fast.of_connections());
                        } else if let Some(place) = door.limiter.admit(peer) {
                            greeted.spawn(door.greet(stream, address, place));
                        } else {
                            door.access.refused(&address.ip().to_string(), "has too many connections");
                        }
                    }
                    Some(done) = greeted.join_next() => {
                        if let Ok(Some(connection)) = done {
                            return Some((Ok(connection), (door, greeted)));
                        }
                    }
                }
            }
        })
    }

    /// Turns a TCP stream into a connection, if its peer completes the handshake.
    fn greet(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        place: Arc<Slot>,
    ) -> impl Future<Output = Option<Connection>> + Send + use<> {
        let (access, tls) = (Arc::clone(&self.access), self.tls);
        async move {
            let leaving = Arc::clone(&place);
            let connection = async {
                stream.set_nodelay(true).ok()?;
                if !tls {
                    return Some(
                        Connection::new(Io::Plain(stream), Origin::Loopback(address), place)
                            .limited(access.reading()),
                    );
                }
                shake_hands(&access, stream, address, place).await
            };
            let connection = tokio::select! {
                connection = connection => connection,
                () = poll_fn(|cx| leaving.poll_must_go(cx)) => None,
            };
            if connection.is_none() {
                leaving.leave();
            }
            connection
        }
    }
}

fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind((host, port))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn shake_hands(
    access: &Access,
    stream: TcpStream,
    address: SocketAddr,
    place: Arc<Slot>,
) -> Option<Connection> {
    let shown = Arc::new(OnceLock::new());
    let config = match access.tls()?.server(Arc::clone(&shown)) {
        Ok(config) => config,
        Err(error) => {
            access.say(&format!("nobody can connect by TLS: {error}"));
            return None;
        }
    };
    let who = || {
        let name = shown.get().map_or_else(String::new, |name| format!("certificate {name} "));
        format!("{name}({})", address.ip())
    };
    match timeout(HANDSHAKE, TlsAcceptor::from(Arc::new(config)).accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first)?;
            let (identity, until) = (tls::identity(certificate), expiry::of(certificate));
            let origin = Origin::Certificate { address, identity, until };
            Some(Connection::new(Io::Tls(Box::new(stream)), origin, place).limited(access.reading()))
        }
        // The client only tested whether the port is open.
        Ok(Err(error)) if is_gone(&error) => None,
        Ok(Err(error)) => {
            access.refused(&who(), &plainly(&error));
            None
        }
        Err(_) => {
            access.refused(&who(), &format!("no handshake within {HANDSHAKE:?}"));
            None
        }
    }
}

/// Describes what was wrong with a handshake, without parts that change between attempts.
fn plainly(error: &io::Error) -> String {
    use rustls::CertificateError as Bad;
    use rustls::Error::{InvalidCertificate, NoCertificatesPresented};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let words = match cause {
        Some(NoCertificatesPresented) => "it shows no certificate",
        Some(InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. })) => "its certificate has expired",
        Some(InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. })) => {
            "its certificate is not valid yet"
        }
        Some(InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature)) => {
            "its certificate is not signed by the authority that is trusted here"
        }
        _ => return error.to_string(),
    };
    words.into()
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
