//! gRPC on a listener: the daemon's services, and what every endpoint of ours has besides.

use std::io;
use std::time::Duration;

use futures_util::stream::select_all;
use futures_util::{Stream, StreamExt as _};
use sereno_connect::{PING, PONG};
use sereno_runtime::Shutdown;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;

use super::Listener;
use super::auth_layer::AuthLayer;
use super::listen::{Connection, Local};
use super::tcp::TcpEndpoint;

/// Calls one connection may have open at a time.
const MAX_STREAMS: u32 = 128;
/// Bytes of headers of one call.
const MAX_HEADERS: u32 = 16 * 1024;

/// Why serving ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors that reflection shows are damaged.
    #[error("build reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport gave up.
    #[error("serve: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves `routes` until the shutdown, with `grpc.health.v1` (everything in `services` is serving) and reflection, to
/// whom the listener's [`Access`](super::Access) lets in.
///
/// Then nothing new is accepted, calls in flight end, and it returns when the last one has or after `grace`, whatever
/// a client still holds open. The size limit of messages ([`proto::MAX_MESSAGE`]) is set on each service by its owner.
pub async fn serve(
    listener: Listener,
    routes: Routes,
    services: &[&str],
    shutdown: Shutdown,
    grace: Duration,
) -> Result<(), ServeError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in services {
        reporter.set_service_status(service, ServingStatus::Serving).await;
    }
    // The descriptors hold the whole contract; what is listed is what this endpoint serves.
    let reflection = || {
        let own = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        services.iter().chain(&own).fold(builder, |builder, service| builder.with_service_name(*service))
    };
    let routes = routes
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .prepare();
    let gate = AuthLayer(listener.access());
    let (local, doors) = listener.split();
    let plain =
        || Server::builder().max_concurrent_streams(MAX_STREAMS).http2_max_header_list_size(MAX_HEADERS);
    let asking = plain().http2_keepalive_interval(Some(PING)).http2_keepalive_timeout(Some(PONG));
    let near = plain()
        .layer(gate.clone())
        .add_routes(routes.clone())
        .serve_with_incoming_shutdown(all(local, Local::incoming), shutdown.triggered());
    let far = asking
        .layer(gate)
        .add_routes(routes)
        .serve_with_incoming_shutdown(all(doors, TcpEndpoint::incoming), shutdown.triggered());
    let serving = async { tokio::try_join!(near, far) };
    let overdue = async {
        shutdown.triggered().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        served = serving => {
            served?;
            Ok(())
        }
        () = overdue => {
            tracing::warn!(?grace, "a client holds its stream open; leaving without it");
            Ok(())
        }
    }
}

/// The connections of all of some endpoints; never an end, also of none.
fn all<L, S>(listeners: Vec<L>, incoming: impl Fn(L) -> S) -> impl Stream<Item = io::Result<Connection>>
where
    S: Stream<Item = io::Result<Connection>> + Send + 'static,
{
    let streams = listeners.into_iter().map(|listener| incoming(listener).boxed());
    select_all(streams).chain(futures_util::stream::pending())
}
