//! Opens one connection to an endpoint.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use proto::Endpoint;
use rustls::pki_types::ServerName;
use sereno_auth::TlsFiles;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ConnectError;

/// How long to wait for the server's first bytes after the TLS handshake.
const GREETING: Duration = Duration::from_secs(1);

/// A byte stream to the peer.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

pub(crate) async fn dial(
    endpoint: &Endpoint,
    tls: Option<&TlsFiles>,
) -> Result<Box<dyn Bytes>, ConnectError> {
    match endpoint {
        Endpoint::Http(address) => Ok(Box::new(tcp(address).await?)),
        Endpoint::Https { host, port } => {
            let config = tls.ok_or(ConnectError::NoCertificate)?.load()?.client()?;
            let name = ServerName::try_from(host.clone()).map_err(ConnectError::Host)?;
            let stream = tcp((host.as_str(), *port)).await?;
            let shaken =
                async { greeted(TlsConnector::from(Arc::new(config)).connect(name, stream).await?).await };
            Ok(Box::new(shaken.await.map_err(ConnectError::Handshake)?))
        }
        #[cfg(unix)]
        Endpoint::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
        #[cfg(windows)]
        Endpoint::Pipe(name) => Ok(Box::new(pipe(name).await?)),
        other => Err(ConnectError::Foreign(other.clone())),
    }
}

async fn tcp(address: impl tokio::net::ToSocketAddrs) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads the server's first bytes. With TLS 1.3 a server reports only after the handshake that it refuses
/// the client certificate.
async fn greeted(stream: TlsStream<TcpStream>) -> io::Result<impl Bytes + 'static> {
    let (mut reader, writer) = tokio::io::split(stream);
    let mut first = vec![0; 1024];
    let count = match timeout(GREETING, reader.read(&mut first)).await {
        Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(read) => read?,
        // The server sends nothing until the client does.
        Err(_) => 0,
    };
    first.truncate(count);
    Ok(tokio::io::join(io::Cursor::new(first).chain(reader), writer))
}

/// Opens a named pipe; waits until its server has a free instance.
#[cfg(windows)]
async fn pipe(name: &str) -> io::Result<tokio::net::windows::named_pipe::NamedPipeClient> {
    const ERROR_PIPE_BUSY: i32 = 231;
    const BUSY_AGAIN: Duration = Duration::from_millis(10);
    let path = format!(r"\\{}", name.replace('/', r"\"));
    // The caller sets the time limit.
    loop {
        match tokio::net::windows::named_pipe::ClientOptions::new().open(&path) {
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => {
                tokio::time::sleep(BUSY_AGAIN).await;
            }
            other => return other,
        }
    }
}
