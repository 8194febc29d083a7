//! Serves one page over HTTP/1.1 to clients on this machine, without authentication and read-only.
//! Connection and time limits are the same as at every endpoint.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::access::Access;
use super::connections::ConnectionLimiter;
use super::listen::{BindPolicy, Connection, ListenError};
use super::tcp::TcpEndpoint;
use sereno_runtime::Shutdown;

/// Maximum time for the request head.
const HEAD: Duration = Duration::from_secs(5);
/// Maximum time for the whole exchange, including reading the answer.
const WHOLE: Duration = Duration::from_secs(10);
/// Maximum size of the request head, in bytes.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// A bound page. Unbinds its address when dropped.
#[derive(Debug)]
pub struct Page {
    door: TcpEndpoint,
}

/// Path and content type of the page.
#[derive(Debug, Clone, Copy)]
pub struct Sheet {
    /// Path of the page.
    pub path: &'static str,
    /// Content type of the page.
    pub content_type: &'static str,
}

impl Page {
    /// Binds an address of this machine. Needs a tokio runtime.
    pub fn bind(address: SocketAddr, access: &Arc<Access>, policy: BindPolicy) -> Result<Self, ListenError> {
        Ok(Self { door: TcpEndpoint::open(address, access, &ConnectionLimiter::default(), policy)? })
    }

    /// Serves the page until the shutdown. `write` builds it for each request, one request at a time;
    /// `None` means that it is not available now.
    pub async fn serve<W, F>(self, sheet: Sheet, write: W, shutdown: Shutdown)
    where
        W: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Option<String>> + Send + 'static,
    {
        let write = Arc::new(Mutex::new(write));
        let mut incoming = std::pin::pin!(self.door.incoming());
        let mut open = JoinSet::new();
        let stop = shutdown.triggered();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                Some(Ok(connection)) = incoming.next() => {
                    let write = Arc::clone(&write);
                    open.spawn(timeout(WHOLE, answer(connection, sheet, write)));
                }
                Some(_) = open.join_next() => {}
            }
        }
    }
}

async fn answer<W, F>(connection: Connection, sheet: Sheet, write: Arc<Mutex<W>>)
where
    W: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Option<String>> + Send + 'static,
{
    let service = service_fn(|request| {
        let write = Arc::clone(&write);
        async move {
            if let Some(refusal) = refusal(&request, sheet.path) {
                return Ok::<_, std::convert::Infallible>(refusal);
            }
            // Pages are built one at a time, so a client that asks in a loop costs no more than one that asks once.
            let Some(text) = (write.lock().await)().await else {
                return Ok(said(StatusCode::SERVICE_UNAVAILABLE, "not now"));
            };
            let mut response = Response::new(text);
            let as_what = HeaderValue::from_static(sheet.content_type);
            response.headers_mut().insert(header::CONTENT_TYPE, as_what);
            Ok(response)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(connection), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a reader of the page left");
    }
}

/// Returns the refusal of a request, if it is refused.
fn refusal<B>(request: &Request<B>, path: &str) -> Option<Response<String>> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_this_machine(host) {
        return Some(said(StatusCode::FORBIDDEN, "ask by an address of this machine, or as localhost"));
    }
    if request.uri().path() != path {
        return Some(said(StatusCode::NOT_FOUND, &format!("there is nothing but {path}")));
    }
    // The answer to HEAD is that to GET; hyper leaves its body out.
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = said(StatusCode::METHOD_NOT_ALLOWED, "it can only be read (GET, HEAD)");
        refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(refusal);
    }
    None
}

/// Protects against DNS rebinding: a foreign page in a browser here can make a name of its own resolve to
/// us, but not an address.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.is_empty() || name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn said(status: StatusCode, text: &str) -> Response<String> {
    let mut response = Response::new(format!("{text}\n"));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reading_the_one_page_by_an_address_is_answered() {
        let judged = |method: &str, path: &str, host: &str| {
            let request = Request::builder().method(method).uri(path).header("host", host).body(());
            refusal(&request.expect("a request"), "/metrics").map(|said| said.status().as_u16())
        };
        for host in ["127.0.0.1:7611", "[::1]:7611", "[::1]", "localhost", "LOCALHOST:9", ""] {
            assert_eq!(judged("GET", "/metrics", host), None, "{host}");
        }
        assert_eq!(judged("GET", "/metrics?x=1", "localhost"), None);
        assert_eq!(judged("HEAD", "/metrics", "localhost"), None);
        assert_eq!(judged("GET", "/metrics", "evil.example:7611"), Some(403));
        assert_eq!(judged("GET", "/", "localhost"), Some(404));
        assert_eq!(judged("POST", "/metrics", "localhost"), Some(405));
    }
}
