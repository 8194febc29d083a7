//! What the command of an `exec` check runs with where its service is confined: the same as the service, never more.

use std::collections::BTreeMap;

use super::plan;
use super::{Service, World};
use crate::os::{Confine, Ids, MARK};

/// Variables that are meant for one process: what the service was told is not for its checks.
const ADDRESSED: [&str; 3] = ["LISTEN_", "WATCHDOG_", "NOTIFY_SOCKET"];

/// With what rights and environment a check of a service is run.
#[derive(Debug, Clone)]
pub struct Restricted {
    /// The whole environment of the service.
    pub env: BTreeMap<String, String>,
    /// User and groups; `None`: the supervisor's own.
    pub ids: Option<Ids>,
    /// What it can not have or gain.
    pub confine: Confine,
    /// File mode creation mask; `None`: the supervisor's.
    pub umask: Option<u32>,
    /// Priority; `None`: the supervisor's.
    pub nice: Option<i32>,
    /// Resource limits by name; `None` is unlimited.
    pub limits: BTreeMap<String, Option<u64>>,
}

impl Service {
    /// What its checks run with; `None`: it has all the rights of the supervisor, and so may they. The error says why
    /// they cannot be run: its user is not there, or its environment cannot be read.
    pub fn restricted(&self, world: &World) -> Option<Result<Restricted, String>> {
        let spec = &self.spec;
        let is_free = spec.user.is_none() && spec.group.is_none();
        if is_free && spec.capabilities.is_none() && !spec.no_new_privileges {
            return None;
        }
        // The one that the current run was started with; a run that was taken over has none.
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

    fn look_up(&self, world: &World) -> Result<(BTreeMap<String, String>, Option<Ids>), String> {
        let mut env = sereno_config::service_env(&self.spec, self.env_of_caller(world))?;
        env.extend(self.extra_env.clone());
        Ok((env, plan::ids(&self.spec)?))
    }
}
