//! The wire: what comes in is checked and becomes a command, what goes out is made from what the manager says.
//!
//! | file | what it serves |
//! |---|---|
//! | `operator` | `Supervisor`: people and `ctl` |
//! | `arbiter` | `Arbiter`: monitors |
//! | `logs` | `ReadLogs`, from the files |
//! | `convert` | domain → wire |
//! | `requests` | wire → domain, errors name the field |
//! | `usage` | CPU and memory, sampled when asked for |
//!
//! It runs on a thread of its own: what clients do never delays an exit and the start after it.

mod arbiter;
mod convert;
mod logs;
mod operator;
mod requests;
mod usage;

use std::pin::Pin;

use daemon_kit::chassis::{Peer, Shutdown};
use proto::v1::arbiter_server::ArbiterServer;
use proto::v1::supervisor_server::SupervisorServer;
use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::{Request, Status};

use crate::manager::Handle;
use crate::manager::command::Gone;
use crate::os;

/// The services that this endpoint names in `grpc.health.v1`.
pub const SERVICES: [&str; 2] = ["sereno.v1.Supervisor", "sereno.v1.Arbiter"];

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Everything that is served.
pub fn routes(manager: &Handle, journal: std::path::PathBuf, shutdown: &Shutdown) -> Routes {
    let operator = operator::Operator::new(manager.clone(), journal, shutdown.clone());
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

/// Who calls, in words; only the owner of this supervisor and root may. (Roles by token and certificate come with
/// endpoints on TCP.)
fn caller<T>(request: &Request<T>) -> Result<String, Status> {
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    let Some(uid) = peer.uid else { return Ok("a local client".into()) };
    if uid != 0 && uid != os::own_ids().0 {
        return Err(Status::permission_denied(format!(
            "uid {uid} has no role here: owner and root are operators"
        )));
    }
    let pid = peer.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
    Ok(format!("uid {uid}{pid}"))
}
