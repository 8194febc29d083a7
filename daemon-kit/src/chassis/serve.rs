//! gRPC on a listener: the daemon's services, and what every endpoint of ours has besides.

use std::time::Duration;

use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;

use super::{Listener, Shutdown};

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

/// Serves `routes` until the shutdown, with `grpc.health.v1` (everything in `services` is serving) and reflection.
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
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
    };
    let routes = routes
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let serving = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS)
        .add_routes(routes)
        .serve_with_incoming_shutdown(listener.incoming(), async { shutdown.triggered().await });
    let overdue = async {
        shutdown.triggered().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        served = serving => Ok(served?),
        () = overdue => {
            tracing::warn!(?grace, "a client holds its stream open; leaving without it");
            Ok(())
        }
    }
}
