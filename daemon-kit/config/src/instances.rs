//! `instances = N`: one table that stands for N services `name:0` to `name:N-1`, whose strings may differ by
//! `${INSTANCE}`.
//!
//! The table is copied for each instance before the document is processed further, so the other modules see only
//! services. The applied file already has one table for each instance; such a table is left as it is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proto::Name;

use super::Env;
use super::keys;
use super::model::{Dependency, Service};
use super::service::check_name;
use super::tree::{Node, Table, Value};

/// Replaces every service that has `instances` by its copies. Returns whether there was any.
pub(super) fn spread(services: &mut Table, defaults: Option<&Node>) -> bool {
    let counts: Vec<(String, i64)> = services
        .iter()
        .filter(|(name, _)| check_name(name).is_ok())
        .filter_map(|(name, node)| Some((name.clone(), count(node).or_else(|| count(defaults?))?)))
        .collect();
    for (name, count) in &counts {
        let Some(node) = services.remove(name) else { continue };
        services.extend((0..*count).map(|index| (format!("{name}:{index}"), node.clone())));
    }
    !counts.is_empty()
}

/// Returns the `instances` of a table. An invalid value counts as 1, and is reported where the service is read.
fn count(node: &Node) -> Option<i64> {
    let told = node.get(&[std::env::consts::OS, "instances"]).or_else(|| node.get(&["instances"]))?;
    match told.value {
        Value::Integer(count) if keys::SERVICE.whole("instances").contains(&count) => Some(count),
        _ => Some(1),
    }
}

/// Whether a table is that of one instance, so that its name may have a number.
pub(super) fn is_one(name: &str, node: &Node) -> bool {
    let index = name.rsplit_once(':').and_then(|(_, index)| index.parse::<i64>().ok());
    index.zip(count(node)).is_some_and(|(index, count)| index < count)
}

/// Returns the variables for `${…}` in the table of a service.
pub(super) fn env<'a>(name: &str, env: &'a Env) -> Cow<'a, Env> {
    match name.rsplit_once(':') {
        Some((_, index)) => {
            let mut env = env.clone();
            env.insert("INSTANCE".into(), index.into());
            Cow::Owned(env)
        }
        None => Cow::Borrowed(env),
    }
}

/// Replaces a dependency on the common name of several instances by a dependency on each of them.
pub(super) fn depend_on_all(service: &mut Service, names: &[Name]) {
    let shared: Vec<Name> = service.depends_on.keys().filter(|to| !names.contains(to)).cloned().collect();
    for base in shared {
        let all = names.iter().filter(|name| name.instance().is_some() && name.base() == base.as_str());
        let edges: BTreeMap<Name, Dependency> =
            all.map(|name| (name.clone(), service.depends_on[&base].clone())).collect();
        if edges.is_empty() {
            // No service has that name: this is reported by `cross`.
            continue;
        }
        service.depends_on.remove(&base);
        for (name, edge) in edges {
            // An entry for the single instance takes precedence.
            service.depends_on.entry(name).or_insert(edge);
        }
    }
}
