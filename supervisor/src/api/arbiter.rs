//! The `Arbiter` service, which monitors call.

use futures_util::StreamExt;
use proto::v1;
use sereno_config::CheckSpec;
use sereno_runtime::Shutdown;
use sereno_serve::Caller;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::{Answers, caller, convert, requests, targets};
use crate::manager::Handle;
use crate::manager::command::{Command, TargetSet};

pub(super) struct Arbiter {
    manager: Handle,
    shutdown: Shutdown,
}

impl Arbiter {
    pub(super) fn new(manager: Handle, shutdown: Shutdown) -> Self {
        Self { manager, shutdown }
    }
}

/// Detaches a monitor when its stream is dropped, for whatever reason.
struct Attached {
    manager: Handle,
    id: u64,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let (manager, id) = (self.manager.clone(), self.id);
        // The manager may be busy; a task can wait for it, `drop` cannot.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { manager.tell(Command::Detach(id)).await });
        } else {
            manager.try_tell(Command::Detach(id));
        }
    }
}

/// A stream of target sets.
struct Targets {
    attached: Attached,
    kind: String,
    /// The caller, which decides which targets are shown.
    caller: Caller,
    generation: watch::Receiver<u64>,
    replaced: watch::Receiver<bool>,
    first: bool,
}

impl Targets {
    async fn next(&mut self) -> Option<Result<v1::WatchTargetsResponse, Status>> {
        if !std::mem::take(&mut self.first) {
            tokio::select! {
                changed = self.generation.changed() => changed.ok()?,
                replaced = self.replaced.wait_for(|replaced| *replaced) => {
                    replaced.ok()?;
                    return Some(Err(Status::aborted("a newer process of this monitor has attached")));
                }
            }
        }
        self.generation.mark_unchanged();
        let kind = self.kind.clone();
        let set = self.attached.manager.ask(|reply| Command::Targets(kind, reply)).await;
        let own = |mut set: TargetSet| {
            set.targets.retain(|target| {
                // The environment of a command's service, with its secrets, must not go over a network.
                let stays_here = matches!(target.check.spec, CheckSpec::Exec { .. });
                is_for(&self.caller, target.service.as_str())
                    && !(stays_here && self.caller.identity.is_some())
            });
            targets::targets(set)
        };
        Some(set.map(own).map_err(Into::into))
    }
}

fn is_for(caller: &Caller, service: &str) -> bool {
    caller.identity.as_ref().is_none_or(|identity| identity.is_for(service))
}

/// Refuses a caller that is limited to other services.
fn only_own(caller: &Caller, service: &str) -> Result<(), Status> {
    if is_for(caller, service) {
        return Ok(());
    }
    Err(Status::permission_denied(format!("{} is not for {service:?}", caller.who)))
}

#[tonic::async_trait]
impl v1::arbiter_server::Arbiter for Arbiter {
    type WatchTargetsStream = Answers<v1::WatchTargetsResponse>;

    async fn watch_targets(
        &self,
        request: Request<v1::WatchTargetsRequest>,
    ) -> Result<Response<Self::WatchTargetsStream>, Status> {
        let caller = caller(&request)?;
        let hello = requests::hello(request.into_inner(), requests::speaker(&caller))?;
        let kind = hello.kind.clone();
        let attached = self.manager.ask(|reply| Command::Attach(hello, reply)).await?;
        let (id, replaced) = attached.map_err(|error| requests::monitor_error(&error))?;
        let attached = Attached { manager: self.manager.clone(), id };
        let generation = self.manager.targets();
        let targets = Targets { attached, kind, caller, generation, replaced, first: true };
        let stream = futures_util::stream::unfold(Some(targets), |targets| async {
            let mut targets = targets?;
            let item = targets.next().await?;
            let ends = item.is_err();
            Some((item, (!ends).then_some(targets)))
        });
        Ok(Response::new(self.shutdown.end(stream).boxed()))
    }

    async fn report_health(
        &self,
        request: Request<v1::ReportHealthRequest>,
    ) -> Result<Response<v1::ReportHealthResponse>, Status> {
        let caller = caller(&request)?;
        let report = requests::report(request.into_inner(), requests::speaker(&caller))?;
        for result in &report.results {
            only_own(&caller, result.service.as_str())?;
        }
        let taken = self.manager.ask(|reply| Command::Report(report, reply)).await?;
        taken.map_err(|error| requests::monitor_error(&error))?;
        Ok(Response::new(v1::ReportHealthResponse {}))
    }

    async fn request_restart(
        &self,
        request: Request<v1::RequestRestartRequest>,
    ) -> Result<Response<v1::RequestRestartResponse>, Status> {
        let caller = caller(&request)?;
        let ask = requests::ask(request.into_inner(), requests::speaker(&caller))?;
        only_own(&caller, &ask.service)?;
        let decided = self.manager.ask(|reply| Command::Ask(ask, reply)).await?;
        let (ruling, seq) = decided.map_err(|error| requests::monitor_error(&error))?;
        Ok(Response::new(v1::RequestRestartResponse {
            decision: convert::decision(ruling.decision).into(),
            message: ruling.message,
            retry_after: ruling.retry_after.map(proto::time::to_wire),
            seq,
        }))
    }
}
