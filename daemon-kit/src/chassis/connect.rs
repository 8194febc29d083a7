//! A channel to another daemon.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use proto::Endpoint;
use tonic::transport::Channel;

#[cfg(unix)]
use super::unix as os;
#[cfg(windows)]
use super::windows as os;

/// How long the connecting itself may take.
const CONNECT: Duration = Duration::from_secs(2);

/// A channel that connects when it is first used, and again after it broke. Needs a tokio runtime.
pub fn channel(endpoint: &Endpoint) -> Channel {
    let endpoint = endpoint.clone();
    // The URI is only the authority: tonic refuses a path there.
    tonic::transport::Endpoint::from_static("http://localhost")
        .connect_timeout(CONNECT)
        .connect_with_connector_lazy(tower::service_fn(move |_| {
            let endpoint = endpoint.clone();
            async move { os::connect(endpoint).await.map(TokioIo::new) }
        }))
}
