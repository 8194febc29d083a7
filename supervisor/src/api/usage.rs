//! CPU and memory of whole process trees: sampled when asked for, at most once a second, and never on the manager's
//! task.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::lifecycle::BootInstant;
use crate::os;
use crate::snapshot::{ServiceView, View};

/// What a service uses now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) cpu_percent: f64,
    pub(super) memory_bytes: u64,
}

/// What a service has used in total, and its current memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Total {
    /// CPU time of this run; never decreases.
    pub(crate) cpu_seconds: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) processes: usize,
}

struct Last {
    incarnation: u64,
    at: BootInstant,
    cpu_seconds: f64,
    total: Total,
    /// `None` at the first sample: CPU usage is a difference.
    sample: Option<Sample>,
}

/// The last sample of every service.
#[derive(Default)]
pub(crate) struct Sampler(Mutex<HashMap<String, Last>>);

impl Sampler {
    /// Samples the services that are due, and returns what each uses.
    pub(super) fn sample(&self, view: &View) -> HashMap<String, Sample> {
        let all = self.update(view);
        all.iter().filter_map(|(name, last)| Some((name.clone(), last.sample?))).collect()
    }

    /// Does the same and returns totals, available from the first sample on.
    pub(crate) fn totals(&self, view: &View) -> HashMap<String, Total> {
        self.update(view).iter().map(|(name, last)| (name.clone(), last.total)).collect()
    }

    fn update(&self, view: &View) -> MutexGuard<'_, HashMap<String, Last>> {
        let mut all = self.0.lock().expect("nobody panics while holding it");
        let running: Vec<&ServiceView> =
            view.services.iter().chain(view.daemons()).filter(|view| view.pid != 0).collect();
        let runs: HashMap<&str, u64> =
            running.iter().map(|view| (view.name.as_str(), view.incarnation)).collect();
        all.retain(|name, last| runs.get(name.as_str()) == Some(&last.incarnation));
        for service in running {
            measure(&mut all, service);
        }
        all
    }
}

fn measure(all: &mut HashMap<String, Last>, service: &ServiceView) {
    const AT_MOST_EVERY: Duration = Duration::from_secs(1);
    let now = os::now();
    let before = all.get(service.name.as_str());
    if before.is_some_and(|last| now.since(last.at) < AT_MOST_EVERY) {
        return;
    }
    let (processes, cpu_seconds, memory_bytes) = match service.cgroup.as_ref().map(|cgroup| cgroup.pids()) {
        Some(pids) => {
            let (cpu_seconds, memory_bytes) = os::usage_of(&pids);
            (pids.len(), cpu_seconds, memory_bytes)
        }
        None => os::usage_of_tree(service.pid),
    };
    let sample = before.map(|last| {
        let passed = now.since(last.at).as_secs_f64();
        // A child that ended takes its CPU time with it: the difference must not be negative.
        Sample { cpu_percent: 100.0 * (cpu_seconds - last.cpu_seconds).max(0.0) / passed, memory_bytes }
    });
    // Processes that ended take their CPU time with them: only increases count.
    let used =
        before.map_or(cpu_seconds, |last| last.total.cpu_seconds + (cpu_seconds - last.cpu_seconds).max(0.0));
    let total = Total { cpu_seconds: used, memory_bytes, processes };
    all.insert(
        service.name.to_string(),
        Last { incarnation: service.incarnation, at: now, cpu_seconds, total, sample },
    );
}
