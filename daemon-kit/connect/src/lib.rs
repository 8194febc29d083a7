//! Creates gRPC channels to a daemon.
//!
//! | function | for |
//! |---|---|
//! | [`lazy`], [`lazy_as`] | daemons: connects on first use, and again after a failure |
//! | [`now`] | commands: one connection, made at once, with a plain error message on failure |

#![forbid(unsafe_code)]

mod dial;
mod error;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use proto::Endpoint;
use sereno_auth::{TlsFiles, secret};
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

pub use error::ConnectError;

/// Interval of HTTP/2 pings over TCP. They detect a peer that is gone, which TCP does not report.
pub const PING: Duration = Duration::from_secs(10);
/// Time within which a ping must be answered. See [`PING`].
pub const PONG: Duration = Duration::from_secs(5);

/// Interval of pings over a local endpoint, and the time within which they must be answered. There the system reports a
/// peer that is gone, unless it was killed and a thread of it waits in the kernel: then its sockets stay open.
const LOCAL_PING: Duration = Duration::from_secs(30);

/// Connection time-out of a daemon, which retries.
const LAZY: Duration = Duration::from_secs(2);
/// Connection time-out of a command, over a network that may be broken.
const NOW: Duration = Duration::from_secs(5);

/// Credentials that we present.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Certificate files for `https://`.
    pub tls: Option<TlsFiles>,
    /// File with the token for `http://`.
    pub token_file: Option<PathBuf>,
}

/// A channel whose calls carry credentials.
pub type Authorized = InterceptedService<Channel, Bearer>;

/// Adds a token to each call.
#[derive(Debug, Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// Reads the token, if one is configured and the endpoint uses tokens.
    fn of(credentials: &Credentials, endpoint: &Endpoint) -> Result<Self, ConnectError> {
        let (Some(path), Endpoint::Http(_)) = (&credentials.token_file, endpoint) else {
            return Ok(Self(None));
        };
        let token = secret::read(path)?;
        let mut value = MetadataValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| ConnectError::NoToken(path.clone()))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Returns a channel that connects on first use, and again after a failure. Needs a tokio runtime.
pub fn lazy(endpoint: &Endpoint) -> Channel {
    with(endpoint, None)
}

/// Returns a channel like [`lazy`], with credentials. The token is read now, certificates at each
/// connection.
pub fn lazy_as(endpoint: &Endpoint, credentials: &Credentials) -> Result<Authorized, ConnectError> {
    let bearer = Bearer::of(credentials, endpoint)?;
    Ok(InterceptedService::new(with(endpoint, credentials.tls.clone()), bearer))
}

/// Connects within 5 seconds. The channel ends with this connection.
pub async fn now(endpoint: &Endpoint, credentials: &Credentials) -> Result<Authorized, ConnectError> {
    let connecting = async {
        let bearer = Bearer::of(credentials, endpoint)?;
        let mut once = Some(TokioIo::new(dial::dial(endpoint, credentials.tls.as_ref()).await?));
        let connector = tower::service_fn(move |_| {
            let stream = once.take().ok_or_else(|| io::Error::other("the connection has ended"));
            async move { stream }
        });
        let channel = target(endpoint).connect_with_connector(connector).await?;
        Ok(InterceptedService::new(channel, bearer))
    };
    timeout(NOW, connecting).await.unwrap_or_else(|_| Err(ConnectError::Late(NOW)))
}

fn with(endpoint: &Endpoint, tls: Option<TlsFiles>) -> Channel {
    let dialed = endpoint.clone();
    target(endpoint).connect_timeout(LAZY).connect_with_connector_lazy(tower::service_fn(move |_| {
        let (endpoint, tls) = (dialed.clone(), tls.clone());
        async move { dial::dial(&endpoint, tls.as_ref()).await.map(TokioIo::new) }
    }))
}

fn target(endpoint: &Endpoint) -> tonic::transport::Endpoint {
    // The URI only sets the authority, which is part of the contract: HTTP/2 servers accept no path there.
    let target = tonic::transport::Endpoint::from_static("http://localhost");
    let (every, within) = if endpoint.is_local() { (LOCAL_PING, LOCAL_PING) } else { (PING, PONG) };
    target.http2_keep_alive_interval(every).keep_alive_timeout(within).keep_alive_while_idle(true)
}
