//! Selects the check for each kind.

use std::sync::Arc;

use sereno_monitor::{Check, Probe, Spec, Target, TargetError, Verdict};

use crate::client::Clients;
use crate::exec::ExecCheck;
use crate::http::HttpCheck;

/// Checks services over HTTP and by commands.
#[derive(Debug, Clone)]
pub struct HealthProbe {
    clients: Arc<Clients>,
}

impl Default for HealthProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl HealthProbe {
    /// Creates a probe without any HTTP client yet.
    pub fn new() -> Self {
        Self { clients: Arc::new(Clients::new()) }
    }
}

/// The prepared check of one target.
#[derive(Debug)]
#[non_exhaustive]
pub enum HealthCheck {
    /// A check over HTTP.
    #[non_exhaustive]
    Http(Box<HttpCheck>),
    /// A check by a command.
    #[non_exhaustive]
    Exec(ExecCheck),
}

impl Probe for HealthProbe {
    const KINDS: &'static [&'static str] = &["http", "exec"];
    type Check = HealthCheck;

    fn prepare(&self, target: &Target) -> Result<HealthCheck, TargetError> {
        match &target.spec {
            Spec::Http(spec) => {
                Ok(HealthCheck::Http(Box::new(HttpCheck::new(spec, Arc::clone(&self.clients))?)))
            }
            Spec::Exec(spec) => Ok(HealthCheck::Exec(ExecCheck::new(spec)?)),
            Spec::Tcp(_) | Spec::Options(_) => Err(TargetError::new("spec", "is neither http nor exec")),
        }
    }
}

impl Check for HealthCheck {
    async fn run(&mut self, _: &Target) -> Verdict {
        match self {
            Self::Http(check) => check.run().await,
            Self::Exec(check) => check.run().await,
        }
    }
}
