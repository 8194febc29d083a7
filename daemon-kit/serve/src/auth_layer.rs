//! Authenticates and authorizes every call: identifies the caller, refuses what its role does not allow,
//! and ends a stream when the token or certificate is no longer valid.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, MapOk, Ready, TryFutureExt as _, ready};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::access::{Access, Proof};
use super::connections::Call;
use super::listen::Peer;

/// Puts an [`AuthService`] before all services.
#[derive(Debug, Clone)]
pub(super) struct AuthLayer(pub(super) Arc<Access>);

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        AuthService { inner, access: Arc::clone(&self.0) }
    }
}

/// Passes on the calls that are allowed.
#[derive(Debug, Clone)]
pub(super) struct AuthService<S> {
    inner: S,
    access: Arc<Access>,
}

type Answered = Box<dyn FnOnce(Response<Body>) -> Response<Body> + Send>;

impl<S> Service<Request<Body>> for AuthService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response<Body>, Infallible>>, MapOk<S::Future, Answered>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let refuse = |status: Status| Either::Left(ready(Ok(status.into_http())));
        let peer = request.extensions().get::<Peer>().cloned();
        let judged = self.access.judge(request.uri().path(), peer.as_ref(), bearer(request.headers()));
        let (who, proof) = match &judged {
            Ok((caller, proof)) => (&caller.who, Some(proof)),
            Err(refusal) => (&refusal.who, refusal.proof.as_ref()),
        };
        // Checked after authentication: strangers that guess must not use up the allowance of known callers
        // at the same address.
        if let Err(too_fast) = self.access.in_time(peer.as_ref(), proof) {
            if let Some(peer) = &peer {
                peer.place.refuse();
            }
            self.access.refused(who, &too_fast.words());
            return refuse(Status::resource_exhausted(too_fast.words()));
        }
        let (caller, proof) = match judged {
            Ok(granted) => granted,
            Err(refusal) => {
                if let Some(peer) = &peer {
                    peer.place.refuse();
                }
                self.access.refused(&refusal.who, &refusal.why);
                return refuse(if refusal.proof.is_none() {
                    Status::unauthenticated(refusal.why)
                } else {
                    Status::permission_denied(refusal.why)
                });
            }
        };
        let Some(call) = peer.and_then(|peer| {
            peer.place.trust(proof.rate_key().unwrap_or_else(|| peer.stranger()));
            peer.place.call()
        }) else {
            return refuse(Status::resource_exhausted("you have too many calls open"));
        };
        let who = caller.who.clone();
        request.extensions_mut().insert(caller);
        let access = Arc::clone(&self.access);
        let answered: Answered = Box::new(move |response| {
            // Refusals by the service itself, which depend on more than the role, are reported in the same way.
            if let Some(status) = Status::from_header_map(response.headers())
                && status.code() == Code::PermissionDenied
            {
                access.refused(&who, status.message());
            }
            response.map(|inner| Body::new(Answer::new(inner, access, proof, call)))
        });
        Either::Right(self.inner.call(request).map_ok(answered))
    }
}

/// Returns the token after `authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// A response body that ends when its caller loses the permission.
struct Answer {
    inner: Body,
    access: Arc<Access>,
    proof: Proof,
    /// Time of the next check of the proof while the stream has no message. `None` if the proof does not expire.
    look: Option<Pin<Box<Sleep>>>,
    ended: bool,
    _call: Call,
}

/// Maximum time that an idle stream outlives its permission. A check costs one `stat` of the token file.
const LOOK: Duration = Duration::from_secs(5);

impl Answer {
    fn new(inner: Body, access: Arc<Access>, proof: Proof, call: Call) -> Self {
        let look = (!matches!(proof, Proof::Lasting)).then(|| Box::pin(sleep(LOOK)));
        Self { inner, access, proof, look, ended: false, _call: call }
    }

    /// Ends an answer whose caller has lost the permission.
    fn end(&mut self, why: &str) -> Result<Frame<Bytes>, Status> {
        self.ended = true;
        let mut trailers = HeaderMap::new();
        Status::unauthenticated(why).add_header(&mut trailers)?;
        Ok(Frame::trailers(trailers))
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // The proof is checked before each message of a stream, which may stay open for weeks, and
        // periodically while there is none.
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        let is_message =
            matches!(&frame, Poll::Ready(Some(frame)) if frame.as_ref().is_ok_and(Frame::is_data));
        let mut is_due = false;
        if let (Poll::Pending, Some(look)) = (&frame, &mut self.look) {
            while look.as_mut().poll(cx).is_ready() {
                is_due = true;
                look.as_mut().reset(Instant::now() + LOOK);
            }
        }
        if (is_message || is_due)
            && let Err(why) = self.access.holds(&self.proof)
        {
            return Poll::Ready(Some(self.end(why)));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
