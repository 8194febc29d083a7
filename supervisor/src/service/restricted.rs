//! The rights and environment of an `exec` check's command where its service is confined: those of the service, never
//! more.

use std::collections::BTreeMap;

use super::plan::{self, PlanError};
use super::{Service, World};
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
    /// Returns the rights for its checks' commands; `None` if the service has all rights of the supervisor, as its
    /// checks then have too. The error says why the checks cannot be run: the user does not exist, or the environment
    /// cannot be read.
    pub fn restricted(&self, world: &World) -> Option<Result<Restricted, PlanError>> {
        let spec = &self.spec;
        let is_free = spec.user.is_none() && spec.group.is_none();
        if is_free && spec.capabilities.is_none() && !spec.no_new_privileges {
            return None;
        }
        // Use the plan that started the current run; an adopted run has none.
        let known = self.plan.as_ref().map(|plan| (plan.env(), plan.ids().cloned()));
        let found = known.map_or_else(|| self.look_up(world), Ok);
        Some(found.map(|(mut env, ids)| {
            env.retain(|name, _| name != MARK && !ADDRESSED.iter().any(|own| name.starts_with(own)));
            let confine =
                Confine { capabilities: spec.capabilities, no_new_privileges: spec.no_new_privileges };
            let (umask, nice, limits) = (spec.umask, spec.nice, spec.limits.clone());
            Restricted { env, ids, confine, umask, nice, limits }
        }))
    }

    fn look_up(&self, world: &World) -> Result<(BTreeMap<String, String>, Option<Ids>), PlanError> {
        let account = self.account()?;
        let mut env = sereno_config::service_env(&self.spec, account, self.env_of_caller(world))?;
        env.extend(self.env.extra.clone());
        Ok((env, plan::ids(account)))
    }
}
