//! Which services may start, and which must stop first. Level-triggered: computed again after every change, with no
//! memory.

use std::collections::{BTreeMap, BTreeSet};

use proto::Name;
use sereno_config::{Dependency, DependencyOn};

use super::{BootInstant, Unit};

/// The `depends_on` of every service.
pub type Graph = BTreeMap<Name, BTreeMap<Name, Dependency>>;

/// Returns the first dependency that is missing, in words; `None` if the service may start.
pub fn missing<'a>(
    edges: &BTreeMap<Name, Dependency>,
    unit: impl Fn(&Name) -> Option<&'a Unit>,
) -> Option<String> {
    edges.iter().find_map(|(name, dependency)| {
        let Some(unit) = unit(name) else { return Some(format!("waits for {name}, which is gone")) };
        let (holds, wanted) = match dependency.on {
            DependencyOn::Started => (unit.is_started(), "started"),
            DependencyOn::Ready => (unit.is_ready(), "ready"),
            DependencyOn::Completed => (unit.is_completed(), "completed"),
        };
        if holds {
            return None;
        }
        Some(if unit.is_failed() {
            format!("waits for {name} to be {wanted}, but it failed")
        } else if !unit.is_wanted() {
            format!("waits for {name} to be {wanted}, but it is stopped")
        } else {
            format!("waits for {name} to be {wanted}")
        })
    })
}

/// A monitor's failed check of a run.
#[derive(Debug, Clone, Copy)]
pub struct Finding {
    /// When the run began.
    pub run: BootInstant,
    /// The earliest time at which the failed check may have begun.
    pub look: BootInstant,
}

/// Returns a dependency that should be restarted before a service that a monitor judged: it is not ready, is being
/// restarted, failed its last check, or became ready only after the failed check may have begun.
///
/// `is_bad` returns whether a check that may restart the service failed at its last try. A check that only reports
/// restarts nothing, and must not hold the dependants' restarts for ever.
pub fn suspect<'a>(
    edges: &'a BTreeMap<Name, Dependency>,
    unit: impl Fn(&Name) -> Option<&'a Unit>,
    is_bad: impl Fn(&Name) -> bool,
    finding: Finding,
) -> Option<&'a Name> {
    edges.iter().find_map(|(name, dependency)| {
        let unit = unit(name)?;
        let well = match dependency.on {
            DependencyOn::Completed => true,
            DependencyOn::Started | DependencyOn::Ready => {
                let back = unit.ready_at().is_some_and(|at| at > finding.run && at > finding.look);
                unit.is_ready() && !is_bad(name) && !back
            }
        };
        (!well).then_some(name)
    })
}

/// Returns every service that depends directly on a service.
pub fn dependants<'a>(graph: &'a Graph, on: &'a Name) -> impl Iterator<Item = &'a Name> {
    graph.iter().filter(move |(_, edges)| edges.contains_key(on)).map(|(name, _)| name)
}

/// Returns the services in order, dependencies before dependants. Names in a cycle (refused when the file is read) come
/// last.
pub fn order(graph: &Graph) -> Vec<Name> {
    let mut done: BTreeSet<&Name> = BTreeSet::new();
    let mut order = Vec::with_capacity(graph.len());
    loop {
        let mut layer: Vec<&Name> = graph
            .iter()
            .filter(|(name, edges)| {
                !done.contains(name)
                    && edges.keys().all(|edge| done.contains(edge) || !graph.contains_key(edge))
            })
            .map(|(name, _)| name)
            .collect();
        if layer.is_empty() {
            order.extend(graph.keys().filter(|name| !done.contains(name)).cloned());
            return order;
        }
        layer.sort_by(|a, b| a.counted().cmp(&b.counted()));
        order.extend(layer.iter().map(|name| (*name).clone()));
        done.extend(layer);
    }
}

#[cfg(test)]
mod tests {
    use super::super::unit::testing::{at, name, plain, policy};
    use super::super::{Exit, Fact, Request};
    use super::*;

    fn on(names: &[&str], on: DependencyOn) -> BTreeMap<Name, Dependency> {
        names.iter().map(|n| (name(n), Dependency { on, restart: false })).collect()
    }

    #[test]
    fn order_counts_as_a_person_does() {
        let graph: Graph = ["job:10", "job:2", "api"].map(|n| (name(n), BTreeMap::new())).into();
        assert_eq!(order(&graph), ["api", "job:2", "job:10"].map(name));
    }

    #[test]
    fn order_puts_dependencies_first_and_survives_a_cycle() {
        let mut graph = Graph::new();
        graph.insert(name("web"), on(&["api", "cache"], DependencyOn::Ready));
        graph.insert(name("api"), on(&["db"], DependencyOn::Ready));
        graph.insert(name("cache"), Graph::new().remove(&name("x")).unwrap_or_default());
        graph.insert(name("db"), BTreeMap::new());
        let order: Vec<String> = order(&graph).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["cache", "db", "api", "web"]);
        assert_eq!(dependants(&graph, &name("db")).collect::<Vec<_>>(), [&name("api")]);

        graph.insert(name("db"), on(&["web"], DependencyOn::Ready));
        assert_eq!(super::order(&graph).len(), 4);
    }

    #[test]
    fn the_gate_says_what_it_waits_for() {
        let mut db = plain(policy());
        let edges = on(&["db"], DependencyOn::Ready);
        let missing = |db: &Unit| super::missing(&edges, |_| Some(db));
        assert_eq!(missing(&db).as_deref(), Some("waits for db to be ready, but it is stopped"));
        db.request(at(0.0), Request::Start);
        assert_eq!(missing(&db).as_deref(), Some("waits for db to be ready"));
        db.poll(at(0.0));
        db.observe(at(0.0), Fact::Spawned);
        db.poll(at(0.0));
        assert_eq!(missing(&db), None);
        db.observe(at(1.0), Fact::Exited(Exit::Code(1)));
        assert_eq!(missing(&db).as_deref(), Some("waits for db to be ready"));
        let finding = |look| Finding { run: at(0.5), look: at(look) };
        assert_eq!(suspect(&edges, |_| Some(&db), |_| false, finding(1.0)), Some(&name("db")));
        for fact in [Fact::Drained, Fact::Swept] {
            db.poll(at(1.0));
            db.observe(at(1.0), fact);
        }
        db.poll(at(2.0));
        db.observe(at(2.0), Fact::Spawned);
        db.poll(at(2.0));
        assert!(db.is_ready());
        assert_eq!(
            suspect(&edges, |_| Some(&db), |_| false, finding(1.9)),
            Some(&name("db")),
            "it may have been the db's fault"
        );
        assert_eq!(suspect(&edges, |_| Some(&db), |_| false, finding(2.1)), None);
        assert_eq!(suspect(&edges, |_| Some(&db), |_| true, finding(2.1)), Some(&name("db")), "sick itself");
        let younger = Finding { run: at(3.0), look: at(0.0) };
        assert_eq!(suspect(&edges, |_| Some(&db), |_| false, younger), None, "it has never seen the db down");
    }
}
