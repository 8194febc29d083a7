//! Which kind is whose.

use std::sync::Arc;

use sereno_monitor::{Check, Probe, Spec, Target, TargetError, Verdict};

use crate::exec::ExecCheck;
use crate::http::HttpCheck;
use crate::tls::TlsConfigs;

/// Checks over HTTP, and by commands.
#[derive(Debug, Clone, Default)]
pub struct HealthProbe {
    tls: Arc<TlsConfigs>,
}

impl HealthProbe {
    /// A probe that has built nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// One target, ready to be checked.
#[derive(Debug)]
#[non_exhaustive]
pub enum HealthCheck {
    /// Over HTTP.
    #[non_exhaustive]
    Http(Box<HttpCheck>),
    /// By a command.
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
