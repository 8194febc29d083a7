//! Checks continuously that no two runs of one service are alive.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{census, now};

/// A run that was killed may still be exiting; after this time it counts as alive.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(60);

/// Two runs of a service: name, older and newer incarnation.
type Pair = (String, u64, u64);

/// Checks until `over` is set; returns the errors found.
pub(super) fn watch(folder: &Path, over: &AtomicBool) -> Vec<String> {
    let mut since = BTreeMap::new();
    let mut wrong = Vec::new();
    while !over.load(Ordering::Acquire) {
        let seen = census::look(folder);
        let pairs = pairs(&census::by_run(&seen));
        for (name, older, newer) in overdue(&mut since, pairs, now()) {
            let who: Vec<_> =
                seen.iter().filter(|seen| seen.service == name).map(|s| (s.pid, s.incarnation)).collect();
            wrong.push(format!("{name}: runs {older} and {newer} live at once: {who:?} (pid, run)"));
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    wrong
}

fn pairs(runs: &BTreeMap<&str, BTreeMap<u64, Vec<u32>>>) -> Vec<Pair> {
    let of = |(name, runs): (&&str, &BTreeMap<u64, Vec<u32>>)| {
        let numbers: Vec<u64> = runs.keys().copied().collect();
        numbers.windows(2).map(|pair| ((*name).to_string(), pair[0], pair[1])).collect::<Vec<_>>()
    };
    runs.iter().flat_map(of).collect()
}

/// Remembers since when each pair exists, and returns those that have existed for too long, each only once.
fn overdue(since: &mut BTreeMap<Pair, Option<Instant>>, pairs: Vec<Pair>, now: Instant) -> Vec<Pair> {
    since.retain(|pair, _| pairs.contains(pair));
    let mut late = Vec::new();
    for pair in pairs {
        let began = since.entry(pair.clone()).or_insert(Some(now));
        if began.is_some_and(|began| now.duration_since(began) >= ON_ITS_WAY) {
            *began = None;
            late.push(pair);
        }
    }
    late
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_stays_is_wrong_and_only_once() {
        let (start, pair) = (now(), [("a".to_string(), 1, 2)]);
        let mut since = BTreeMap::new();
        let mut at = |millis, pairs: &[Pair]| {
            overdue(&mut since, pairs.to_vec(), start + Duration::from_millis(millis)).len()
        };
        assert_eq!(at(0, &pair), 0);
        assert_eq!(at(1_900, &[]), 0);
        assert_eq!(at(2_100, &pair), 0, "it had gone meanwhile");
        assert_eq!(at(4_200, &pair), 1);
        assert_eq!(at(9_000, &pair), 0);
    }

    #[test]
    fn runs_of_one_service_are_pairs() {
        let one = |runs: &[u64]| runs.iter().map(|run| (*run, vec![1])).collect::<BTreeMap<_, _>>();
        let runs = BTreeMap::from([("a", one(&[3])), ("b", one(&[1, 2, 5]))]);
        assert_eq!(pairs(&runs), [("b".into(), 1, 2), ("b".into(), 2, 5)]);
    }
}
