//! One connection of a check, with one request, and a bound on what the endpoint can make us read.

use std::error::Error;
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::{Request, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use reqwest::{Body, Response};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sereno_monitor::dial;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tower::ServiceExt as _;

/// Bytes that are read from one connection, TLS included. A body of 64 KiB in chunks of one byte takes 384 KiB, its
/// headers 64 KiB at most. What else could come is never part of an answer: interim answers without end, for one.
const MAX_READ: usize = 1024 * 1024;
/// Bytes that are read and parsed before other tasks have their turn.
const MAX_PIECE: usize = 16 * 1024;
/// Headers of one answer.
const MAX_HEADERS: usize = 100;
/// Bytes of all headers of one answer.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// Neither the service nor the check is to blame.
    #[error("cannot load certificates: {0}")]
    Certificates(#[from] rustls::Error),
    #[error("cannot make the request: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("cannot connect: {0}")]
    Connect(#[from] Box<dyn Error + Send + Sync>),
    #[error("cannot read an answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("redirects: {0}")]
    Redirect(&'static str),
}

/// What a request is sent over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to the first address of a host that takes the connection.
pub(crate) async fn open(uri: Uri, tls: Option<Arc<ClientConfig>>) -> Result<Box<dyn Stream>, RequestError> {
    // An address of IPv6 stands in brackets.
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let tcp = match connector.oneshot(uri).await {
        Ok(tcp) => tcp.into_inner(),
        Err(error) => again(&host, port, Box::from(error)).await?,
    };
    let stream = Bounded::new(tcp);
    let Some(config) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host).map_err(Box::from)?;
    Ok(Box::new(TlsConnector::from(config).connect(name, stream).await.map_err(Box::from)?))
}

/// Connects once more if this host had no port to spare for the connection.
async fn again(
    host: &str,
    port: u16,
    error: Box<dyn Error + Send + Sync>,
) -> Result<TcpStream, Box<dyn Error + Send + Sync>> {
    let mut at: Option<&(dyn Error + 'static)> = Some(&*error);
    while let Some(cause) = at {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::AddrNotAvailable) {
            let mut last = error;
            for address in lookup_host((host, port)).await? {
                match dial(address).await {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        return Ok(stream);
                    }
                    Err(why) => last = why.into(),
                }
            }
            return Err(last);
        }
        at = cause.source();
    }
    Err(error)
}

/// Sends a request, and hands the answer over as soon as its headers are there. The connection makes no progress
/// but in here, and is closed when this is dropped.
pub(crate) async fn exchange<T>(
    stream: impl Stream,
    request: Request<Body>,
    take: impl AsyncFnOnce(Response) -> T,
) -> Result<T, RequestError> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        Ok(take(answer.map(Body::wrap).into()).await)
    };
    let (mut exchange, connection) = (pin!(exchange), pin!(connection));
    tokio::select! {
        // The request is queued before the connection finds out that it is closed, so that it is told why.
        biased;
        done = &mut exchange => done,
        // The request, or the body, is told the error too; what was read before the end is still to be taken.
        _ = connection => exchange.await,
    }
}

/// A stream that ends with an error once it gave too much, and lets other tasks run after each piece.
pub(crate) struct Bounded<S> {
    stream: S,
    left: usize,
    pause: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("sent 1 MiB without a whole answer")]
struct TooMuch;

impl<S> Bounded<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, left: MAX_READ, pause: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if mem::take(&mut self.pause) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other(TooMuch)));
        }
        let room = buf.remaining().min(MAX_PIECE).min(self.left);
        let mut piece = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut piece))?;
        let read = piece.filled().len();
        buf.advance(read);
        self.left -= read;
        self.pause = true;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    // TLS says why it gives up in the last of several parts, and tries only once.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const INTERIM: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";

    /// Has nothing at first, then interim answers for ever, as many as there is room for.
    struct Endless(&'static [u8]);

    impl AsyncRead for Endless {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.0.is_empty() {
                self.0 = INTERIM;
                return Poll::Pending;
            }
            while buf.remaining() > 0 {
                let taken = buf.remaining().min(self.0.len());
                buf.put_slice(&self.0[..taken]);
                self.0 = if taken < self.0.len() { &self.0[taken..] } else { INTERIM };
            }
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn an_endpoint_that_never_waits_takes_a_turn_for_each_piece_and_ends_at_the_limit() {
        let stream = Bounded::new(tokio::io::join(Endless(b""), tokio::io::sink()));
        let mut asked = pin!(exchange(stream, Request::default(), async |_| ()));
        let mut turns = 0;
        let error = loop {
            turns += 1;
            if let Poll::Ready(ended) = asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                break ended.expect_err("there is no answer");
            }
        };
        assert!(turns > MAX_READ / MAX_PIECE, "{turns} turns");
        let RequestError::Http(error) = error else { panic!("{error:?}") };
        let io = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        assert_eq!(io.map(io::Error::to_string), Some(TooMuch.to_string()));
    }
}
