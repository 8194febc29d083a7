//! A fake supervisor that can be stopped and started again at the same endpoint.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt as _};
use proto::v1::Decision;
use proto::v1::arbiter_server::{Arbiter, ArbiterServer};
use proto::{Endpoint, v1};
use sereno_runtime::Shutdown;
use sereno_serve::bind;
use sereno_serve::serve::serve;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::WatchStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::{CEILING, target};

/// What a monitor said to the supervisor.
#[derive(Debug)]
pub(crate) enum Heard {
    Attached(v1::WatchTargetsRequest),
    Report(v1::ReportHealthRequest),
    Ask(v1::RequestRestartRequest),
}

/// How many of the next calls are refused as too fast.
#[derive(Debug, Default)]
struct TooMany {
    reports: AtomicU32,
    asks: AtomicU32,
}

#[derive(Debug, Clone)]
struct FakeArbiter {
    targets: watch::Receiver<v1::WatchTargetsResponse>,
    heard: mpsc::UnboundedSender<Heard>,
    answer: Arc<Mutex<Decision>>,
    too_many: Arc<TooMany>,
    shutdown: Shutdown,
}

/// Refuses a call while the counter is above 0, and counts it down.
fn counted(too_many: &AtomicU32) -> Result<(), Status> {
    let one_less = |left: u32| left.checked_sub(1);
    match too_many.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
        Ok(_) => Err(Status::resource_exhausted("at most 200 calls a second")),
        Err(_) => Ok(()),
    }
}

#[tonic::async_trait]
impl Arbiter for FakeArbiter {
    type WatchTargetsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchTargetsResponse, Status>> + Send>>;

    async fn watch_targets(
        &self,
        request: Request<v1::WatchTargetsRequest>,
    ) -> Result<Response<Self::WatchTargetsStream>, Status> {
        let _ = self.heard.send(Heard::Attached(request.into_inner()));
        let sets = WatchStream::new(self.targets.clone()).map(Ok);
        Ok(Response::new(self.shutdown.end(sets).boxed()))
    }

    async fn report_health(
        &self,
        request: Request<v1::ReportHealthRequest>,
    ) -> Result<Response<v1::ReportHealthResponse>, Status> {
        let _ = self.heard.send(Heard::Report(request.into_inner()));
        counted(&self.too_many.reports)?;
        Ok(Response::new(v1::ReportHealthResponse {}))
    }

    async fn request_restart(
        &self,
        request: Request<v1::RequestRestartRequest>,
    ) -> Result<Response<v1::RequestRestartResponse>, Status> {
        let _ = self.heard.send(Heard::Ask(request.into_inner()));
        counted(&self.too_many.asks)?;
        let decision = (*self.answer.lock().expect("not poisoned")).into();
        Ok(Response::new(v1::RequestRestartResponse { decision, ..v1::RequestRestartResponse::default() }))
    }
}

pub(crate) struct Supervisor {
    pub(crate) endpoint: Endpoint,
    targets: watch::Sender<v1::WatchTargetsResponse>,
    heard: mpsc::UnboundedReceiver<Heard>,
    speak: mpsc::UnboundedSender<Heard>,
    answer: Arc<Mutex<Decision>>,
    too_many: Arc<TooMany>,
    running: Option<(Shutdown, JoinHandle<()>)>,
}

impl Supervisor {
    pub(crate) fn at(dir: &tempfile::TempDir) -> Self {
        let endpoint = Endpoint::unix(&dir.path().join("supervisor.sock")).expect("a short path");
        let (speak, heard) = mpsc::unbounded_channel();
        let first = v1::WatchTargetsResponse {
            instance: "home".into(),
            generation: 1,
            targets: vec![target()],
            report_every: None,
        };
        let answer = Arc::new(Mutex::new(Decision::Accepted));
        let (targets, too_many) = (watch::Sender::new(first), Arc::default());
        Self { endpoint, targets, heard, speak, answer, too_many, running: None }
    }

    pub(crate) fn begin(&mut self) {
        let shutdown = Shutdown::new();
        let arbiter = FakeArbiter {
            targets: self.targets.subscribe(),
            heard: self.speak.clone(),
            answer: Arc::clone(&self.answer),
            too_many: Arc::clone(&self.too_many),
            shutdown: shutdown.clone(),
        };
        let routes = Routes::new(ArbiterServer::new(arbiter));
        let serving = serve(bind(&self.endpoint).expect("binds"), routes, &[], shutdown.clone(), CEILING);
        let task = tokio::spawn(async move { serving.await.expect("serves") });
        self.running = Some((shutdown, task));
    }

    pub(crate) async fn end(&mut self) {
        let (shutdown, task) = self.running.take().expect("runs");
        shutdown.trigger();
        timeout(CEILING, task).await.expect("in time").expect("no panic");
    }

    pub(crate) fn answers(&self, decision: Decision) {
        *self.answer.lock().expect("not poisoned") = decision;
    }

    /// Refuses the next `calls` reports as too fast.
    pub(crate) fn refuses_reports(&self, calls: u32) {
        self.too_many.reports.store(calls, Ordering::SeqCst);
    }

    /// Refuses the next `calls` restart requests as too fast.
    pub(crate) fn refuses_asks(&self, calls: u32) {
        self.too_many.asks.store(calls, Ordering::SeqCst);
    }

    pub(crate) fn sends(&self, targets: Vec<v1::Target>) {
        self.targets.send_modify(|set| {
            set.generation += 1;
            set.targets = targets;
        });
    }

    pub(crate) async fn hears(&mut self) -> Heard {
        timeout(CEILING, self.heard.recv()).await.expect("in time").expect("a sender is kept")
    }

    pub(crate) async fn hears_attach(&mut self) -> v1::WatchTargetsRequest {
        loop {
            if let Heard::Attached(request) = self.hears().await {
                return request;
            }
        }
    }

    /// Returns the next report in which the target satisfies `is`.
    pub(crate) async fn hears_of(
        &mut self,
        is: impl Fn(&v1::CheckResult) -> bool,
    ) -> v1::ReportHealthRequest {
        loop {
            if let Heard::Report(report) = self.hears().await
                && report.results.iter().any(&is)
            {
                return report;
            }
        }
    }

    pub(crate) async fn hears_ask(&mut self) -> v1::RequestRestartRequest {
        loop {
            if let Heard::Ask(ask) = self.hears().await {
                return ask;
            }
        }
    }

    pub(crate) fn heard_so_far(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}
