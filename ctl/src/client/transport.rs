//! From an endpoint to a channel, over one connection that is made here and now, so that an error is the plain one
//! of the operating system.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use daemon_kit::access::secret;
use hyper_util::rt::TokioIo;
use proto::Endpoint;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, CertificateError as Bad, Error};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint as Target};
use tonic::{Request, Status};

use crate::context;

/// How long a server may wait for its client to speak first.
const GREETING: Duration = Duration::from_secs(1);

/// How long connecting may take, over a network that may be broken.
const CONNECT: Duration = Duration::from_secs(5);
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Missing {
    /// Nobody is there: it may be started.
    #[error("not running ({0})")]
    Nobody(&'static str),
    /// Somebody may be there.
    #[error("{0}")]
    Other(String),
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Nobody("no socket"),
            io::ErrorKind::ConnectionRefused => Self::Nobody("refused"),
            _ => Self::Other(error.to_string().to_lowercase()),
        }
    }
}

/// A channel whose calls show who makes them.
pub(crate) type Authorized = InterceptedService<Channel, Bearer>;

/// Shows a token with each call.
#[derive(Clone, Default)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Connects.
pub(crate) async fn channel(endpoint: &Endpoint) -> Result<Authorized, Missing> {
    let late = || Missing::Other(format!("no connection within {} s", CONNECT.as_secs()));
    timeout(CONNECT, connect(endpoint)).await.unwrap_or_else(|_| Err(late()))
}

async fn connect(endpoint: &Endpoint) -> Result<Authorized, Missing> {
    let channel = match endpoint {
        #[cfg(unix)]
        Endpoint::Unix(path) => over(tokio::net::UnixStream::connect(path).await?, NEAR).await,
        #[cfg(windows)]
        Endpoint::Pipe(name) => over(pipe(name).await?, NEAR).await,
        Endpoint::Http(address) => {
            let channel = over(quick(TcpStream::connect(address).await?)?, FAR).await?;
            return Ok(InterceptedService::new(channel, bearer()?));
        }
        Endpoint::Https { host, port } => over(secured(host, *port).await?, FAR).await,
        other => Err(Missing::Other(format!("{other}: not an endpoint of this system"))),
    };
    Ok(InterceptedService::new(channel?, Bearer(None)))
}

fn quick(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The token of whoever asks; without one the answer says what is needed.
fn bearer() -> Result<Bearer, Missing> {
    let Some(path) = &context::shown().token_file else { return Ok(Bearer(None)) };
    let token = secret::read(path).map_err(|error| Missing::Other(error.to_string()))?;
    let mut value = MetadataValue::try_from(format!("Bearer {}", token.trim()))
        .map_err(|_| Missing::Other(format!("read {}: is no token", path.display())))?;
    value.set_sensitive(true);
    Ok(Bearer(Some(value)))
}

async fn secured(
    host: &str,
    port: u16,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Missing> {
    let other = |error: String| Missing::Other(error);
    let Some(files) = &context::shown().tls else {
        return Err(other(
            "it wants a certificate: give --ca, --cert and --key, or a context that has them".into(),
        ));
    };
    let config =
        files.load().and_then(|material| material.client()).map_err(|error| other(error.to_string()))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| other(error.to_string()))?;
    let stream = quick(TcpStream::connect((host, port)).await?)?;
    let greeted = async { greeted(TlsConnector::from(Arc::new(config)).connect(name, stream).await?).await };
    greeted.await.map_err(|error| other(plainly(&error)))
}

/// With TLS 1.3 a server says only after the handshake that it will not have this client: it is heard first.
async fn greeted(
    stream: TlsStream<TcpStream>,
) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    let (mut reader, writer) = tokio::io::split(stream);
    let mut first = vec![0; 1024];
    let count = match timeout(GREETING, reader.read(&mut first)).await {
        Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(read) => read?,
        // One that waits for us.
        Err(_) => 0,
    };
    first.truncate(count);
    Ok(tokio::io::join(io::Cursor::new(first).chain(reader), writer))
}

/// What was wrong with a handshake.
fn plainly(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::AlertReceived(AlertDescription::CertificateExpired)) => {
            "the certificate that was shown has expired (\"ctl pki renew\")".into()
        }
        Some(Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError)) => {
            "the certificate that was shown is not signed by the authority that is trusted there".into()
        }
        Some(Error::InvalidCertificate(why)) => {
            let words = match why {
                Bad::UnknownIssuer | Bad::BadSignature => {
                    "is not signed by the authority that is trusted here"
                }
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => "is for other hosts",
                Bad::Expired | Bad::ExpiredContext { .. } => "has expired",
                _ => "is not to be trusted",
            };
            format!("its certificate {words}")
        }
        _ => format!("no handshake: {}", error.to_string().to_lowercase()),
    }
}

/// Whether the other end is asked now and then if it is still there: on TCP nobody else says so.
const NEAR: bool = false;
const FAR: bool = true;

async fn over<S>(stream: S, far: bool) -> Result<Channel, Missing>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = once.take().ok_or_else(|| io::Error::other("the connection has ended"));
        async move { stream }
    });
    // The authority is part of the contract: a path is none that HTTP/2 servers accept.
    let mut target = Target::from_static("http://localhost");
    if far {
        target = target.http2_keep_alive_interval(PING).keep_alive_timeout(PONG).keep_alive_while_idle(true);
    }
    target
        .connect_with_connector(connector)
        .await
        .map_err(|error| Missing::Other(error.to_string().to_lowercase()))
}

/// Opens a named pipe, waiting for its server to have an instance free.
#[cfg(windows)]
async fn pipe(name: &str) -> io::Result<tokio::net::windows::named_pipe::NamedPipeClient> {
    const ERROR_PIPE_BUSY: i32 = 231;
    let path = format!(r"\\{}", name.replace('/', r"\"));
    // As long as a question may take: a supervisor that has much to do gives out its next instance late.
    for _ in 0..500 {
        match tokio::net::windows::named_pipe::ClientOptions::new().open(&path) {
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            other => return other,
        }
    }
    Err(io::Error::from_raw_os_error(ERROR_PIPE_BUSY))
}
