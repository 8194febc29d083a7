//! The arbiter's three calls on the wire. Parts are written by hand to send fields that this contract does
//! not know, as a newer supervisor would: the generated code can not do that.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use prost::Message as _;
use proto::v1;
use proto::v1::arbiter_server::{Arbiter, ArbiterServer};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

use super::stage::{Actor, Sets};

/// An encoded field that no version of the contract has (number 1999, a string).
const LATER: [u8; 8] = [0xfa, 0x7c, 5, b'l', b'a', b't', b'e', b'r'];

/// `WatchTargetsResponse` with an additional unknown field.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Set {
    #[prost(string, tag = "1")]
    instance: String,
    #[prost(uint64, tag = "2")]
    generation: u64,
    /// Targets in encoded form.
    #[prost(bytes = "vec", repeated, tag = "3")]
    targets: Vec<Vec<u8>>,
    #[prost(string, tag = "1999")]
    later: String,
}

impl Set {
    pub(super) fn of(set: &v1::WatchTargetsResponse, newer: bool) -> Self {
        let target = |target: &v1::Target| {
            let mut bytes = target.encode_to_vec();
            if newer {
                bytes.extend_from_slice(&LATER);
            }
            bytes
        };
        Self {
            instance: set.instance.clone(),
            generation: set.generation,
            targets: set.targets.iter().map(target).collect(),
            later: if newer { "later".into() } else { String::new() },
        }
    }
}

/// Serves the played supervisor.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) actor: Actor,
    pub(super) rest: ArbiterServer<Actor>,
}

impl NamedService for Wire {
    const NAME: &'static str = "sereno.v1.Arbiter";
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl Service<http::Request<Body>> for Wire {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        if request.uri().path() != "/sereno.v1.Arbiter/WatchTargets" {
            return self.rest.call(request);
        }
        let watch = Watch(self.actor.clone());
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Set, v1::WatchTargetsRequest>::default());
            Ok(grpc.server_streaming(watch, request).await)
        })
    }
}

struct Watch(Actor);

impl ServerStreamingService<v1::WatchTargetsRequest> for Watch {
    type Response = Set;
    type ResponseStream = Sets;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Sets>, Status>> + Send>>;

    fn call(&mut self, request: Request<v1::WatchTargetsRequest>) -> Self::Future {
        let answer = self.0.watch(request.into_inner());
        Box::pin(async move { answer.map(Response::new) })
    }
}

#[tonic::async_trait]
impl Arbiter for Actor {
    type WatchTargetsStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::WatchTargetsResponse, Status>> + Send>>;

    async fn watch_targets(
        &self,
        _: Request<v1::WatchTargetsRequest>,
    ) -> Result<Response<Self::WatchTargetsStream>, Status> {
        Err(Status::internal("is answered elsewhere"))
    }

    async fn report_health(
        &self,
        request: Request<v1::ReportHealthRequest>,
    ) -> Result<Response<v1::ReportHealthResponse>, Status> {
        self.reported(request.into_inner()).map(Response::new)
    }

    async fn request_restart(
        &self,
        request: Request<v1::RequestRestartRequest>,
    ) -> Result<Response<v1::RequestRestartResponse>, Status> {
        self.asked(request.into_inner()).map(Response::new)
    }
}
