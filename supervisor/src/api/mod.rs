//! The wire border: requests are checked and become commands, answers are made from the manager's view.
//!
//! | file | what it serves |
//! |---|---|
//! | `operator` | `Supervisor`, for people and `ctl` |
//! | `arbiter` | `Arbiter`, for monitors |
//! | `incidents` | `GetIncidents`, from their file |
//! | `journal` | `GetTimeline` and `WatchEvents`, from the files |
//! | `logs` | `ReadLogs`, from the files |
//! | `evidence` | `GetEvidence`, from the files |
//! | `convert`, `detail` | domain types to wire types |
//! | `targets` | the same for what monitors watch |
//! | `pages` | answers that do not fit into a single message |
//! | `requests` | wire types to domain types; errors name the field |
//! | `usage` | CPU and memory, sampled when asked for |
//!
//! It runs on its own thread: requests of clients never delay an exit and the next start.

mod arbiter;
mod convert;
mod detail;
mod evidence;
pub(crate) mod fuzz;
mod incidents;
mod inspect;
mod journal;
mod logs;
mod operator;
mod pages;
mod requests;
mod targets;
pub(crate) mod usage;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use proto::v1::arbiter_server::ArbiterServer;
use proto::v1::supervisor_server::SupervisorServer;
use sereno_config::Home;
use sereno_runtime::Shutdown;
use sereno_serve::{Access, Caller};
use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::{Request, Status};

use crate::manager::Handle;
use crate::manager::command::Gone;

/// The services that this endpoint names in `grpc.health.v1`.
pub const SERVICES: [&str; 2] = ["sereno.v1.Supervisor", "sereno.v1.Arbiter"];

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the API knows beside the manager's view.
#[derive(Clone)]
pub(crate) struct ApiContext {
    /// Measures what services use.
    pub(crate) sampler: Arc<usage::Sampler>,
    /// Which endpoints cannot be bound.
    pub(crate) access: Arc<Access>,
}

/// The folders that answers are read from.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// The folder of the journal.
    pub(crate) journal: PathBuf,
    /// The folder of the evidence.
    pub(crate) evidence: PathBuf,
}

impl Folders {
    pub(crate) fn of(home: &Home) -> Self {
        Self { journal: home.journal(), evidence: home.evidence() }
    }
}

/// Returns the routes of all services.
pub(crate) fn routes(manager: &Handle, folders: Folders, shutdown: &Shutdown, eyes: ApiContext) -> Routes {
    let operator = operator::Operator::new(manager.clone(), folders, shutdown.clone(), eyes);
    let arbiter = arbiter::Arbiter::new(manager.clone(), shutdown.clone());
    let limit = proto::MAX_MESSAGE;
    Routes::new(
        SupervisorServer::new(operator).max_decoding_message_size(limit).max_encoding_message_size(limit),
    )
    .add_service(
        ArbiterServer::new(arbiter).max_decoding_message_size(limit).max_encoding_message_size(limit),
    )
}

impl From<Gone> for Status {
    fn from(gone: Gone) -> Self {
        Self::unavailable(gone.to_string())
    }
}

/// Returns the authenticated caller. Its roles have been checked before.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| Status::internal("nobody has asked who you are"))
}

/// Returns the caller's name as the journal has it.
fn who<T>(request: &Request<T>) -> Result<String, Status> {
    caller(request).map(|caller| caller.who)
}
