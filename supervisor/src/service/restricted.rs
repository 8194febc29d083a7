//! The rights and environment of an `exec` check's command where its service is confined: those of the service, never
//! more.

use std::collections::BTreeMap;

use super::Service;
use super::plan::PlanError;
use crate::os::{Confine, Ids, MARK};

/// Variables that are addressed to a single process: the service's own are not for its checks.
const ADDRESSED: [&str; 3] = ["LISTEN_", "WATCHDOG_", "NOTIFY_SOCKET"];

/// The rights and environment that a check of a service is run with.
#[derive(Debug, Clone)]
pub struct Restricted {
    /// The whole environment of the service.
    pub env: BTreeMap<String, String>,
    /// User and groups; `None`: the supervisor's own.
    pub ids: Option<Ids>,
    /// Capabilities and privileges that it cannot have or gain.
    pub confine: Confine,
    /// File mode creation mask; `None`: the supervisor's.
    pub umask: Option<u32>,
    /// Priority; `None`: the supervisor's.
    pub nice: Option<i32>,
    /// Resource limits by name; `None` is unlimited.
    pub limits: BTreeMap<String, Option<u64>>,
}

impl Service {
    /// Returns whether its checks' commands have fewer rights than the supervisor.
    pub(super) fn is_confined(&self) -> bool {
        let spec = &self.spec;
        spec.user.is_some() || spec.group.is_some() || spec.capabilities.is_some() || spec.no_new_privileges
    }

    /// Returns whether the rights for its checks' commands are known, or why they cannot be.
    pub fn knows_rights(&self) -> bool {
        let found = self.plan.is_some() || self.preparation.rights().is_some();
        found || !self.is_confined() || self.preparation.refused().is_some()
    }

    /// Returns the rights for its checks' commands; `None` if the service has all rights of the supervisor, as its
    /// checks then have too. The error says why the checks cannot be run: the user does not exist, or the environment
    /// cannot be read.
    pub fn restricted(&self) -> Option<Result<Restricted, PlanError>> {
        if !self.is_confined() {
            return None;
        }
        let spec = &self.spec;
        // The plan that started the current run; for an adopted run it is looked up afterwards.
        let Some(plan) = self.plan.as_ref().or_else(|| self.preparation.rights()) else {
            let why = self.preparation.refused().unwrap_or("its environment is being read");
            return Some(Err(PlanError::Unknown(why.into())));
        };
        let mut env = plan.env();
        env.retain(|name, _| name != MARK && !ADDRESSED.iter().any(|own| name.starts_with(own)));
        let confine = Confine { capabilities: spec.capabilities, no_new_privileges: spec.no_new_privileges };
        let (ids, umask, nice, limits) = (plan.ids().cloned(), spec.umask, spec.nice, spec.limits.clone());
        Some(Ok(Restricted { env, ids, confine, umask, nice, limits }))
    }
}
