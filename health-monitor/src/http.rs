//! One request over a new connection, within bounds: whatever a health endpoint does, it costs 64 KiB and the time-out.

use std::error::Error;
use std::io;
use std::sync::Arc;

use proto::v1;
use reqwest::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, Url};
use sereno_monitor::{Evidence, TargetError, Verdict};

use crate::client::{Clients, Kind};
use crate::expect::Expect;

/// Bytes of a body that are read.
const MAX_BODY: usize = 64 * 1024;
/// Bytes of a body that are shown.
const HEAD: usize = 200;
/// Redirects that may be asked for.
const MAX_REDIRECTS: u32 = 20;

/// One URL, and what it should answer.
#[derive(Debug)]
pub struct HttpCheck {
    url: Url,
    method: Method,
    headers: HeaderMap,
    expect: Expect,
    kind: Kind,
    clients: Arc<Clients>,
}

impl HttpCheck {
    pub(crate) fn new(spec: &v1::HttpCheck, clients: Arc<Clients>) -> Result<Self, TargetError> {
        let url = Url::parse(&spec.url)
            .map_err(|error| TargetError::new("http.url", format!("{:?} is no URL: {error}", spec.url)))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(TargetError::new(
                "http.url",
                format!("{:?} is neither http nor https", url.scheme()),
            ));
        }
        let method = match spec.method.as_str() {
            "" => Method::GET,
            method => Method::from_bytes(method.as_bytes())
                .map_err(|_| TargetError::new("http.method", format!("{method:?} is no method")))?,
        };
        if spec.redirects > MAX_REDIRECTS {
            return Err(TargetError::new("http.redirects", format!("is more than {MAX_REDIRECTS}")));
        }
        let ca = match spec.ca_file.as_str() {
            "" => None,
            path => Some(certificates(path)?),
        };
        // A redirect may lead to TLS.
        let tls = url.scheme() == "https" || spec.redirects > 0;
        let kind = Kind { tls, insecure: spec.insecure, redirects: spec.redirects, ca };
        Ok(Self { url, method, headers: headers(spec)?, expect: Expect::new(spec)?, kind, clients })
    }

    pub(crate) async fn run(&self) -> Verdict {
        let client = match self.clients.get(&self.kind) {
            Ok(client) => client,
            // Neither the service nor the check is to blame: no certificate store, no memory.
            Err(error) => {
                let words = words(&error);
                return Verdict { own_trouble: Some(words.clone()), ..Verdict::failing(words) };
            }
        };
        let request = client.request(self.method.clone(), self.url.clone()).headers(self.headers.clone());
        match request.send().await {
            Ok(answer) => self.judge(answer).await,
            Err(error) => failed(&error),
        }
    }

    pub(crate) async fn judge(&self, mut answer: Response) -> Verdict {
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        let cut = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    let room = MAX_BODY - body.len();
                    body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                    if chunk.len() > room {
                        break true;
                    }
                }
                Ok(None) => break false,
                Err(error) => {
                    let mut verdict = failed(&error);
                    verdict.evidence.http_status = status;
                    return verdict;
                }
            }
        };
        let head = body[..body.len().min(HEAD)].to_vec();
        match self.expect.judge(status, &body, cut) {
            Ok(()) => Verdict::passing(status.to_string()),
            Err(why) => {
                let detail = if why.is_empty() { status.to_string() } else { format!("{status}, {why}") };
                let said = String::from_utf8_lossy(&head);
                let summary = format!("{detail} {said}").trim_end().to_owned();
                let evidence =
                    Evidence { summary, http_status: status, body_head: head, ..Evidence::default() };
                Verdict { evidence, ..Verdict::failing(detail) }
            }
        }
    }
}

fn headers(spec: &v1::HttpCheck) -> Result<HeaderMap, TargetError> {
    let mut headers = HeaderMap::new();
    // The next check opens a new connection; the service need not keep this one.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in &spec.headers {
        // The value may be a secret.
        let error = |what| TargetError::new("http.headers", format!("{name:?}: {what}"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| error("is no name of a header"))?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| error("its value can not stand in a header"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

fn certificates(path: &str) -> Result<Vec<u8>, TargetError> {
    let error = |why: String| TargetError::new("http.ca_file", format!("{path}: {why}"));
    let pem = std::fs::read(path).map_err(|why| error(why.to_string()))?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(pem),
        _ => Err(error("has no certificate in PEM".into())),
    }
}

/// A request that got no whole answer.
fn failed(error: &reqwest::Error) -> Verdict {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(at) = cause {
        // Errors of TLS and of HTTP wear the system's coat too, without its number.
        if let Some(system) = at.downcast_ref::<io::Error>().filter(|error| error.raw_os_error().is_some()) {
            return Verdict::of_error(system);
        }
        cause = at.source();
    }
    Verdict::failing(words(error))
}

/// The innermost cause, which says what happened; what stands around it says only where, and may hold the URL.
fn words(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_redirect() { format!("redirects: {innermost}") } else { innermost.to_string() }
}
