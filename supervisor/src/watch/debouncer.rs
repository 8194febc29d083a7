//! Merges changes in quick succession: an editor writes a file three times, a `git pull` hundreds of files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use proto::Name;

use crate::lifecycle::BootInstant;

/// The changes to report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The first changed path, as it is shown.
    pub first: String,
    /// How many other paths changed.
    pub others: usize,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.others {
            0 => write!(f, "changed: {}", self.first),
            others => write!(f, "changed: {} and {others} more", self.first),
        }
    }
}

/// Services with changing files.
#[derive(Debug, Default)]
pub struct Debouncer {
    busy: BTreeMap<Name, Burst>,
}

/// Changes in quick succession.
#[derive(Debug)]
struct Burst {
    first: String,
    others: BTreeSet<String>,
    /// When it becomes quiet, if no more changes come.
    quiet_at: BootInstant,
    /// When it is reported although it is not quiet.
    latest: BootInstant,
}

/// Changes that do not stop are reported after this many quiet times.
const PATIENCE: u32 = 10;

/// The most names that are counted.
const MOST: usize = 1_000;

impl Debouncer {
    /// Records a change of a service's file.
    pub fn saw(&mut self, service: &Name, path: String, debounce: Duration, now: BootInstant) {
        if let Some(burst) = self.busy.get_mut(service) {
            burst.quiet_at = now + debounce;
            if path != burst.first && burst.others.len() < MOST {
                burst.others.insert(path);
            }
            return;
        }
        let (quiet_at, latest) = (now + debounce, now + debounce * PATIENCE);
        let burst = Burst { first: path, others: BTreeSet::new(), quiet_at, latest };
        self.busy.insert(service.clone(), burst);
    }

    /// Returns when to look again.
    pub fn deadline(&self) -> Option<BootInstant> {
        self.busy.values().map(Burst::end).min()
    }

    /// Takes the services with files that are quiet by now.
    pub fn take_quiet(&mut self, now: BootInstant) -> Vec<(Name, Changed)> {
        let quiet: Vec<Name> =
            self.busy.iter().filter(|(_, burst)| burst.end() <= now).map(|(name, _)| name.clone()).collect();
        let take = |name: Name| {
            let burst = self.busy.remove(&name)?;
            Some((name, Changed { first: burst.first, others: burst.others.len() }))
        };
        quiet.into_iter().filter_map(take).collect()
    }

    /// Forgets services that are no longer watched.
    pub fn keep_only(&mut self, wanted: impl Fn(&Name) -> bool) {
        self.busy.retain(|name, _| wanted(name));
    }
}

impl Burst {
    fn end(&self) -> BootInstant {
        self.quiet_at.min(self.latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBOUNCE: Duration = Duration::from_millis(500);

    #[test]
    fn changes_in_a_row_are_told_once_when_it_is_quiet() {
        let (mut calm, web, start) = (
            Debouncer::default(),
            Name::new("web").expect("a name"),
            BootInstant::since_boot(Duration::from_secs(9)),
        );
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(calm.deadline(), None);
        for (at, path) in [(0, "a.py"), (300, "b.py"), (310, "a.py"), (320, "b.py")] {
            calm.saw(&web, path.into(), DEBOUNCE, after(at));
        }
        assert_eq!(calm.deadline(), Some(after(820)));
        assert_eq!(calm.take_quiet(after(819)), []);
        let changed = Changed { first: "a.py".into(), others: 1 };
        assert_eq!(changed.to_string(), "changed: a.py and 1 more");
        assert_eq!(calm.take_quiet(after(820)), [(web.clone(), changed)]);
        assert_eq!((calm.take_quiet(after(9_000)), calm.deadline()), (vec![], None));
    }

    #[test]
    fn what_never_is_quiet_is_taken_all_the_same() {
        let (mut calm, web, start) = (
            Debouncer::default(),
            Name::new("web").expect("a name"),
            BootInstant::since_boot(Duration::from_secs(9)),
        );
        let mut told = 0;
        for step in 0..100_u32 {
            let now = start + step * Duration::from_millis(100);
            told += calm.take_quiet(now).len();
            calm.saw(&web, format!("{step}"), DEBOUNCE, now);
        }
        assert_eq!(told, 1, "after five seconds, and not again before ten");
    }
}
