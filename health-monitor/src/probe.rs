//! Selects the check for each kind.

use std::sync::Arc;

use sereno_monitor::{Check, Probe, Spec, Target, TargetError, Verdict};

use crate::exec::ExecCheck;
use crate::http::HttpCheck;
use crate::tls::TlsConfigs;

/// Checks services over HTTP and by commands.
#[derive(Debug, Clone, Default)]
pub struct HealthProbe {
    tls: Arc<TlsConfigs>,
}

impl HealthProbe {
    /// Creates a probe without any TLS configuration yet.
    pub fn new() -> Self {
        Self::default()
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
            Spec::Http(spec) => Ok(HealthCheck::Http(Box::new(HttpCheck::new(spec, Arc::clone(&self.tls))?))),
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
