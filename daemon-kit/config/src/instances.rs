//! `instances = N`: one table that stands for N services, `name:0` and so on, whose strings may differ by `${INSTANCE}`.
//!
//! They are spread out before anything else is done with the document, so that nobody behind it knows of more than
//! services. The applied file has them spread already: a table under the name of an instance stays what it is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proto::Name;

use super::Env;
use super::keys;
use super::model::{Dependency, Service};
use super::service::check_name;
use super::tree::{Node, Table, Value};

/// Puts every service with `instances` in its place so many times; whether there were any.
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

/// How many a table stands for, if it says so. What it says badly is reported where it is read, and is one.
fn count(node: &Node) -> Option<i64> {
    let told = node.get(&[std::env::consts::OS, "instances"]).or_else(|| node.get(&["instances"]))?;
    match told.value {
        Value::Integer(count) if keys::SERVICE.whole("instances").contains(&count) => Some(count),
        _ => Some(1),
    }
}

/// Whether a table stands for one instance under a name that only an instance may have.
pub(super) fn is_one(name: &str, node: &Node) -> bool {
    let index = name.rsplit_once(':').and_then(|(_, index)| index.parse::<i64>().ok());
    index.zip(count(node)).is_some_and(|(index, count)| index < count)
}

/// What `${…}` in the table of a service stands for.
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

/// Who depends on a name that several of `names` share depends on each of them.
pub(super) fn depend_on_all(service: &mut Service, names: &[Name]) {
    let shared: Vec<Name> = service.depends_on.keys().filter(|to| !names.contains(to)).cloned().collect();
    for base in shared {
        let all = names.iter().filter(|name| name.instance().is_some() && name.base() == base.as_str());
        let edges: BTreeMap<Name, Dependency> =
            all.map(|name| (name.clone(), service.depends_on[&base].clone())).collect();
        if edges.is_empty() {
            // Nobody has that name: said where it stands.
            continue;
        }
        service.depends_on.remove(&base);
        for (name, edge) in edges {
            // One that is named by itself is meant as it is named.
            service.depends_on.entry(name).or_insert(edge);
        }
    }
}
