//! The played supervisor: sends sets of targets and answers, and records each call with its time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::v1::Decision;
use proto::v1::arbiter_server::ArbiterServer;
use proto::{Endpoint, v1};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_stream::wrappers::{UnixListenerStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::wire::{Set, Wire};
use crate::Failure;

/// A stream of target sets.
pub(super) type Sets = Pin<Box<dyn Stream<Item = Result<Set, Status>> + Send>>;

/// A call of the monitor.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// A request for targets, and whether it was refused.
    Attach(v1::WatchTargetsRequest, bool),
    Report(v1::ReportHealthRequest),
    Ask(v1::RequestRestartRequest),
}

/// A call of the monitor with its time.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) at: Instant,
    pub(super) what: What,
}

#[derive(Debug, Default)]
struct Told {
    heard: Vec<Heard>,
    sets: Vec<v1::WatchTargetsResponse>,
    kind: String,
    decision: i32,
    retry_after: Option<Duration>,
    newer: bool,
    is_down: bool,
}

/// The server side of the played supervisor.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    told: Arc<Mutex<Told>>,
    /// Grows with every recorded call.
    grown: watch::Sender<usize>,
    /// Grows with every set, and when the supervisor becomes unavailable.
    turned: watch::Sender<u64>,
}

impl Actor {
    fn told(&self) -> MutexGuard<'_, Told> {
        // No code under the lock can panic halfway.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, what: What) -> Result<(), Status> {
        let down = self.told().is_down;
        self.told().heard.push(Heard { at: Instant::now(), what });
        self.grown.send_modify(|count| *count += 1);
        if down { Err(Status::unavailable("played: the supervisor is away")) } else { Ok(()) }
    }

    pub(super) fn watch(&self, hello: v1::WatchTargetsRequest) -> Result<Sets, Status> {
        let kind = hello.kind.clone();
        let down = self.told().is_down;
        self.hear(What::Attach(hello, down))?;
        let actor = self.clone();
        let next = move |_| {
            let told = actor.told();
            if told.is_down {
                return Err(Status::unavailable("played: the supervisor goes away"));
            }
            let mut set = told.sets.last().cloned().unwrap_or_default();
            if kind != told.kind {
                set.targets.clear();
            }
            Ok(Set::of(&set, told.newer))
        };
        let mut over = false;
        let sets = WatchStream::new(self.turned.subscribe()).map(next).take_while(move |set| {
            let was = over;
            over |= set.is_err();
            !was
        });
        Ok(Box::pin(sets))
    }

    pub(super) fn reported(
        &self,
        report: v1::ReportHealthRequest,
    ) -> Result<v1::ReportHealthResponse, Status> {
        self.hear(What::Report(report)).map(|()| v1::ReportHealthResponse {})
    }

    pub(super) fn asked(&self, ask: v1::RequestRestartRequest) -> Result<v1::RequestRestartResponse, Status> {
        self.hear(What::Ask(ask))?;
        let told = self.told();
        Ok(v1::RequestRestartResponse {
            decision: told.decision,
            message: "played".into(),
            retry_after: told.retry_after.map(proto::time::to_wire),
            seq: told.heard.len() as u64,
        })
    }
}

/// The test's side of the played supervisor.
#[derive(Debug)]
pub(super) struct Stage(Actor);

impl Stage {
    /// Serves at an endpoint.
    pub(super) fn open(endpoint: &Endpoint) -> Result<Self, Failure> {
        let Endpoint::Unix(path) = endpoint else {
            return Err(Failure::Play(format!("{endpoint}: only unix:///path can be played at")));
        };
        let listener = UnixListener::bind(path)
            .map_err(|error| Failure::Play(format!("listen at {endpoint}: {error}")))?;
        let first = v1::WatchTargetsResponse {
            instance: "played".into(),
            generation: 1,
            ..v1::WatchTargetsResponse::default()
        };
        let told = Told { sets: vec![first], decision: Decision::Accepted.into(), ..Told::default() };
        let actor = Actor {
            told: Arc::new(Mutex::new(told)),
            grown: watch::Sender::new(0),
            turned: watch::Sender::new(0),
        };
        let wire = Wire { actor: actor.clone(), rest: ArbiterServer::new(actor.clone()) };
        let serving = tonic::transport::Server::builder()
            .add_service(wire)
            .serve_with_incoming(UnixListenerStream::new(listener));
        tokio::spawn(serving);
        Ok(Self(actor))
    }

    /// Sets the kind of the targets from now on.
    pub(super) fn of_kind(&self, kind: &str) {
        kind.clone_into(&mut self.0.told().kind);
    }

    /// Sends a new set; returns its generation.
    pub(super) fn set(&self, targets: Vec<v1::Target>) -> u64 {
        let generation = {
            let mut told = self.0.told();
            let generation = told.sets.last().map_or(1, |set| set.generation + 1);
            told.sets.push(v1::WatchTargetsResponse {
                instance: "played".into(),
                generation,
                targets,
                report_every: None,
            });
            generation
        };
        self.0.turned.send_modify(|turn| *turn += 1);
        generation
    }

    /// Sets the answer to restart requests from now on.
    pub(super) fn answer(&self, decision: i32, retry_after: Option<Duration>) {
        let mut told = self.0.told();
        (told.decision, told.retry_after) = (decision, retry_after);
    }

    /// Sets whether later sets contain fields that this contract does not know.
    pub(super) fn newer(&self, newer: bool) {
        self.0.told().newer = newer;
    }

    /// Makes the supervisor unavailable or available.
    pub(super) fn down(&self, is_down: bool) {
        self.0.told().is_down = is_down;
        self.0.turned.send_modify(|turn| *turn += 1);
    }

    /// Returns a mark, the current position in the record.
    pub(super) fn mark(&self) -> usize {
        self.0.told().heard.len()
    }

    /// Returns the calls since a mark.
    pub(super) fn since(&self, mark: usize) -> Vec<Heard> {
        self.0.told().heard[mark..].to_vec()
    }

    /// Returns every set that was sent.
    pub(super) fn sets(&self) -> Vec<v1::WatchTargetsResponse> {
        self.0.told().sets.clone()
    }

    /// Waits for the first call since a mark that `is` accepts.
    pub(super) async fn wait<T>(
        &self,
        mark: usize,
        limit: Duration,
        is: impl Fn(&Heard) -> Option<T>,
    ) -> Option<T> {
        let mut grown = self.0.grown.subscribe();
        let found = async {
            loop {
                grown.mark_unchanged();
                if let Some(found) = self.since(mark).iter().find_map(&is) {
                    return Some(found);
                }
                grown.changed().await.ok()?;
            }
        };
        tokio::time::timeout(limit, found).await.ok().flatten()
    }

    /// Returns the first request for targets.
    pub(super) async fn first_hello(&self) -> Option<v1::WatchTargetsRequest> {
        let hello = |heard: &Heard| match &heard.what {
            What::Attach(hello, _) => Some(hello.clone()),
            _ => None,
        };
        self.wait(0, Duration::from_secs(30), hello).await
    }
}
