//! Why a start failed: for a cause of the service, or for one that it has no part in.

use std::io;

use sereno_config::Config;

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

/// The supervisor may not have as many descriptors as it needs for these services.
#[derive(Debug, thiserror::Error)]
#[error(
    "{units} services and monitors need at least {needed} open files, and the supervisor may have {limit} \
     (RLIMIT_NOFILE); raise it with \"ulimit -n\" or LimitNOFILE="
)]
pub struct TooFewDescriptors {
    units: usize,
    needed: u64,
    limit: u64,
}

impl TooFewDescriptors {
    /// Refuses a file with more services and monitors than this process can have the descriptors for.
    pub fn judge(config: &Config) -> Result<(), Self> {
        /// Of the supervisor itself with some room for callers, and of each unit: counted in `/proc/PID/fd`.
        const OF_ITSELF: u64 = 40;
        const OF_A_UNIT: u64 = 8;
        let units =
            config.services.len() + config.monitors.values().filter(|monitor| monitor.managed).count();
        let needed = OF_ITSELF + OF_A_UNIT * u64::try_from(units).unwrap_or(u64::from(u32::MAX));
        match os::descriptor_limit() {
            Some(limit) if limit < needed => Err(Self { units, needed, limit }),
            _ => Ok(()),
        }
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
