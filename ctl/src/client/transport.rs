//! From an endpoint to a channel, over one connection that is made here and now, so that an error is the plain one
//! of the operating system.

use std::io;

use hyper_util::rt::TokioIo;
use proto::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint as Target};

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

/// Connects.
pub(crate) async fn channel(endpoint: &Endpoint) -> Result<Channel, Missing> {
    match endpoint {
        #[cfg(unix)]
        Endpoint::Unix(path) => over(tokio::net::UnixStream::connect(path).await?).await,
        #[cfg(windows)]
        Endpoint::Pipe(name) => over(pipe(name).await?).await,
        other => Err(Missing::Other(format!("{other}: not an endpoint of this system"))),
    }
}

async fn over<S>(stream: S) -> Result<Channel, Missing>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = once.take().ok_or_else(|| io::Error::other("the connection has ended"));
        async move { stream }
    });
    // The authority is part of the contract: a path is none that HTTP/2 servers accept.
    Target::from_static("http://localhost")
        .connect_with_connector(connector)
        .await
        .map_err(|error| Missing::Other(error.to_string().to_lowercase()))
}

/// Opens a named pipe, waiting for its server to have an instance free.
#[cfg(windows)]
async fn pipe(name: &str) -> io::Result<tokio::net::windows::named_pipe::NamedPipeClient> {
    const ERROR_PIPE_BUSY: i32 = 231;
    let path = format!(r"\\{}", name.replace('/', r"\"));
    for _ in 0..100 {
        match tokio::net::windows::named_pipe::ClientOptions::new().open(&path) {
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            other => return other,
        }
    }
    Err(io::Error::from_raw_os_error(ERROR_PIPE_BUSY))
}
