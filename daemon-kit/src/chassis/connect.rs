//! A channel to another daemon.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use proto::Endpoint;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::serve::{PING, PONG};
#[cfg(unix)]
use super::unix as os;
#[cfg(windows)]
use super::windows as os;
use crate::access::{SecretError, TlsFiles, secret};

/// How long the connecting itself may take.
const CONNECT: Duration = Duration::from_secs(2);

/// How long a server may wait for its client to speak first.
const GREETING: Duration = Duration::from_secs(1);

/// What shows to others who we are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// For `https://`.
    pub tls: Option<TlsFiles>,
    /// For `http://`: the file with the token.
    pub token_file: Option<PathBuf>,
}

/// Why nobody is connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The token can not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What is in the file is no token.
    #[error("read {}: is no token", .0.display())]
    NoToken(PathBuf),
}

/// A channel whose calls say who makes them.
pub type Authorized = InterceptedService<Channel, Bearer>;

/// Shows a token with each call.
#[derive(Debug, Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// A channel that connects when it is first used, and again after it broke. Needs a tokio runtime.
pub fn channel(endpoint: &Endpoint) -> Channel {
    with(endpoint, None)
}

/// The same for somebody who has to show who they are. The token is read now, certificates at each connection.
pub fn channel_as(endpoint: &Endpoint, credentials: &Credentials) -> Result<Authorized, ConnectError> {
    let bearer = match (&credentials.token_file, endpoint) {
        (Some(path), Endpoint::Http(_)) => {
            let token = secret::read(path)?;
            let mut value = MetadataValue::try_from(format!("Bearer {}", token.trim()))
                .map_err(|_| ConnectError::NoToken(path.clone()))?;
            value.set_sensitive(true);
            Bearer(Some(value))
        }
        _ => Bearer(None),
    };
    Ok(InterceptedService::new(with(endpoint, credentials.tls.clone()), bearer))
}

fn with(endpoint: &Endpoint, tls: Option<TlsFiles>) -> Channel {
    let endpoint = endpoint.clone();
    // The URI is only the authority: tonic refuses a path there.
    let mut target = tonic::transport::Endpoint::from_static("http://localhost").connect_timeout(CONNECT);
    if !endpoint.is_local() {
        target = target.http2_keep_alive_interval(PING).keep_alive_timeout(PONG).keep_alive_while_idle(true);
    }
    target.connect_with_connector_lazy(tower::service_fn(move |_| {
        let (endpoint, tls) = (endpoint.clone(), tls.clone());
        async move { dial(endpoint, tls).await.map(TokioIo::new) }
    }))
}

/// Bytes to and from the other end.
trait Both: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Both for T {}

async fn dial(endpoint: Endpoint, tls: Option<TlsFiles>) -> io::Result<Box<dyn Both>> {
    match endpoint {
        Endpoint::Http(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Endpoint::Https { host, port } => {
            let files = tls.ok_or_else(|| io::Error::other("https:// needs tls = { ca, cert, key }"))?;
            let config = files.load().and_then(|material| material.client()).map_err(io::Error::other)?;
            let name = rustls::pki_types::ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            // With TLS 1.3 a server says only after the handshake that it will not have us: it is heard first.
            let (mut reader, writer) = tokio::io::split(stream);
            let mut first = vec![0; 1024];
            let count = match timeout(GREETING, reader.read(&mut first)).await {
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read?,
                // One that waits for us.
                Err(_) => 0,
            };
            first.truncate(count);
            Ok(Box::new(tokio::io::join(io::Cursor::new(first).chain(reader), writer)))
        }
        local => Ok(Box::new(os::connect(local).await?)),
    }
}
