//! The monitor runtime: a monitor is a [`Probe`] and this.
//!
//! ```text
//!   supervisor ──targets──▶ link ──sets──▶ registry ──starts──▶ schedule (one task a target)
//!       ▲                    │                ▲                 │  probe, then flip
//!       └──reports, asks─────┘                └─────tidings─────┘
//!                            ▲                │
//!                            └──── board ◀────┘──▶ api (ctl asks here)
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`probe`] | what a monitor brings: [`Probe`], [`Check`], [`Verdict`] |
//! | [`target`] | what is to be checked, from the wire |
//! | [`start`] | flags, environment and file to a running monitor |
//! | `flip` | pure: when is a check failing |
//! | `schedule` | one task a target: wait, check, count |
//! | `self_check` | was this process stopped, and does its own network work |
//! | `guarding` | which guard a monitor runs |
//! | `registry` | the one task that owns what is known |
//! | `board` | what is known, as everybody sees it |
//! | `report` | pure: what the supervisor is told and asked, and when |
//! | `link` | the connection, for ever |
//! | `api` | `sereno.v1.Monitor` |
//!
//! Probing waits for nobody: the board is a `watch`, a slow supervisor or a slow reader only misses what is old.

#![forbid(unsafe_code)]

mod api;
mod board;
mod flip;
mod guarding;
pub mod hostile;
mod link;
pub mod probe;
mod registry;
mod report;
mod schedule;
mod self_check;
pub mod start;
pub mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use proto::{Endpoint, Name};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::service::Routes;

use sereno_connect::Credentials;
use sereno_runtime::Shutdown;
use sereno_serve::Listener;
use sereno_serve::serve::{ServeError, serve};

pub use probe::{Check, Evidence, Probe, Verdict};
pub use target::{Spec, Target, TargetError};

/// A client that holds a stream open holds the monitor no longer than this.
const GRACE: Duration = Duration::from_secs(2);

/// Who this monitor is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name in the supervisor's configuration.
    pub name: Name,
    /// The check kinds it serves.
    pub kinds: &'static [&'static str],
    /// Of the program.
    pub version: &'static str,
    /// Random, new for each process.
    pub session: String,
    /// Whom it attaches to.
    pub supervisor: Endpoint,
    /// What it shows there.
    pub credentials: Credentials,
    /// Where it serves.
    pub endpoint: Endpoint,
}

/// Why a monitor ended though nobody told it to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It can not serve.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A part of it ended, which is a bug.
    #[error("run the monitor: its {0} ended")]
    Part(&'static str),
}

/// Watches, reports and serves until the shutdown.
pub async fn run<P: Probe>(
    identity: Identity,
    probe: P,
    listener: Listener,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    let identity = Arc::new(identity);
    let started = Instant::now();
    let (registry, handle, board) =
        registry::registry(probe, self_check::NetworkProbe::of(&identity.supervisor));
    let state = watch::Sender::new(link::LinkState::default());
    let api = api::Api {
        identity: Arc::clone(&identity),
        started,
        registry: handle.clone(),
        board: board.clone(),
        link: state.subscribe(),
        shutdown: shutdown.clone(),
    };
    let link = link::Link {
        identity,
        registry: handle,
        board,
        state,
        asked: report::Asked::default(),
        backoff: link::Backoff::default(),
    };
    // Dropped at the end, and with it every probe in flight.
    let mut parts = JoinSet::new();
    parts.spawn(async move {
        registry.run().await;
        "registry"
    });
    parts.spawn(async move {
        link.run().await;
        "link"
    });
    let routes = Routes::new(api.server());
    tokio::select! {
        served = serve(listener, routes, &[api::NAME], shutdown, GRACE) => Ok(served?),
        Some(part) = parts.join_next() => Err(RunError::Part(part.unwrap_or("worker"))),
    }
}
