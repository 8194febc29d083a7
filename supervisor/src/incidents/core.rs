//! Which incidents are open, and what opens and closes them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use proto::Name;

use super::file::IncidentFile;
use super::incident::wall;
use super::outages::Outages;
use super::{Cause, CauseKind, HealedBy, Incident};

/// How much earlier than its dependency a service may have been seen to be bad, in milliseconds, for the dependency to
/// explain it: their checks run at different moments.
const EARLIER: u64 = 5_000;

/// Something that matters to incidents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// The first evidence that the service does not serve.
    Fault {
        /// The kind of evidence.
        kind: CauseKind,
        /// The evidence, for people.
        text: String,
        /// When that was, in milliseconds since the epoch.
        began: u64,
    },
    /// The supervisor did something about it.
    Acted,
    /// A person did something about it.
    Person,
    /// This run was started.
    Started(u64),
    /// What the run was doing when it was judged.
    Evidence(String),
    /// It serves: a run became ready, or every check passes again.
    Serves,
    /// It is not to serve any more.
    Unwanted,
}

impl Happening {
    /// Returns the first evidence, which there has been for this time.
    pub fn fault(kind: CauseKind, text: String, for_: std::time::Duration) -> Self {
        let since = u64::try_from(for_.as_millis()).unwrap_or(0);
        Self::Fault { kind, text, began: wall().saturating_sub(since) }
    }
}

/// Something that happened to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// The service that it happened to.
    pub service: Name,
    /// The run that it happened to; 0 if there was none.
    pub run: u64,
    /// The event in the journal that led to it; 0 for none.
    pub event: u64,
    /// When it happened, in milliseconds since the epoch.
    pub at: u64,
    /// What happened to it.
    pub what: Happening,
}

/// An incident that was opened or closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was opened.
    Opened(Incident),
    /// It was closed.
    Closed(Incident),
}

/// The open incidents, one for a service at most, and the file of all.
#[derive(Debug)]
pub struct Incidents {
    open: BTreeMap<Name, Incident>,
    waiting: Vec<Occurrence>,
    outages: Outages,
    file: IncidentFile,
}

impl Incidents {
    /// Continues with the incidents in a folder.
    pub fn open(folder: &Path) -> Self {
        let (file, incidents) = IncidentFile::open(folder);
        let (mut open, mut outages) = (BTreeMap::new(), Outages::default());
        for incident in incidents {
            if let Ok(name) = Name::new(&incident.service)
                && incident.is_open()
            {
                open.insert(name, incident);
            } else {
                outages.add(&incident);
            }
        }
        Self { open, waiting: Vec::new(), outages, file }
    }

    /// Notes that something happened; it is handled when the manager's turn is over.
    pub fn note(&mut self, service: &Name, run: u64, event: u64, what: Happening) {
        self.waiting.push(Occurrence { service: service.clone(), run, event, at: wall(), what });
    }

    /// Returns what was noted, in order.
    pub fn take_notes(&mut self) -> Vec<Occurrence> {
        std::mem::take(&mut self.waiting)
    }

    /// Returns the open incident of a service.
    pub fn of(&self, service: &Name) -> Option<&Incident> {
        self.open.get(service)
    }

    /// Returns every open incident.
    pub fn all_open(&self) -> impl Iterator<Item = (&Name, &Incident)> {
        self.open.iter()
    }

    /// Returns how available services were.
    pub fn outages(&self) -> &Outages {
        &self.outages
    }

    /// Handles an occurrence. `id` is the number of the next event, which opens an incident. `needs` returns what a
    /// service depends on.
    pub fn handle(
        &mut self,
        occurrence: Occurrence,
        id: u64,
        needs: &dyn Fn(&Name) -> Vec<Name>,
    ) -> Option<Change> {
        let Occurrence { service, run, at, what, .. } = occurrence;
        if let Happening::Fault { kind, text, began } = what {
            if self.open.contains_key(&service) {
                return None;
            }
            let incident = Incident {
                id,
                service: service.to_string(),
                began: began.min(at),
                noticed: at,
                acted: None,
                healed: None,
                cause: Cause { kind, text, incident: None, host: false, explains: false },
                first_run: run,
                last_run: run,
                restarts: 0,
                evidence: String::new(),
                healed_by: None,
                by_person: false,
            };
            self.open.insert(service.clone(), incident);
            self.explain(&service, needs);
            let incident = &self.open[&service];
            self.file.put(incident);
            return Some(Change::Opened(incident.clone()));
        }
        let incident = self.open.get_mut(&service)?;
        match what {
            Happening::Fault { .. } => {}
            Happening::Acted if incident.acted.is_some() => return None,
            Happening::Acted => incident.acted = Some(at),
            Happening::Person => {
                incident.acted.get_or_insert(at);
                incident.by_person = true;
            }
            Happening::Started(run) => {
                incident.acted.get_or_insert(at);
                incident.last_run = run;
                incident.restarts += 1;
            }
            Happening::Evidence(line) => incident.evidence = line,
            Happening::Serves => {
                let by = match (incident.by_person, incident.acted) {
                    (true, _) => HealedBy::Person,
                    (false, Some(_)) => HealedBy::Supervisor,
                    (false, None) => HealedBy::Itself,
                };
                return self.close(&service, at, by);
            }
            Happening::Unwanted => return self.close(&service, at, HealedBy::Person),
        }
        self.file.put(incident);
        None
    }

    /// Closes the incident of a service.
    fn close(&mut self, service: &Name, at: u64, by: HealedBy) -> Option<Change> {
        let mut incident = self.open.remove(service)?;
        incident.healed = Some(at.max(incident.began));
        incident.healed_by = Some(by);
        self.file.put(&incident);
        self.outages.add(&incident);
        Some(Change::Closed(incident))
    }

    /// Names a dependency's incident as the cause of a new one, and a new one as the cause of those that depend on it.
    fn explain(&mut self, service: &Name, needs: &dyn Fn(&Name) -> Vec<Name>) {
        let root = self.root_of(service, needs);
        let new = &self.open[service];
        let (id, began) = (new.id, new.began);
        if let Some(root) = root {
            self.blame(service, root);
            return;
        }
        let later = self.open.iter().filter(|(name, other)| {
            *name != service && other.cause.incident.is_none() && other.began + EARLIER >= began
        });
        let dependants: Vec<Name> = later
            .filter(|(name, _)| reaches(name, needs, &mut |on| on == service))
            .map(|(name, _)| name.clone())
            .collect();
        for name in dependants {
            self.blame(&name, id);
            self.file.put(&self.open[&name]);
        }
    }

    fn blame(&mut self, service: &Name, root: u64) {
        if let Some(incident) = self.open.get_mut(service) {
            incident.cause.incident = Some(root);
        }
        if let Some(root) =
            self.open.values_mut().find(|incident| incident.id == root && !incident.cause.explains)
        {
            root.cause.explains = true;
            self.file.put(root);
        }
    }

    /// Returns the incident of a dependency of a service, or what that one names as its cause.
    fn root_of(&self, service: &Name, needs: &dyn Fn(&Name) -> Vec<Name>) -> Option<u64> {
        let mut root = None;
        reaches(service, needs, &mut |on| {
            root = self.open.get(on).map(|incident| incident.cause.incident.unwrap_or(incident.id));
            root.is_some()
        });
        root
    }

    /// Suspects the host for the incidents that checks opened and about which nothing was done yet.
    pub fn suspect_host(&mut self) {
        for incident in self.open.values_mut() {
            let by_check = matches!(incident.cause.kind, CauseKind::Check(_));
            if by_check && incident.acted.is_none() && !incident.cause.host {
                incident.cause.host = true;
                self.file.put(incident);
            }
        }
    }

    /// Writes what has changed.
    pub fn flush(&mut self) {
        self.file.flush();
    }

    /// Begins the file again after it was deleted.
    pub fn write_again(&mut self) {
        self.file.write_again(self.open.values());
    }
}

/// Returns whether a service depends on one that fulfils a condition, at any depth; the nearest are asked first.
fn reaches(service: &Name, needs: &dyn Fn(&Name) -> Vec<Name>, is_it: &mut dyn FnMut(&Name) -> bool) -> bool {
    let mut seen = BTreeSet::from([service.clone()]);
    let mut next = VecDeque::from(needs(service));
    while let Some(name) = next.pop_front() {
        if is_it(&name) {
            return true;
        }
        if seen.insert(name.clone()) {
            next.extend(needs(&name));
        }
    }
    false
}

#[cfg(test)]
pub(super) mod tests;
