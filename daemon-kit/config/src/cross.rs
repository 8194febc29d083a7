//! Checks the rules between services: names, dependencies, a monitor for each check, no file written by two.

use std::collections::{BTreeMap, BTreeSet};

use proto::Name;

use super::daemons::RESERVED;
use super::keys::nearest;
use super::model::{DependencyOn, Monitor, Policy, Service};
use super::problem::{Scope, Wrong};
use super::tree::Node;
use super::value::either;

type Services = BTreeMap<Name, Service>;
type Monitors = BTreeMap<Name, Monitor>;

/// Checks every service for which `judged` is true.
pub(super) fn check(
    scope: &Scope<'_>,
    root: &Node,
    services: &Services,
    monitors: &Monitors,
    judged: impl Fn(&Name) -> bool,
) {
    for (name, service) in services.iter().filter(|(name, _)| judged(name)) {
        let Some(node) = root.get(&["services", name.as_str()]) else { continue };
        if RESERVED.contains(&name.base()) || monitors.contains_key(name.base()) {
            scope.key(
                node.key_at.or(node.at),
                &node.path,
                Some(name),
                "is a reserved name: give the service another one",
            );
        }
        dependencies(scope, node, name, service, services);
        kinds(scope, node, name, service, monitors);
    }
    cycles(scope, root, services, &judged);
    log_files(scope, root, services, &judged);
}

/// Returns the node of a dependency: an item of the list, or an entry of the table. It may name all instances at once.
fn edge<'a>(service: &'a Node, to: &Name) -> Option<&'a Node> {
    let node = service.get(&["depends_on"])?;
    let named = |to: &str| {
        let item = node.list().into_iter().flatten().find(|item| item.text() == Some(to));
        item.or_else(|| node.get(&[to]))
    };
    Some(named(to.as_str()).or_else(|| named(to.base())).unwrap_or(node))
}

fn dependencies(scope: &Scope<'_>, node: &Node, name: &Name, service: &Service, services: &Services) {
    for (to, dependency) in &service.depends_on {
        let Some(edge) = edge(node, to) else { continue };
        match services.get(to) {
            None => {
                let hint =
                    nearest(to.as_str(), services.keys().filter(|other| *other != name).map(Name::base));
                let rule = format!("needs a service that is not there: {to}");
                scope.key(edge.at, &edge.path, Some(name), Wrong { rule, hint });
            }
            Some(other)
                if dependency.on == DependencyOn::Completed && other.restart.policy == Policy::Always =>
            {
                let rule =
                    format!("waits for ever: {to} has restart.policy = \"always\", so it never completes");
                scope.value(edge, Some(name), rule);
            }
            Some(_) => {}
        }
    }
}

fn kinds(scope: &Scope<'_>, node: &Node, name: &Name, service: &Service, monitors: &Monitors) {
    let served: BTreeSet<&str> =
        monitors.values().flat_map(|monitor| monitor.kinds.iter().map(String::as_str)).collect();
    for (id, check) in service.checks.iter().filter(|(_, check)| !served.contains(&*check.kind)) {
        let id = id.as_str();
        let at = node.get(&["checks", id, "kind"]).or_else(|| node.get(&[id]));
        let Some(at) = at else { continue };
        let words: Vec<String> = served.iter().map(|kind| format!("{kind:?}")).collect();
        let hint = nearest(&check.kind, served.iter().copied());
        let rule = match &*check.kind {
            "exec" => "needs a managed health-monitor, and there is none".to_owned(),
            kind => {
                format!("is of kind {kind:?}, which no monitor here serves; they serve {}", either(&words))
            }
        };
        scope.key(at.at, &at.path, Some(name), Wrong { rule, hint });
    }
}

/// Reports each cycle once, starting with its first name.
fn cycles(scope: &Scope<'_>, root: &Node, services: &Services, judged: &impl Fn(&Name) -> bool) {
    let mut left: BTreeMap<&Name, BTreeSet<&Name>> = services
        .iter()
        .map(|(name, service)| {
            (name, service.depends_on.keys().filter(|to| services.contains_key(*to)).collect())
        })
        .collect();
    loop {
        // A service that waits for none of the remaining services is in no cycle.
        loop {
            let free: Vec<&Name> =
                left.iter().filter(|(_, to)| to.is_empty()).map(|(name, _)| *name).collect();
            if free.is_empty() {
                break;
            }
            left.retain(|name, _| !free.contains(name));
            for to in left.values_mut() {
                to.retain(|name| !free.contains(name));
            }
        }
        // Each remaining service waits for another remaining service, so the walk must return to a visited one.
        let Some(mut at) = left.keys().next().copied() else { return };
        let mut walked: Vec<&Name> = Vec::new();
        while !walked.contains(&at) {
            walked.push(at);
            let Some(next) = left.get(at).and_then(|to| to.first()) else { return };
            at = next;
        }
        let mut cycle: Vec<&Name> = walked.into_iter().skip_while(|name| *name != at).collect();
        let first = cycle.iter().enumerate().min_by_key(|(_, name)| **name).map_or(0, |(index, _)| index);
        cycle.rotate_left(first);
        for name in &cycle {
            left.remove(name);
            for to in left.values_mut() {
                to.remove(name);
            }
        }
        if cycle.iter().any(|name| judged(name)) {
            report_cycle(scope, root, &cycle);
        }
    }
}

fn report_cycle(scope: &Scope<'_>, root: &Node, cycle: &[&Name]) {
    let Some(first) = cycle.first() else { return };
    let shown: Vec<&str> = cycle.iter().chain([first]).map(|name| name.as_str()).collect();
    let node = root.get(&["services", first.as_str()]);
    if let Some(node) = node.map(|node| node.get(&["depends_on"]).unwrap_or(node)) {
        let rule = format!("must not go round in a circle: {}", shown.join(" -> "));
        scope.key(node.at, &node.path, Some(first), rule);
    }
}

/// Reports files that two outputs would write: each would overwrite the other.
fn log_files(scope: &Scope<'_>, root: &Node, services: &Services, judged: &impl Fn(&Name) -> bool) {
    let mut taken = BTreeMap::new();
    for (name, service) in services {
        for (key, path) in [("stdout", &service.log.stdout), ("stderr", &service.log.stderr)] {
            let Some(path) = path else { continue };
            let owner = format!("services.{name}.log.{key}");
            let Some(first) = taken.insert(path, owner) else { continue };
            if let Some(node) = root.get(&["services", name.as_str(), "log", key]).filter(|_| judged(name)) {
                scope.value(node, Some(name), format!("must be a file of its own, this is also {first}"));
            }
        }
    }
}
