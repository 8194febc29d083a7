//! Why a start failed: a fault of the service, or a lack of the supervisor.

use std::io;

use sereno_config::Config;

use super::plan::PlanError;
use crate::os::{self, SpawnError};

/// Why a start failed.
#[derive(Debug, thiserror::Error)]
pub enum StartFailure {
    /// The supervisor lacks what every start needs: disk space, a descriptor or memory.
    #[error("{0}")]
    Ours(String),
    /// The service's settings, or what they name, are not usable.
    #[error("{0}")]
    Service(String),
}

impl StartFailure {
    /// Classifies an error of the system.
    pub fn io(what: &str, error: &io::Error) -> Self {
        let text = format!("{what}: {}", cause(error));
        if os::is_shortage(error) { Self::Ours(text) } else { Self::Service(text) }
    }
}

impl From<PlanError> for StartFailure {
    fn from(error: PlanError) -> Self {
        Self::Service(error.to_string())
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

/// The supervisor may not open as many descriptors as these services need.
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
        /// Descriptors of the supervisor itself, with some room for callers, and of each unit: counted in
        /// `/proc/PID/fd`.
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

/// Returns the error, and for a lack of descriptors the limit.
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
