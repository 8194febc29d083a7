//! Communicates with the daemons. Nothing outside this file knows that it uses gRPC.

use std::future::Future;
use std::time::Duration;

use proto::detail::unknown_selector_of;
use proto::v1::monitor_client::MonitorClient;
use proto::v1::supervisor_client::SupervisorClient;
use proto::v1::{self, MonitorStatus, Status};
use proto::{Endpoint, MAX_MESSAGE, UNARY_DEADLINE};
use sereno_connect::{Authorized, ConnectError};
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

use crate::context;
use crate::failure::{Failure, NoAnswer};

/// Time limit of `status` for each daemon.
pub(crate) const STATUS_DEADLINE: Duration = Duration::from_secs(1);

/// How long to wait for a supervisor that is gone: a monitor restarts a dead one well within that time.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);

/// Longest pause between attempts to reconnect.
const RETRY: Duration = Duration::from_millis(50);
/// First pause, which doubles at each attempt: an upgrade takes no longer.
const FIRST_RETRY: Duration = Duration::from_millis(5);

/// A connection to the supervisor.
#[derive(Clone)]
pub(crate) struct Supervisor {
    endpoint: Endpoint,
    client: SupervisorClient<Authorized>,
}

macro_rules! unary {
    ($($name:ident($word:literal, $request:ident) -> $response:ident;)+) => {$(
        /// Makes the contract's call of this name.
        pub(crate) async fn $name(&self, request: v1::$request) -> Result<v1::$response, Failure> {
            let mut client = self.client.clone();
            self.answer($word, UNARY_DEADLINE, async move { client.$name(request).await }).await
        }
    )+};
}

macro_rules! streaming {
    ($($name:ident($word:literal, $request:ident) -> $response:ident;)+) => {$(
        /// Opens the contract's stream of this name.
        pub(crate) async fn $name(&self, request: v1::$request) -> Result<Feed<v1::$response>, Failure> {
            let mut client = self.client.clone();
            let stream =
                self.answer($word, UNARY_DEADLINE, async move { client.$name(request).await }).await?;
            Ok(Feed { word: $word, endpoint: self.endpoint.clone(), stream })
        }
    )+};
}

impl Supervisor {
    /// Connects, or returns a failure of the command.
    pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Self, Failure> {
        Self::try_connect(endpoint).await.map_err(|error| unreachable(endpoint, error))
    }

    /// Connects, or returns why that failed.
    pub(crate) async fn try_connect(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        // Its socket still accepts connections, which nothing will ever answer.
        if sereno_config::dead_holder_at(endpoint).is_some() {
            return Err(ConnectError::Nobody("killed, and waits in the kernel to end"));
        }
        let channel = sereno_connect::now(endpoint, context::credentials()).await?;
        let client = SupervisorClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        Ok(Self { endpoint: endpoint.clone(), client })
    }

    /// Returns the newest state of all services and daemons.
    pub(crate) async fn status(&self, usage: bool, within: Duration) -> Result<Status, Failure> {
        let mut whole: Option<Status> = None;
        loop {
            let last = whole.as_ref().and_then(|status| status.services.last());
            let request =
                v1::GetStatusRequest { usage, after: last.map(|last| last.name.clone()).unwrap_or_default() };
            let mut client = self.client.clone();
            let page = self.answer("status", within, async move { client.get_status(request).await }).await?;
            let part = page.status.unwrap_or_default();
            let ends = !page.more || part.services.is_empty();
            match &mut whole {
                Some(whole) => whole.services.extend(part.services),
                None => whole = Some(part),
            }
            if ends {
                return Ok(whole.unwrap_or_default());
            }
        }
    }

    /// Returns events of the journal, oldest first, over as many pages as needed.
    pub(crate) async fn timeline(
        &self,
        mut request: v1::GetTimelineRequest,
    ) -> Result<Vec<v1::Event>, Failure> {
        let mut events = Vec::new();
        loop {
            let page = self.get_timeline(request.clone()).await?;
            let came = u32::try_from(page.events.len()).unwrap_or(u32::MAX);
            let first = page.events.iter().map(|event| event.seq).min().unwrap_or_default();
            events.splice(0..0, page.events);
            if !page.more || came == 0 || (request.limit != 0 && request.limit <= came) {
                return Ok(events);
            }
            request.before = first;
            request.limit = request.limit.saturating_sub(came);
        }
    }

    /// Returns incidents, oldest first, over as many pages as needed.
    pub(crate) async fn incidents(
        &self,
        mut request: v1::GetIncidentsRequest,
    ) -> Result<Vec<v1::Incident>, Failure> {
        let mut incidents = Vec::new();
        loop {
            let page = self.get_incidents(request.clone()).await?;
            let came = u32::try_from(page.incidents.len()).unwrap_or(u32::MAX);
            let first = page.incidents.first().map_or(0, |incident| incident.id);
            incidents.splice(0..0, page.incidents);
            if !page.more || came == 0 || request.limit <= came {
                return Ok(incidents);
            }
            request.before = first;
            request.limit -= came;
        }
    }

    unary! {
        start("start", StartRequest) -> StartResponse;
        stop("stop", StopRequest) -> StopResponse;
        restart("restart", RestartRequest) -> RestartResponse;
        reload("reload", ReloadRequest) -> ReloadResponse;
        signal("signal", SignalRequest) -> SignalResponse;
        reset("reset", ResetRequest) -> ResetResponse;
        pause("pause", PauseRequest) -> PauseResponse;
        resume("resume", ResumeRequest) -> ResumeResponse;
        plan("plan", PlanRequest) -> PlanResponse;
        apply("apply", ApplyRequest) -> ApplyResponse;
        add_service("run", AddServiceRequest) -> AddServiceResponse;
        remove_service("remove", RemoveServiceRequest) -> RemoveServiceResponse;
        get_timeline("events", GetTimelineRequest) -> GetTimelineResponse;
        get_incidents("incidents", GetIncidentsRequest) -> GetIncidentsResponse;
        get_evidence("evidence", GetEvidenceRequest) -> GetEvidenceResponse;
        shutdown("down", ShutdownRequest) -> ShutdownResponse;
        upgrade("upgrade", UpgradeRequest) -> UpgradeResponse;
    }

    streaming! {
        watch_status("status", WatchStatusRequest) -> WatchStatusResponse;
        watch_events("events", WatchEventsRequest) -> WatchEventsResponse;
        read_logs("logs", ReadLogsRequest) -> ReadLogsResponse;
    }

    async fn answer<T>(
        &self,
        word: &'static str,
        within: Duration,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, Failure> {
        match timeout(within, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(failure(word, &self.endpoint, &status)),
            Err(_) => Err(unreachable(&self.endpoint, NoAnswer::Silent(within))),
        }
    }
}

/// A stream of messages from the supervisor.
pub(crate) struct Feed<T> {
    word: &'static str,
    endpoint: Endpoint,
    stream: tonic::Streaming<T>,
}

impl Feed<v1::WatchStatusResponse> {
    /// Returns the next status, over as many messages as needed; `None` if the supervisor has ended the stream.
    pub(crate) async fn next_status(&mut self) -> Result<Option<Status>, Failure> {
        let mut whole: Option<Status> = None;
        loop {
            let Some(message) = self.next().await? else { return Ok(None) };
            let part = message.status.unwrap_or_default();
            match &mut whole {
                Some(whole) => whole.services.extend(part.services),
                None => whole = Some(part),
            }
            if !message.more {
                return Ok(whole);
            }
        }
    }
}

impl<T> Feed<T> {
    /// Returns the next message; `None` if the supervisor has ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, Failure> {
        self.stream.message().await.map_err(|status| failure(self.word, &self.endpoint, &status))
    }
}

/// A stream of statuses that continues with the next supervisor if this one is replaced.
pub(crate) struct StatusFeed {
    endpoint: Endpoint,
    feed: Option<Feed<v1::WatchStatusResponse>>,
}

impl StatusFeed {
    /// Creates the feed. Nothing is requested before the first [`StatusFeed::next`].
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        Self { endpoint: endpoint.clone(), feed: None }
    }

    /// Returns the next status. Dropping the future loses at most one status, which the next one replaces.
    pub(crate) async fn next(&mut self) -> Result<Status, Failure> {
        loop {
            let feed = if let Some(feed) = &mut self.feed {
                feed
            } else {
                let supervisor = reconnect(&self.endpoint).await?;
                self.feed.insert(supervisor.watch_status(v1::WatchStatusRequest { usage: false }).await?)
            };
            match feed.next_status().await {
                Ok(Some(status)) => return Ok(status),
                Ok(None) | Err(Failure::NoSupervisor { .. }) => self.feed = None,
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Connects to a supervisor that may be restarting.
pub(crate) async fn reconnect(endpoint: &Endpoint) -> Result<Supervisor, Failure> {
    let until = Instant::now() + REPLACED_WITHIN;
    let mut wait = FIRST_RETRY;
    loop {
        let failure = match Supervisor::connect(endpoint).await {
            // An open socket proves nothing: the process behind it may be exiting.
            Ok(supervisor) => match supervisor.status(false, UNARY_DEADLINE).await {
                Ok(_) => return Ok(supervisor),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        if !matches!(failure, Failure::NoSupervisor { .. }) || Instant::now() >= until {
            return Err(failure);
        }
        sleep(wait).await;
        wait = (wait * 2).min(RETRY);
    }
}

/// Makes a call, and repeats it with the next supervisor if this one exits before it answers. Only for
/// calls that are safe to make twice.
pub(crate) async fn ask<T>(
    endpoint: &Endpoint,
    call: impl AsyncFn(Supervisor) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut supervisor = Supervisor::connect(endpoint).await?;
    let until = Instant::now() + REPLACED_WITHIN;
    loop {
        match call(supervisor).await {
            Err(Failure::NoSupervisor { .. }) if Instant::now() < until => {}
            answer => return answer,
        }
        supervisor = reconnect(endpoint).await?;
    }
}

/// Asks a monitor directly.
pub(crate) async fn monitor_status(endpoint: &Endpoint, within: Duration) -> Result<MonitorStatus, NoAnswer> {
    let ask = async {
        let channel = sereno_connect::now(endpoint, context::credentials()).await?;
        let mut client = MonitorClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        match client.get_monitor_status(v1::GetMonitorStatusRequest {}).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(NoAnswer::Failed(told(&status))),
        }
    };
    timeout(within, ask).await.unwrap_or_else(|_| Err(NoAnswer::Silent(within)))
}

/// Returns the failure for a supervisor that gave no answer.
pub(crate) fn unreachable(endpoint: &Endpoint, why: impl Into<NoAnswer>) -> Failure {
    Failure::NoSupervisor { endpoint: endpoint.clone(), why: why.into() }
}

fn failure(word: &'static str, endpoint: &Endpoint, status: &tonic::Status) -> Failure {
    // Only a transport error has a source; an answer of the supervisor has none.
    let broken = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Unimplemented => Failure::NotYet(word),
        Code::AlreadyExists if word == "apply" => Failure::OtherFile(told(status)),
        Code::InvalidArgument => Failure::Usage(told(status)),
        Code::Unavailable | Code::DeadlineExceeded => unreachable(endpoint, NoAnswer::Failed(told(status))),
        _ if broken => unreachable(endpoint, NoAnswer::Failed(told(status))),
        _ => match unknown_selector_of(status) {
            Some(selector) => Failure::unknown(selector, told(status)),
            None => Failure::Refused(told(status)),
        },
    }
}

/// Returns the message of a status, down to its innermost cause.
fn told(status: &tonic::Status) -> String {
    let mut deepest: Option<&dyn std::error::Error> = std::error::Error::source(status);
    while let Some(next) = deepest.and_then(std::error::Error::source) {
        deepest = Some(next);
    }
    match deepest {
        Some(error) => error.to_string().to_lowercase(),
        None if status.message().is_empty() => status.code().description().to_lowercase(),
        None => status.message().to_owned(),
    }
}
