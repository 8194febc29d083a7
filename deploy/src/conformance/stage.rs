//! The supervisor that is played: what it says is a set of targets and an answer, what it hears is kept with its time.

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

/// Sets of targets, as they go out.
pub(super) type Sets = Pin<Box<dyn Stream<Item = Result<Set, Status>> + Send>>;

/// What the monitor said.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// It wants targets; whether it was sent away.
    Attach(v1::WatchTargetsRequest, bool),
    Report(v1::ReportHealthRequest),
    Ask(v1::RequestRestartRequest),
}

/// What the monitor said, and when.
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

/// One that answers the wire.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    told: Arc<Mutex<Told>>,
    /// Grows with everything that is heard.
    grown: watch::Sender<usize>,
    /// Grows with every set, and when the stage goes dark.
    turned: watch::Sender<u64>,
}

impl Actor {
    fn told(&self) -> MutexGuard<'_, Told> {
        // Nothing under the lock can panic half way.
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

/// The play's side of it.
#[derive(Debug)]
pub(super) struct Stage(Actor);

impl Stage {
    /// Opens it at an endpoint.
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

    /// From now on targets are of this kind.
    pub(super) fn of_kind(&self, kind: &str) {
        kind.clone_into(&mut self.0.told().kind);
    }

    /// A new set; its generation.
    pub(super) fn set(&self, targets: Vec<v1::Target>) -> u64 {
        let generation = {
            let mut told = self.0.told();
            let generation = told.sets.last().map_or(1, |set| set.generation + 1);
            told.sets.push(v1::WatchTargetsResponse { instance: "played".into(), generation, targets });
            generation
        };
        self.0.turned.send_modify(|turn| *turn += 1);
        generation
    }

    /// How restarts are answered from now on.
    pub(super) fn answer(&self, decision: i32, retry_after: Option<Duration>) {
        let mut told = self.0.told();
        (told.decision, told.retry_after) = (decision, retry_after);
    }

    /// Whether the sets from now on hold what this contract does not know.
    pub(super) fn newer(&self, newer: bool) {
        self.0.told().newer = newer;
    }

    /// Away, or back.
    pub(super) fn down(&self, is_down: bool) {
        self.0.told().is_down = is_down;
        self.0.turned.send_modify(|turn| *turn += 1);
    }

    /// A moment, to look back to.
    pub(super) fn mark(&self) -> usize {
        self.0.told().heard.len()
    }

    /// What was heard since.
    pub(super) fn since(&self, mark: usize) -> Vec<Heard> {
        self.0.told().heard[mark..].to_vec()
    }

    /// Every set that was sent.
    pub(super) fn sets(&self) -> Vec<v1::WatchTargetsResponse> {
        self.0.told().sets.clone()
    }

    /// The first thing since a mark that is so, waited for.
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

    /// Who attached first.
    pub(super) async fn first_hello(&self) -> Option<v1::WatchTargetsRequest> {
        let hello = |heard: &Heard| match &heard.what {
            What::Attach(hello, _) => Some(hello.clone()),
            _ => None,
        };
        self.wait(0, Duration::from_secs(30), hello).await
    }
}
