//! Every service by its name and, while a service is reloaded, the second run beside it.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Index;

use proto::Name;

use crate::service::Service;

/// Every service, and the second runs.
#[derive(Debug, Default)]
pub(super) struct Services {
    first: BTreeMap<Name, Service>,
    second: BTreeMap<Name, Service>,
}

/// Names what one unit drives: a service, or the second run beside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunKey {
    /// The service's name.
    pub(super) name: Name,
    /// Whether the second run is meant.
    pub(super) second: bool,
}

impl RunKey {
    /// Names a service.
    pub(super) fn first(name: &Name) -> Self {
        Self { name: name.clone(), second: false }
    }

    /// Names the second run beside a service.
    pub(super) fn second(name: &Name) -> Self {
        Self { name: name.clone(), second: true }
    }
}

impl Services {
    /// Returns a service.
    pub(super) fn get<Q: Ord + ?Sized>(&self, name: &Q) -> Option<&Service>
    where
        Name: Borrow<Q>,
    {
        self.first.get(name)
    }

    /// Returns a service, to change it.
    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, name: &Q) -> Option<&mut Service>
    where
        Name: Borrow<Q>,
    {
        self.first.get_mut(name)
    }

    /// Returns all services, in the order of their names.
    pub(super) fn values(&self) -> impl Iterator<Item = &Service> {
        self.first.values()
    }

    /// Returns all services, to change them.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Service> {
        self.first.values_mut()
    }

    /// Returns the names of all services.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.first.keys()
    }

    /// Adds a service, or the second run beside it.
    pub(super) fn insert(&mut self, service: Service) {
        let map = if service.is_second() { &mut self.second } else { &mut self.first };
        map.insert(service.name.clone(), service);
    }

    /// Removes a service.
    pub(super) fn remove(&mut self, name: &Name) -> Option<Service> {
        self.first.remove(name)
    }

    /// Removes every service and every second run.
    pub(super) fn clear(&mut self) {
        self.first.clear();
        self.second.clear();
    }

    /// Returns the second run beside a service.
    pub(super) fn beside(&self, name: &Name) -> Option<&Service> {
        self.second.get(name)
    }

    /// Removes the second run beside a service.
    pub(super) fn take_beside(&mut self, name: &Name) -> Option<Service> {
        self.second.remove(name)
    }

    /// Removes the second runs that are replaced or cancelled, and down.
    pub(super) fn forget_retired(&mut self) {
        self.second.retain(|_, second| second.is_successor() || !second.unit.is_down());
    }

    /// Returns what a key names.
    pub(super) fn run(&self, key: &RunKey) -> Option<&Service> {
        if key.second { self.second.get(&key.name) } else { self.first.get(&key.name) }
    }

    /// Returns what a key names, to change it.
    pub(super) fn run_mut(&mut self, key: &RunKey) -> Option<&mut Service> {
        if key.second { self.second.get_mut(&key.name) } else { self.first.get_mut(&key.name) }
    }

    /// Returns all services, then all second runs.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Service> {
        self.first.values().chain(self.second.values())
    }

    /// Returns all services, then all second runs, to change them.
    pub(super) fn runs_mut(&mut self) -> impl Iterator<Item = &mut Service> {
        self.first.values_mut().chain(self.second.values_mut())
    }

    /// Returns the keys of all services and second runs that fulfil a condition.
    pub(super) fn keys_where(&self, holds: impl Fn(&Service) -> bool) -> Vec<RunKey> {
        self.runs().filter(|service| holds(service)).map(Service::key).collect()
    }

    /// Returns the runs of a service, of which there are at most two, to change them.
    pub(super) fn of_name_mut(&mut self, name: &Name) -> impl Iterator<Item = &mut Service> {
        self.second.get_mut(name).into_iter().chain(self.first.get_mut(name))
    }
}

impl Service {
    /// Returns its key among all services.
    pub(super) fn key(&self) -> RunKey {
        RunKey { name: self.name.clone(), second: self.is_second() }
    }
}

impl Index<&Name> for Services {
    type Output = Service;

    fn index(&self, name: &Name) -> &Service {
        &self.first[name]
    }
}
