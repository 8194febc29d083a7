//! The monitor under test, and its service.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use proto::v1::monitor_client::MonitorClient;
use proto::{Endpoint, UNARY_DEADLINE, v1};
use tokio::process::{Child, Command};
use tonic::client::Grpc;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::way::{self, Shown, Way};
use crate::Failure;

/// Name of the monitor in its configuration.
pub(super) const NAME: &str = "tried";

/// The monitor's process and the connection to it.
#[derive(Debug)]
pub(super) struct Monitor {
    child: Option<Child>,
    channel: Way,
    pub(super) endpoint: Endpoint,
}

impl Monitor {
    /// Starts the program as a supervisor would. Without a program, the monitor is already running.
    pub(super) fn start(
        program: &[String],
        verbose: bool,
        supervisor: &Endpoint,
        endpoint: Endpoint,
        shown: &Shown,
    ) -> Result<Self, Failure> {
        let channel = way::to(&endpoint, shown)?;
        let child = program.split_first().map(|(program, args)| {
            Command::new(program)
                .args(args)
                .env("SERENO_MONITOR", NAME)
                .env("SERENO_SUPERVISOR", supervisor.to_string())
                .env("SERENO_LISTEN", endpoint.to_string())
                .env_remove("SERENO_HOME")
                .env_remove("SERENO_CONFIG")
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(if verbose { Stdio::inherit() } else { Stdio::null() })
                .kill_on_drop(true)
                .spawn()
                .map_err(|source| Failure::run(program.clone(), source))
        });
        let child = child.transpose()?;
        Ok(Self { child, channel, endpoint })
    }

    /// Whether the process was started here.
    pub(super) fn is_ours(&self) -> bool {
        self.child.is_some()
    }

    /// Calls the RPC `GetMonitorStatus`.
    pub(super) async fn status(&self) -> Result<v1::MonitorStatus, Status> {
        let mut client = MonitorClient::new(self.channel.clone());
        Ok(client.get_monitor_status(timed(v1::GetMonitorStatusRequest {})).await?.into_inner())
    }

    /// Calls the RPC `WatchMonitorStatus`.
    pub(super) async fn watch(&self) -> Result<Streaming<v1::MonitorStatus>, Status> {
        let mut client = MonitorClient::new(self.channel.clone());
        Ok(client.watch_monitor_status(v1::WatchMonitorStatusRequest {}).await?.into_inner())
    }

    /// Calls the RPC `CheckNow`.
    pub(super) async fn check_now(&self, service: &str) -> Result<Vec<v1::CheckResult>, Status> {
        let request = v1::CheckNowRequest { service: service.into(), check: String::new() };
        Ok(MonitorClient::new(self.channel.clone()).check_now(timed(request)).await?.into_inner().results)
    }

    /// Whether `grpc.health.v1` is served.
    pub(super) async fn has_health(&self) -> bool {
        let mut grpc = Grpc::new(self.channel.clone());
        if grpc.ready().await.is_err() {
            return false;
        }
        let path = http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let answer = grpc.unary(timed(()), path, ProstCodec::<(), ()>::default()).await;
        !answer.is_err_and(|status| status.code() == Code::Unimplemented)
    }

    /// Sends SIGTERM; returns the exit status if it exits within the limit.
    pub(super) async fn terminate(&mut self, limit: Duration) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?))?;
        // If the process has already ended, the wait below tells.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        tokio::time::timeout(limit, child.wait()).await.ok()?.ok()
    }

    /// Kills the process if it was started here and is still running.
    pub(super) async fn end(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill().await;
        }
    }
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(UNARY_DEADLINE);
    request
}
