//! Why a start failed: for a cause of the service, or for one that it has no part in.

use std::io;

use crate::os::{self, SpawnError};

/// Why a start failed.
#[derive(Debug, thiserror::Error)]
pub enum StartFailure {
    /// The supervisor lacks what it needs for any start: space on the disk, a descriptor, memory.
    #[error("{0}")]
    Ours(String),
    /// The service's settings, or what they name, are not as they have to be.
    #[error("{0}")]
    Service(String),
}

impl StartFailure {
    /// Of something that the system refused.
    pub fn io(what: &str, error: &io::Error) -> Self {
        let text = format!("{what}: {}", cause(error));
        if os::is_shortage(error) { Self::Ours(text) } else { Self::Service(text) }
    }
}

impl From<SpawnError> for StartFailure {
    fn from(error: SpawnError) -> Self {
        if error.ours {
            return Self::Ours(format!("{}: {}", error.step, cause(&error.cause)));
        }
        Self::io(&error.step, &error.cause)
    }
}

/// The error, and with descriptors which limit it is.
fn cause(error: &io::Error) -> String {
    match os::descriptor_limit() {
        Some(limit) if os::is_out_of_descriptors(error) => {
            format!(
                "{error}: the supervisor may have {limit} (RLIMIT_NOFILE); raise it with \"ulimit -n\" or LimitNOFILE="
            )
        }
        _ => error.to_string(),
    }
}
