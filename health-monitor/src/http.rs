//! One request over a new connection, within bounds: whatever a health endpoint does, it costs 1 MiB and the time-out.

use std::error::Error;
use std::io;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;

use proto::v1;
use reqwest::Response;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sereno_monitor::{Evidence, TargetError, Verdict};

use crate::connection::{self, RequestError};
use crate::expect::{Expect, Mismatch};
use crate::request::PreparedRequest;
use crate::tls::{TlsConfigs, Trust};

/// Bytes of a body that are read.
const MAX_BODY: usize = 64 * 1024;
/// Bytes of a body that are shown.
const HEAD: usize = 200;
/// Redirects that may be asked for.
const MAX_REDIRECTS: u32 = 20;

/// One URL, and what it should answer.
#[derive(Debug)]
pub struct HttpCheck {
    pub(crate) request: PreparedRequest,
    redirects: u32,
    expect: Expect,
    trust: Trust,
    tls: Arc<TlsConfigs>,
}

impl HttpCheck {
    pub(crate) fn new(spec: &v1::HttpCheck, tls: Arc<TlsConfigs>) -> Result<Self, TargetError> {
        let request = PreparedRequest::new(spec)?;
        if spec.redirects > MAX_REDIRECTS {
            return Err(TargetError::new("http.redirects", format!("is more than {MAX_REDIRECTS}")));
        }
        let ca = match spec.ca_file.as_str() {
            "" => Vec::new(),
            path => certificates(path)?,
        };
        let trust = if spec.insecure { Trust::Any } else { Trust::SystemAnd(ca) };
        Ok(Self { request, redirects: spec.redirects, expect: Expect::new(spec)?, trust, tls })
    }

    pub(crate) async fn run(&self) -> Verdict {
        match self.follow().await {
            Ok(verdict) => verdict,
            // Neither the service nor the check is to blame: no certificate store, no memory.
            Err(RequestError::Certificates(error)) => {
                Verdict { own_trouble: Some(error.to_string()), ..Verdict::failing(error.to_string()) }
            }
            Err(error) => failed(&error),
        }
    }

    /// Asks, and asks again where a redirect leads to.
    async fn follow(&self) -> Result<Verdict, RequestError> {
        let mut request = self.request.clone();
        let mut left = self.redirects;
        loop {
            let tls = request.is_tls().then(|| self.tls.get(&self.trust)).transpose()?;
            let stream = connection::open(request.uri()?, tls).await?;
            let judged = connection::exchange(stream, request.build()?, async |answer| {
                match request.redirected(&answer).filter(|_| self.redirects > 0) {
                    Some(next) => Continue(next),
                    None => Break(self.judge(answer).await),
                }
            });
            match judged.await? {
                Break(verdict) => return Ok(verdict),
                Continue(_) if left == 0 => return Err(RequestError::Redirect("too many redirects")),
                Continue(next) if !next.is_http() => {
                    return Err(RequestError::Redirect("to neither http nor https"));
                }
                Continue(next) => request = next,
            }
            left -= 1;
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
                let detail = match why {
                    Mismatch::Status => status.to_string(),
                    why => format!("{status}, {why}"),
                };
                let said = String::from_utf8_lossy(&head);
                let summary = format!("{detail} {said}").trim_end().to_owned();
                let evidence =
                    Evidence { summary, http_status: status, body_head: head, ..Evidence::default() };
                Verdict { evidence, ..Verdict::failing(detail) }
            }
        }
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, TargetError> {
    let error = |why: String| TargetError::new("http.ca_file", format!("{path}: {why}"));
    let pem = std::fs::read(path).map_err(|why| error(why.to_string()))?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(error("has no certificate in PEM".into())),
    }
}

/// A request that got no whole answer. The innermost cause says what happened; what stands around it says only where,
/// and may hold the URL.
fn failed(error: &(dyn Error + 'static)) -> Verdict {
    let mut at = error;
    loop {
        // Errors of TLS and of HTTP wear the system's coat too, without its number.
        if let Some(system) = at.downcast_ref::<io::Error>().filter(|error| error.raw_os_error().is_some()) {
            return Verdict::of_error(system);
        }
        match at.source() {
            Some(source) => at = source,
            None => return Verdict::failing(at.to_string()),
        }
    }
}
