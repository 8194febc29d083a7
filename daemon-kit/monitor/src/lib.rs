//! The monitor runtime: everything of a monitor except its [`Probe`].
//!
//! ```text
//!   supervisor ──targets──▶ link ──sets──▶ registry ──starts──▶ schedule (one task a target)
//!       ▲                    │                ▲                 │  probe, then flip
//!       └──reports, asks─────┘                └─────results─────┘
//!                            ▲                │
//!                            └──── board ◀────┘──▶ api (ctl asks here)
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`probe`] | what a monitor implements: [`Probe`], [`Check`], [`Verdict`] |
//! | [`target`] | what to check, decoded from the wire |
//! | [`start`] | from flags, environment and file to a running monitor |
//! | `settings` | the monitor's own table, with what the environment and flags change |
//! | `flip` | pure: decides when a check is failing |
//! | `schedule` | one task per target: waits, checks, counts |
//! | `self_check` | was this process stopped, and does its own network work |
//! | `guarding` | which guard a monitor runs |
//! | `registry` | the one task that owns the state of all targets |
//! | `board` | a snapshot of that state, shared with all readers |
//! | `report` | pure: what is reported to and requested from the supervisor, and when |
//! | `link` | the connection to the supervisor, kept up for ever |
//! | `api` | serves `sereno.v1.Monitor` |
//!
//! Probing never waits for a reader: the board is a `watch` channel, so a slow supervisor or client only
//! misses old states.

#![forbid(unsafe_code)]

mod api;
mod board;
mod dial;
mod flip;
pub mod fuzz;
mod guarding;
mod link;
pub mod probe;
mod registry;
mod report;
mod schedule;
mod self_check;
mod settings;
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

pub use dial::dial;
pub use probe::{Check, Evidence, Probe, Verdict};
pub use target::{Spec, Target, TargetError};

/// At shutdown, an open client stream delays the exit by at most this time.
const GRACE: Duration = Duration::from_secs(2);

/// How a monitor identifies itself, and the endpoints it uses.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Name of the monitor in the supervisor's configuration.
    pub name: Name,
    /// Check kinds that the monitor serves.
    pub kinds: &'static [&'static str],
    /// Version of the monitor's program.
    pub version: &'static str,
    /// Random id, new for each process.
    pub session: String,
    /// Endpoint of the supervisor that the monitor attaches to.
    pub supervisor: Endpoint,
    /// Credentials that the monitor presents to the supervisor.
    pub credentials: Credentials,
    /// Endpoint at which the monitor serves.
    pub endpoint: Endpoint,
}

/// Why a monitor ended without a shutdown request.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The monitor can not serve.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A task of the monitor ended, which is a bug.
    #[error("run the monitor: its {0} ended")]
    Part(&'static str),
}

/// Probes, reports and serves until the shutdown.
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
    // Dropped at the end, which also drops every probe in flight.
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
