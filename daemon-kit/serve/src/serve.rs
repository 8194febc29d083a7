//! Serves gRPC on a listener: the daemon's services, and those that every endpoint of ours has.

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

/// Maximum number of open calls per connection.
const MAX_STREAMS: u32 = 128;
/// Maximum size of the headers of one call, in bytes.
const MAX_HEADERS: u32 = 16 * 1024;

/// Why serving ended before the shutdown.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors for reflection are damaged.
    #[error("build reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("serve: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves `routes` until the shutdown, with `grpc.health.v1` (everything in `services` is serving) and
/// reflection, to callers that the listener's [`Access`](super::Access) admits.
///
/// After the shutdown no connection is accepted and calls in flight end. Returns when the last call has
/// ended or after `grace`, even if a client still holds a call open. The size limit of messages
/// ([`proto::MAX_MESSAGE`]) is set on each service by its owner.
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
    // The descriptors hold the whole contract; reflection lists only what this endpoint serves.
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

/// Merges the connections of several endpoints. The stream never ends, even without endpoints.
fn all<L, S>(listeners: Vec<L>, incoming: impl Fn(L) -> S) -> impl Stream<Item = io::Result<Connection>>
where
    S: Stream<Item = io::Result<Connection>> + Send + 'static,
{
    let streams = listeners.into_iter().map(|listener| incoming(listener).boxed());
    select_all(streams).chain(futures_util::stream::pending())
}
