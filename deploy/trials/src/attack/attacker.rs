//! The hostile monitor.

use std::time::Duration;

use proto::v1::arbiter_client::ArbiterClient;
use proto::v1::{self, CheckState, Decision};
use proto::{Endpoint, MAX_MESSAGE};
use tonic::{Code, Status, Streaming};

use super::Args;
use super::breach::Breach;
use crate::Failure;
use crate::conformance::{Way, way_to};

/// Pause after a rate limit: the limit itself is not tested here.
const SLOW_DOWN: Duration = Duration::from_secs(1);

/// One process of the monitor, with its own session.
pub(super) struct Attacker {
    client: ArbiterClient<Way>,
    pub(super) args: Args,
    pub(super) session: String,
    generation: u64,
    /// Incarnation of the service that has its checks.
    pub(super) incarnation: u64,
    stream: Option<Streaming<v1::WatchTargetsResponse>>,
}

impl Attacker {
    pub(super) fn new(endpoint: &Endpoint, args: &Args) -> Result<Self, Failure> {
        let client = ArbiterClient::new(way_to(endpoint, &args.shown)?);
        let client = client.max_encoding_message_size(2 * MAX_MESSAGE);
        let session = format!("{:016x}", fastrand::u64(..));
        Ok(Self { client, args: args.clone(), session, generation: 0, incarnation: 1, stream: None })
    }

    /// Returns the same process with another session, which does not know the first.
    pub(super) fn again(&self) -> Self {
        Self {
            client: self.client.clone(),
            args: self.args.clone(),
            session: format!("{:016x}", fastrand::u64(..)),
            generation: 0,
            incarnation: self.incarnation,
            stream: None,
        }
    }

    pub(super) fn hello(&self) -> v1::WatchTargetsRequest {
        v1::WatchTargetsRequest {
            monitor: self.args.monitor.clone(),
            kind: self.args.monitor.clone(),
            session: self.session.clone(),
            ..v1::WatchTargetsRequest::default()
        }
    }

    /// Attaches and takes the first set; the stream stays open.
    pub(super) async fn attach(&mut self) -> Result<(), Breach> {
        let mut stream = self.watch(self.hello()).await?;
        let set = stream.message().await?;
        let set = set.ok_or(Breach::NoTargets)?;
        self.generation = set.generation;
        let own = set.targets.iter().find(|target| target.service == self.args.service);
        self.incarnation = own.ok_or(Breach::NoCheck)?.incarnation;
        self.stream = Some(stream);
        Ok(())
    }

    pub(super) async fn watch(
        &self,
        hello: v1::WatchTargetsRequest,
    ) -> Result<Streaming<v1::WatchTargetsResponse>, Status> {
        patiently(|| {
            let (mut client, hello) = (self.client.clone(), hello.clone());
            async move { client.watch_targets(hello).await }
        })
        .await
    }

    /// Returns how the opened stream ends.
    pub(super) async fn stream_ends(&mut self) -> Option<Status> {
        let stream = self.stream.as_mut()?;
        loop {
            match tokio::time::timeout(Duration::from_secs(10), stream.message()).await {
                Ok(Ok(Some(_))) => {}
                Ok(Err(status)) => return Some(status),
                Ok(Ok(None)) | Err(_) => return None,
            }
        }
    }

    pub(super) fn result(&self, check: &str, state: CheckState) -> v1::CheckResult {
        v1::CheckResult {
            service: self.args.service.clone(),
            incarnation: self.incarnation,
            check: check.into(),
            state: state.into(),
            failures: if state == CheckState::Failing { 3 } else { 0 },
            detail: "hijack".into(),
            ..v1::CheckResult::default()
        }
    }

    pub(super) fn report_of(&self, results: Vec<v1::CheckResult>) -> v1::ReportHealthRequest {
        v1::ReportHealthRequest {
            monitor: self.args.monitor.clone(),
            session: self.session.clone(),
            generation: self.generation,
            results,
            ..v1::ReportHealthRequest::default()
        }
    }

    pub(super) async fn report(&self, report: v1::ReportHealthRequest) -> Result<(), Status> {
        patiently(|| {
            let (mut client, report) = (self.client.clone(), report.clone());
            async move { client.report_health(report).await }
        })
        .await
        .map(drop)
    }

    pub(super) fn ask_about(&self, check: &str) -> v1::RequestRestartRequest {
        v1::RequestRestartRequest {
            monitor: self.args.monitor.clone(),
            session: self.session.clone(),
            service: self.args.service.clone(),
            incarnation: self.incarnation,
            check: check.into(),
            evidence: Some(v1::Evidence {
                summary: "it is down, believe me".into(),
                failures: 3,
                ..v1::Evidence::default()
            }),
        }
    }

    pub(super) async fn ask(
        &self,
        ask: v1::RequestRestartRequest,
    ) -> Result<v1::RequestRestartResponse, Status> {
        patiently(|| {
            let (mut client, ask) = (self.client.clone(), ask.clone());
            async move { client.request_restart(ask).await }
        })
        .await
    }

    /// Checks that the request is answered with this decision.
    pub(super) async fn is_decided(
        &self,
        ask: v1::RequestRestartRequest,
        decision: Decision,
    ) -> Result<(), Breach> {
        let answer = self.ask(ask).await?;
        if answer.decision() == decision {
            return Ok(());
        }
        Err(Breach::Decided { decision: answer.decision(), message: answer.message, wanted: decision })
    }
}

/// Makes a call, and repeats it while it is refused by the rate limiter.
async fn patiently<T, F>(call: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    loop {
        match call().await {
            Err(status)
                if status.code() == Code::ResourceExhausted && status.message().contains("a second") =>
            {
                tokio::time::sleep(SLOW_DOWN).await;
            }
            other => return other.map(tonic::Response::into_inner),
        }
    }
}

/// Checks that the call fails with this code.
pub(super) fn is_refused<T>(answer: Result<T, Status>, code: Code) -> Result<(), Breach> {
    match answer {
        Ok(_) => Err(Breach::LetThrough(code)),
        Err(status) if status.code() == code => Ok(()),
        Err(status) => Err(status.into()),
    }
}
