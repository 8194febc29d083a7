//! Serves `sereno.v1.Monitor`. Reads the board; only `CheckNow` reaches the registry.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use proto::v1::monitor_server::{Monitor, MonitorServer};
use proto::{bounds, v1};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::Identity;
use super::board::{Snapshot, cut};
use super::link::LinkState;
use super::registry::{Handle, Promised};
use sereno_runtime::Shutdown;

/// Name of the service on the wire.
pub(super) const NAME: &str = "sereno.v1.Monitor";

/// Implementation of the `Monitor` service.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) identity: Arc<Identity>,
    pub(super) started: Instant,
    pub(super) registry: Handle,
    pub(super) board: watch::Receiver<Arc<Snapshot>>,
    pub(super) link: watch::Receiver<LinkState>,
    pub(super) shutdown: Shutdown,
}

impl Api {
    /// Returns the service with its message size limits set.
    pub(super) fn server(self) -> MonitorServer<Self> {
        MonitorServer::new(self)
            .max_decoding_message_size(proto::MAX_MESSAGE)
            .max_encoding_message_size(proto::MAX_MESSAGE)
    }

    fn status(&self) -> v1::MonitorStatus {
        let board = Arc::clone(&self.board.borrow());
        let link = self.link.borrow().clone();
        let now = Instant::now();
        v1::MonitorStatus {
            monitor: self.identity.name.to_string(),
            kind: self.identity.kinds.first().copied().unwrap_or_default().into(),
            version: self.identity.version.into(),
            pid: std::process::id(),
            uptime_seconds: now.duration_since(self.started).as_secs_f64(),
            attached: link.attached,
            supervisor: self.identity.supervisor.to_string(),
            last_error: bounds::cut(link.last_error, bounds::LAST_ERROR),
            blind: board.blind.is_some(),
            blind_reason: board.blind.as_deref().map(cut).unwrap_or_default(),
            results: board.results(now),
        }
    }

    /// Streams the newest status at once and after each change; changes that a slow reader misses are merged.
    fn statuses(self) -> impl Stream<Item = Result<v1::MonitorStatus, Status>> {
        let shutdown = self.shutdown.clone();
        shutdown.end(futures_util::stream::unfold((self, true), |(mut api, first)| async move {
            if !first {
                let changed = tokio::select! {
                    changed = api.board.changed() => changed,
                    changed = api.link.changed() => changed,
                };
                changed.ok()?;
            }
            api.board.mark_unchanged();
            api.link.mark_unchanged();
            Some((Ok(api.status()), (api, false)))
        }))
    }
}

#[tonic::async_trait]
impl Monitor for Api {
    async fn get_monitor_status(
        &self,
        _: Request<v1::GetMonitorStatusRequest>,
    ) -> Result<Response<v1::MonitorStatus>, Status> {
        Ok(Response::new(self.status()))
    }

    type WatchMonitorStatusStream = Pin<Box<dyn Stream<Item = Result<v1::MonitorStatus, Status>> + Send>>;

    async fn watch_monitor_status(
        &self,
        _: Request<v1::WatchMonitorStatusRequest>,
    ) -> Result<Response<Self::WatchMonitorStatusStream>, Status> {
        Ok(Response::new(self.clone().statuses().boxed()))
    }

    async fn check_now(
        &self,
        request: Request<v1::CheckNowRequest>,
    ) -> Result<Response<v1::CheckNowResponse>, Status> {
        let v1::CheckNowRequest { service, check } = request.into_inner();
        if service.is_empty() {
            return Err(Status::invalid_argument("service: is empty"));
        }
        let wanted = if check.is_empty() { service.clone() } else { format!("{service}/{check}") };
        let promised = tokio::select! {
            promised = self.registry.check_now(service, check) => promised,
            () = self.shutdown.triggered() => return Err(Status::unavailable("shutting down")),
        };
        let promised = promised.ok_or_else(|| Status::not_found(format!("no target {wanted:?}")))?;
        let mut results = Vec::new();
        for Promised { known, coming } in promised {
            let checked = match coming {
                // If the target is replaced meanwhile, the promise is dropped; the answer is then the known state.
                Some(coming) => tokio::select! {
                    checked = coming => checked.ok(),
                    () = self.shutdown.triggered() => return Err(Status::unavailable("shutting down")),
                },
                None => None,
            };
            results.push(checked.unwrap_or(known).to_wire(Instant::now()));
        }
        Ok(Response::new(v1::CheckNowResponse { results }))
    }
}
