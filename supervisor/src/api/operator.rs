//! The `Supervisor` service, which people and `ctl` call.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use proto::v1;
use sereno_runtime::Shutdown;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{
    Answers, ApiContext, Folders, convert, evidence, incidents, inspect, journal, logs, pages, requests, who,
};
use crate::manager::Handle;
use crate::manager::command::{Command, Operation};
use crate::os::signal;

/// Changes within this time are sent as one.
const TOGETHER: Duration = Duration::from_millis(5);

pub(super) struct Operator {
    manager: Handle,
    folders: Folders,
    shutdown: Shutdown,
    eyes: ApiContext,
}

impl Operator {
    pub(super) fn new(manager: Handle, folders: Folders, shutdown: Shutdown, eyes: ApiContext) -> Self {
        Self { manager, folders, shutdown, eyes }
    }

    async fn operate(
        &self,
        who: String,
        selection: Option<v1::Selection>,
        operation: Operation,
    ) -> Result<Vec<v1::Outcome>, Status> {
        let selection = requests::selection(selection)?;
        let done = self.manager.ask(|reply| Command::Operate { operation, selection, who, reply }).await?;
        Ok(convert::outcomes(done))
    }
}

/// Returns the newest status, with usage if asked for.
async fn status(manager: &Handle, eyes: &ApiContext, usage: bool) -> Result<v1::Status, Status> {
    let view = manager.ask(Command::View).await?;
    let unbound = eyes.access.unbound();
    if !usage {
        return Ok(convert::status(view, &unbound, &|_| None));
    }
    let sampler = Arc::clone(&eyes.sampler);
    let measured = tokio::task::spawn_blocking(move || {
        let usage = sampler.sample(&view);
        (view, usage)
    });
    let (view, usage) = measured.await.map_err(|_| Status::internal("sampling failed"))?;
    Ok(convert::status(view, &unbound, &|name| usage.get(name).copied()))
}

/// A stream of the newest status.
struct Watch {
    manager: Handle,
    eyes: ApiContext,
    usage: bool,
    changes: watch::Receiver<u64>,
    first: bool,
    /// The messages of the last status that are not sent yet.
    rest: VecDeque<v1::WatchStatusResponse>,
}

impl Watch {
    async fn next(&mut self) -> Option<Result<v1::WatchStatusResponse, Status>> {
        if let Some(next) = self.rest.pop_front() {
            return Some(Ok(next));
        }
        if !std::mem::take(&mut self.first) {
            self.changes.changed().await.ok()?;
            tokio::time::sleep(TOGETHER).await;
        }
        self.changes.mark_unchanged();
        let status = status(&self.manager, &self.eyes, self.usage).await.ok()?;
        self.rest = pages::messages(status).into();
        self.rest.pop_front().map(Ok)
    }
}

#[tonic::async_trait]
impl v1::supervisor_server::Supervisor for Operator {
    type WatchStatusStream = Answers<v1::WatchStatusResponse>;
    type WatchEventsStream = Answers<v1::WatchEventsResponse>;
    type ReadLogsStream = Answers<v1::ReadLogsResponse>;

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let v1::GetStatusRequest { usage, after } = request.into_inner();
        let status = status(&self.manager, &self.eyes, usage).await?;
        Ok(Response::new(pages::status(status, &after)?))
    }

    async fn watch_status(
        &self,
        request: Request<v1::WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        let watch = Watch {
            manager: self.manager.clone(),
            eyes: self.eyes.clone(),
            usage: request.into_inner().usage,
            changes: self.manager.changes(),
            first: true,
            rest: VecDeque::new(),
        };
        let stream = futures_util::stream::unfold(watch, |mut watch| async {
            let item = watch.next().await?;
            Some((item, watch))
        });
        Ok(Response::new(self.shutdown.end(stream).boxed()))
    }

    async fn start(&self, request: Request<v1::StartRequest>) -> Result<Response<v1::StartResponse>, Status> {
        let who = who(&request)?;
        let outcomes = self.operate(who, request.into_inner().selection, Operation::Start).await?;
        Ok(Response::new(v1::StartResponse { outcomes }))
    }

    async fn stop(&self, request: Request<v1::StopRequest>) -> Result<Response<v1::StopResponse>, Status> {
        let who = who(&request)?;
        let outcomes = self.operate(who, request.into_inner().selection, Operation::Stop).await?;
        Ok(Response::new(v1::StopResponse { outcomes }))
    }

    async fn restart(
        &self,
        request: Request<v1::RestartRequest>,
    ) -> Result<Response<v1::RestartResponse>, Status> {
        let who = who(&request)?;
        let outcomes = self.operate(who, request.into_inner().selection, Operation::Restart).await?;
        Ok(Response::new(v1::RestartResponse { outcomes }))
    }

    async fn reload(
        &self,
        request: Request<v1::ReloadRequest>,
    ) -> Result<Response<v1::ReloadResponse>, Status> {
        let who = who(&request)?;
        let outcomes = self.operate(who, request.into_inner().selection, Operation::Reload).await?;
        Ok(Response::new(v1::ReloadResponse { outcomes }))
    }

    async fn signal(
        &self,
        request: Request<v1::SignalRequest>,
    ) -> Result<Response<v1::SignalResponse>, Status> {
        let who = who(&request)?;
        let request = request.into_inner();
        let number = signal::number(&request.signal).ok_or_else(|| {
            Status::invalid_argument(format!("signal: there is no signal {:?}", request.signal))
        })?;
        let operation = Operation::Signal { number, main_only: request.main_only };
        let outcomes = self.operate(who, request.selection, operation).await?;
        Ok(Response::new(v1::SignalResponse { outcomes }))
    }

    async fn reset(&self, request: Request<v1::ResetRequest>) -> Result<Response<v1::ResetResponse>, Status> {
        let who = who(&request)?;
        let outcomes = self.operate(who, request.into_inner().selection, Operation::Reset).await?;
        Ok(Response::new(v1::ResetResponse { outcomes }))
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Result<Response<v1::PauseResponse>, Status> {
        let who = who(&request)?;
        let request = request.into_inner();
        let time = requests::duration("for", request.r#for)?;
        let outcomes = self.operate(who, request.selection, Operation::Pause(time)).await?;
        Ok(Response::new(v1::PauseResponse { outcomes }))
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeRequest>,
    ) -> Result<Response<v1::ResumeResponse>, Status> {
        let who = who(&request)?;
        let outcomes = self.operate(who, request.into_inner().selection, Operation::Resume).await?;
        Ok(Response::new(v1::ResumeResponse { outcomes }))
    }

    async fn plan(&self, request: Request<v1::PlanRequest>) -> Result<Response<v1::PlanResponse>, Status> {
        let source = requests::source(request.into_inner().source)?;
        let file = inspect::read(source).await.map_err(|error| requests::config_error(&error))?;
        let plan = self.manager.ask(|reply| Command::Plan(Box::new(file), reply)).await?;
        let plan = plan.map_err(|error| requests::config_error(&error))?;
        Ok(Response::new(v1::PlanResponse {
            plan: plan.id,
            steps: convert::steps(plan.steps.into_iter().chain(plan.monitors)),
            notes: plan.notes,
        }))
    }

    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Result<Response<v1::ApplyResponse>, Status> {
        let who = who(&request)?;
        let request = request.into_inner();
        let source = requests::source(request.source)?;
        let (plan, start, replace) = (request.plan, request.start, request.replace);
        let file = inspect::read(source).await.map_err(|error| requests::config_error(&error))?;
        let file = Box::new(file);
        let apply = |reply| Command::Apply { file, plan, start, replace, who, reply };
        let done = self.manager.ask(apply).await?;
        let done = done.map_err(|error| requests::config_error(&error))?;
        Ok(Response::new(v1::ApplyResponse {
            steps: convert::steps(done.steps.into_iter().chain(done.monitors)),
            notes: done.notes,
        }))
    }

    async fn add_service(
        &self,
        request: Request<v1::AddServiceRequest>,
    ) -> Result<Response<v1::AddServiceResponse>, Status> {
        let who = who(&request)?;
        let new = requests::new_service(request.into_inner())?;
        let drafted = new.clone();
        let alone = self.manager.ask(|reply| Command::Draft(drafted, reply)).await?;
        let alone = alone.map_err(|error| requests::config_error(&error))?;
        let checked = inspect::check(*alone, new.env.clone()).await;
        checked.map_err(|error| requests::config_error(&error))?;
        let outcome = self.manager.ask(|reply| Command::Add { new, who, reply }).await?;
        let outcome = outcome.map_err(|error| requests::config_error(&error))?;
        Ok(Response::new(v1::AddServiceResponse { outcome: Some(convert::outcome(outcome)) }))
    }

    async fn remove_service(
        &self,
        request: Request<v1::RemoveServiceRequest>,
    ) -> Result<Response<v1::RemoveServiceResponse>, Status> {
        let who = who(&request)?;
        let name = requests::name("name", &request.into_inner().name)?;
        let outcome = self.manager.ask(|reply| Command::Remove { name, who, reply }).await?;
        let outcome = outcome.map_err(|error| requests::config_error(&error))?;
        Ok(Response::new(v1::RemoveServiceResponse { outcome: Some(convert::outcome(outcome)) }))
    }

    async fn get_timeline(
        &self,
        request: Request<v1::GetTimelineRequest>,
    ) -> Result<Response<v1::GetTimelineResponse>, Status> {
        let events = journal::timeline(request.into_inner(), &self.manager, &self.folders.journal).await?;
        Ok(Response::new(events))
    }

    async fn get_incidents(
        &self,
        request: Request<v1::GetIncidentsRequest>,
    ) -> Result<Response<v1::GetIncidentsResponse>, Status> {
        let found = incidents::incidents(request.into_inner(), &self.manager, &self.folders.journal).await?;
        Ok(Response::new(found))
    }

    async fn get_evidence(
        &self,
        request: Request<v1::GetEvidenceRequest>,
    ) -> Result<Response<v1::GetEvidenceResponse>, Status> {
        evidence::get(self.folders.evidence.clone(), request.into_inner()).await.map(Response::new)
    }

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let from = request.into_inner().from;
        let events = journal::Events::new(from, &self.manager, self.folders.journal.clone()).await?;
        let stream = futures_util::stream::unfold(events, journal::Events::next);
        Ok(Response::new(self.shutdown.end(stream).boxed()))
    }

    async fn read_logs(
        &self,
        request: Request<v1::ReadLogsRequest>,
    ) -> Result<Response<Self::ReadLogsStream>, Status> {
        let request = request.into_inner();
        let since = requests::duration("since", request.since)?;
        let stream = request.stream();
        let selection = requests::some_selection(request.selection);
        let changes = self.manager.changes();
        let newcomers =
            logs::Newcomers { manager: self.manager.clone(), selection, stream, changes, due: false };
        let files = newcomers.files().await?;
        // The channel holds at most this many chunks for a client that does not read.
        let (sender, receiver) = mpsc::channel(4);
        let (lines, follow, after) = (request.lines, request.follow, requests::places(&request.after));
        tokio::spawn(logs::read(logs::Request { files, lines, since, follow, after }, newcomers, sender));
        Ok(Response::new(self.shutdown.end(ReceiverStream::new(receiver)).boxed()))
    }

    async fn shutdown(
        &self,
        request: Request<v1::ShutdownRequest>,
    ) -> Result<Response<v1::ShutdownResponse>, Status> {
        let who = who(&request)?;
        let keep = request.into_inner().keep_services;
        self.manager.ask(|reply| Command::Shutdown { keep, who, reply }).await?;
        Ok(Response::new(v1::ShutdownResponse {}))
    }

    async fn upgrade(
        &self,
        request: Request<v1::UpgradeRequest>,
    ) -> Result<Response<v1::UpgradeResponse>, Status> {
        let who = who(&request)?;
        let binary = request.into_inner().binary;
        let binary = (!binary.is_empty()).then(|| PathBuf::from(binary));
        if binary.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(Status::invalid_argument("binary: is not an absolute path"));
        }
        let version = self.manager.ask(|reply| Command::Upgrade { binary, who, reply }).await?;
        let version = version.map_err(|error| Status::failed_precondition(error.to_string()))?;
        Ok(Response::new(v1::UpgradeResponse { version }))
    }
}
