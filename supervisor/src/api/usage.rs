//! CPU and memory of whole trees: sampled when asked for, at most once a second, and never on the manager's time.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::lifecycle::Moment;
use crate::os;
use crate::snapshot::{ServiceView, View};

/// What a service uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) cpu_percent: f64,
    pub(super) memory_bytes: u64,
}

struct Last {
    incarnation: u64,
    at: Moment,
    cpu_seconds: f64,
    /// Absent at the first: CPU is a difference.
    sample: Option<Sample>,
}

/// The last sample of every service.
#[derive(Default)]
pub(super) struct Sampler(Mutex<HashMap<String, Last>>);

impl Sampler {
    /// Samples who is due, and says what each uses.
    pub(super) fn sample(&self, view: &View) -> HashMap<String, Sample> {
        let mut all = self.0.lock().expect("nobody panics while holding it");
        let processes = view.monitors.iter().filter_map(|monitor| monitor.process.as_ref());
        let running: Vec<&ServiceView> =
            view.services.iter().chain(processes).filter(|view| view.pid != 0).collect();
        all.retain(|name, last| {
            running.iter().any(|view| view.name.as_str() == name && view.incarnation == last.incarnation)
        });
        for service in running {
            measure(&mut all, service);
        }
        all.iter().filter_map(|(name, last)| Some((name.clone(), last.sample?))).collect()
    }
}

fn measure(all: &mut HashMap<String, Last>, service: &ServiceView) {
    const AT_MOST_EVERY: Duration = Duration::from_secs(1);
    let now = os::now();
    let before = all.get(service.name.as_str());
    if before.is_some_and(|last| now.since(last.at) < AT_MOST_EVERY) {
        return;
    }
    let pids = match &service.cgroup {
        Some(cgroup) => cgroup.pids(),
        None => os::descendants(service.pid),
    };
    let (cpu_seconds, memory_bytes) = os::usage_of(&pids);
    let sample = before.map(|last| {
        let passed = now.since(last.at).as_secs_f64();
        // A child that ended took its time with it: less than before is no usage below zero.
        Sample { cpu_percent: 100.0 * (cpu_seconds - last.cpu_seconds).max(0.0) / passed, memory_bytes }
    });
    all.insert(
        service.name.to_string(),
        Last { incarnation: service.incarnation, at: now, cpu_seconds, sample },
    );
}
