//! The connection to the supervisor, owned by one task. Received target sets go to the registry, the board
//! is reported. The task never gives up, and no other task waits for it.

use std::time::Duration;

use futures_util::stream::select_all;
use futures_util::{Stream, StreamExt as _};
use proto::v1::WatchTargetsResponse;
use proto::v1::arbiter_client::ArbiterClient;
use proto::{UNARY_DEADLINE, v1};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::{Code, Request, Response, Status};

use super::Identity;
use super::board::Snapshot;
use super::registry::{Handle, Set};
use super::report::{Asked, Reported, ask, report};
use sereno_connect::{Authorized, lazy_as};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Pause after the supervisor answered that requests come too fast.
const TOO_FAST: Duration = Duration::from_secs(1);

/// State of the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LinkState {
    pub(super) attached: bool,
    pub(super) last_error: String,
}

/// The connection, for the lifetime of the monitor.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) identity: Arc<Identity>,
    pub(super) registry: Handle,
    pub(super) board: watch::Receiver<Arc<Snapshot>>,
    pub(super) state: watch::Sender<LinkState>,
    pub(super) asked: Asked,
    pub(super) backoff: Backoff,
}

type Client = ArbiterClient<Authorized>;

impl Link {
    /// Attaches, and attaches again after each loss.
    pub(super) async fn run(mut self) {
        loop {
            let lost = self.attached().await;
            let message = format!("{}: {}", self.identity.supervisor, said(&lost));
            // Logged once per cause, not at each attempt.
            if self.state.borrow().last_error != message || self.state.borrow().attached {
                tracing::warn!(error = %message, "not attached; probing goes on");
            }
            self.state.send_replace(LinkState { attached: false, last_error: message });
            if lost.code() == Code::Aborted {
                // Another process uses our name: two processes that displace each other must not do so in a busy loop.
                self.backoff.wait = LONGEST_WAIT;
            }
            sleep(self.backoff.next()).await;
        }
    }

    /// Runs one connection, from the first attempt until it is lost.
    async fn attached(&mut self) -> Status {
        // Credentials are read for each connection: a token or certificate may have been replaced.
        let channel = match lazy_as(&self.identity.supervisor, &self.identity.credentials) {
            Ok(channel) => channel,
            Err(error) => return Status::unauthenticated(error.to_string()),
        };
        let client = ArbiterClient::new(channel)
            .max_decoding_message_size(proto::MAX_MESSAGE)
            .max_encoding_message_size(proto::MAX_MESSAGE);
        let mut streams = Vec::new();
        for &kind in self.identity.kinds {
            match self.open(client.clone(), kind).await {
                Ok((first, rest)) => {
                    self.registry.replace(first).await;
                    streams.push(rest.boxed());
                }
                Err(lost) => return lost,
            }
        }
        tracing::info!(supervisor = %self.identity.supervisor, "attached");
        self.state.send_modify(|state| state.attached = true);
        let registry = self.registry.clone();
        tokio::select! {
            lost = listen(registry, select_all(streams)) => lost,
            lost = self.speak(client) => lost,
        }
    }

    /// Opens the stream of one kind; it counts as open once the first set has arrived.
    async fn open(
        &self,
        mut client: Client,
        kind: &'static str,
    ) -> Result<(Set, impl Stream<Item = Result<Set, Status>> + Send + use<>), Status> {
        let request = v1::WatchTargetsRequest {
            monitor: self.identity.name.to_string(),
            kind: kind.into(),
            session: self.identity.session.clone(),
            endpoint: self.identity.endpoint.to_string(),
            version: self.identity.version.into(),
            pid: std::process::id(),
        };
        let ended = || Status::unavailable("the stream of targets ended");
        let opening = async {
            let mut stream = client.watch_targets(request).await?.into_inner();
            let first = stream.message().await?.ok_or_else(ended)?;
            Ok((first, stream))
        };
        let (first, stream) =
            timeout(UNARY_DEADLINE, opening).await.unwrap_or_else(|_| Err(overdue("WatchTargets")))?;
        let set = move |wire: WatchTargetsResponse| Set { kind, received: Instant::now(), wire };
        // The end of any one stream ends the whole connection.
        let rest = stream.chain(futures_util::stream::once(async move { Err(ended()) }));
        Ok((set(first), rest.map(move |wire| wire.map(set))))
    }

    /// Sends reports and restart requests whenever the board gives reason to.
    async fn speak(&mut self, mut client: Client) -> Status {
        let mut reported = Reported::default();
        // No restart is requested before this time: the supervisor answered that requests come too fast.
        let mut asks_from = Instant::now();
        loop {
            let board = Arc::clone(&self.board.borrow_and_update());
            if reported.is_due(&board, Instant::now()) {
                let request = report(&self.identity, &board, Instant::now());
                match within("ReportHealth", request, |request| client.report_health(request)).await {
                    Ok(_) => self.backoff.reset(),
                    Err(refused) if is_answer(&refused) => self.complain("ReportHealth", &refused),
                    Err(later) if later.code() == Code::ResourceExhausted => {
                        self.complain("ReportHealth", &later);
                        sleep(TOO_FAST).await;
                        continue;
                    }
                    Err(lost) => return lost,
                }
                reported.sent(&board, Instant::now());
            }
            self.asked.retain(&board);
            let may_ask = asks_from <= Instant::now();
            for row in self.asked.due(&board, Instant::now()).into_iter().filter(|_| may_ask) {
                let key = &row.view.key;
                let request = ask(&self.identity, row);
                match within("RequestRestart", request, |request| client.request_restart(request)).await {
                    Ok(answer) => {
                        let decision = answer.decision();
                        tracing::info!(target = %key, %decision, message = %answer.message, "asked for a restart");
                        self.asked.answered(row, &answer, Instant::now());
                    }
                    Err(refused) if is_answer(&refused) => {
                        self.complain("RequestRestart", &refused);
                        self.asked.refused(row);
                    }
                    // Stops here and sends the rest later: this is a rate limit, and says nothing about any service.
                    Err(later) if later.code() == Code::ResourceExhausted => {
                        self.complain("RequestRestart", &later);
                        asks_from = Instant::now() + TOO_FAST;
                        break;
                    }
                    Err(lost) => return lost,
                }
            }
            let again = (asks_from > Instant::now()).then_some(asks_from);
            let next = [reported.next(&board), again].into_iter().flatten().min();
            tokio::select! {
                changed = self.board.changed() => {
                    if changed.is_err() {
                        return Status::cancelled("the monitor ends");
                    }
                }
                () = async { sleep_until(next.expect("guarded")).await }, if next.is_some() => {}
            }
        }
    }

    /// Logs a refusal. The supervisor understood the call, so a new connection would not change the answer.
    fn complain(&self, call: &str, refused: &Status) {
        let message = format!("{call}: {}", said(refused));
        tracing::warn!(error = %message, "the supervisor refuses");
        self.state.send_if_modified(|state| {
            let new = state.last_error != message;
            state.last_error = message;
            new
        });
    }
}

/// Hands every set to the registry until the connection is lost.
async fn listen(registry: Handle, mut sets: impl Stream<Item = Result<Set, Status>> + Unpin) -> Status {
    loop {
        match sets.next().await {
            Some(Ok(set)) => registry.replace(set).await,
            Some(Err(lost)) => return lost,
            None => return Status::unavailable("the streams of targets ended"),
        }
    }
}

/// Makes a unary call with a deadline on both sides.
async fn within<Q, A, F>(name: &str, request: Q, call: impl FnOnce(Request<Q>) -> F) -> Result<A, Status>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let mut request = Request::new(request);
    request.set_timeout(UNARY_DEADLINE);
    match timeout(UNARY_DEADLINE, call(request)).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(overdue(name)),
    }
}

fn overdue(call: &str) -> Status {
    Status::deadline_exceeded(format!("{call} was not answered within {UNARY_DEADLINE:?}"))
}

/// Whether the supervisor itself gave this status and would repeat it over a new connection.
/// `FAILED_PRECONDITION` is excluded: it means "attach first".
fn is_answer(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::OutOfRange
    )
}

/// Returns a status as one line: its innermost cause, which tonic's own message ("transport error") omits.
fn said(status: &Status) -> String {
    let mut innermost = std::error::Error::source(status);
    while let Some(cause) = innermost.and_then(std::error::Error::source) {
        innermost = Some(cause);
    }
    match innermost {
        Some(cause) => cause.to_string(),
        None if status.message().is_empty() => status.code().to_string(),
        None => status.message().to_owned(),
    }
}

/// Backoff from 100 ms, doubling to 5 s.
#[derive(Debug)]
pub(super) struct Backoff {
    wait: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { wait: FIRST_WAIT }
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST_WAIT);
        // Jitter: monitors that lost the same supervisor must not all return at the same moment.
        wait.mul_f64(0.8 + 0.2 * fastrand::f64())
    }

    fn reset(&mut self) {
        self.wait = FIRST_WAIT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_up_to_a_ceiling() {
        let mut backoff = Backoff::default();
        for ideal in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let ideal = Duration::from_millis(ideal);
            let wait = backoff.next();
            assert!(wait <= ideal && wait >= ideal.mul_f64(0.8), "{wait:?} for {ideal:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST_WAIT);
    }
}
