//! What a run may use, and when it counts as frozen: only for services that configure it, and never on a hot path.

use std::sync::Arc;
use std::time::Duration;

use sereno_config::OnFailure;

use super::{Service, World};
use crate::lifecycle::watchdog::{self, Watch};
use crate::lifecycle::{BootInstant, Exit, Fact};
use crate::os::{self, Cgroup, Look};

/// How often memory is measured where the kernel does not enforce the limit.
const MEMORY_EVERY: Duration = Duration::from_secs(5);

/// What is watched of a run.
#[derive(Debug)]
pub struct Limits {
    /// When it is looked at next; set to the look after that as soon as a look begins.
    pub next: BootInstant,
    every: Duration,
    /// Whether `memory_max` must be measured because the kernel does not enforce it.
    memory: bool,
    /// The watchdog's observations, if it is configured.
    pub watch: Option<Watch>,
    /// Why it counts as frozen, if that has been reported.
    pub frozen: Option<String>,
}

/// A run that another thread will look at.
#[derive(Debug)]
pub struct ToLookAt {
    leader: u32,
    cgroup: Option<Arc<Cgroup>>,
    stuck: bool,
}

impl ToLookAt {
    /// Looks at the run's processes.
    pub fn look(&self) -> Look {
        os::look(self.leader, self.cgroup.as_deref(), self.stuck)
    }
}

impl Limits {
    /// Returns what to watch of a run from now on; `None` if there is nothing to watch.
    fn of(spec: &sereno_config::Service, held_by_kernel: bool, now: BootInstant) -> Option<Self> {
        let memory = spec.memory_max.is_some() && !held_by_kernel;
        let pace = spec.watchdog.as_ref().map(watchdog::pace);
        let every = [memory.then_some(MEMORY_EVERY), pace].into_iter().flatten().min()?;
        let watch = spec.watchdog.as_ref().map(|_| Watch::begin(now));
        Some(Self { next: now + every, every, memory, watch, frozen: None })
    }
}

/// What a look has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It uses more memory than it may, in words.
    Memory(String),
    /// It is frozen, with the reason.
    Frozen(String),
    /// It was frozen and is not any more.
    Thawed,
}

impl Service {
    /// Sets the limits that the kernel enforces. Must be called before the run begins.
    pub(super) fn set_kernel_limits(&self, world: &World) {
        if let (Some(cgroup), Some(cgroups)) = (&self.processes.cgroup, &world.cgroups) {
            // Earlier kills in this cgroup do not belong to this run.
            cgroup.ooms();
            cgroups.limit_memory(cgroup, self.spec.memory_max);
        }
    }

    /// Begins to watch the current run, as its settings say.
    pub fn watch_limits(&mut self, world: &World) {
        let adopted = self.processes.run.as_ref().filter(|run| run.adopted && !run.process.has_exited());
        if let (Some(cgroup), Some(_)) = (&self.processes.cgroup, adopted) {
            // An earlier run's OOM kills in this cgroup say nothing about this run.
            cgroup.ooms();
        }
        let held = match (&self.processes.cgroup, &world.cgroups) {
            (Some(cgroup), Some(cgroups)) if self.processes.run.is_some() => {
                cgroups.limit_memory(cgroup, self.spec.memory_max)
            }
            _ => false,
        };
        os::hold_memory(&world.instance, self.name.as_str(), self.spec.memory_max);
        self.processes.limits =
            self.processes.run.as_ref().and_then(|_| Limits::of(&self.spec, held, os::now()));
    }

    /// Returns the run to look at, if a look is due, and sets the time of the next look.
    pub fn due_to_be_looked_at(&mut self, now: BootInstant) -> Option<ToLookAt> {
        let leader = self.processes.pid();
        let limits = self.processes.limits.as_mut().filter(|limits| limits.next <= now)?;
        limits.next = now + limits.every;
        Some(ToLookAt { leader, cgroup: self.processes.cgroup.clone(), stuck: limits.watch.is_some() })
    }

    /// Handles the result of a look. `evidence` is what shows that work is waiting for the service.
    pub fn looked_at(&mut self, look: &Look, evidence: Option<&str>, now: BootInstant) -> Option<Finding> {
        let limits = self.processes.limits.as_mut()?;
        if let Some(most) = self.spec.memory_max.filter(|most| limits.memory && look.memory > *most) {
            return Some(Finding::Memory(format!(
                "memory {} over memory_max {}",
                size(look.memory),
                size(most)
            )));
        }
        let (rules, watch) = (self.spec.watchdog.as_ref()?, limits.watch.as_mut()?);
        if !self.unit.is_ready() || self.health.said.stopping {
            *watch = Watch::begin(now);
            return None;
        }
        watch.looked(rules, look.used, now);
        let Some(reason) = watch.judge(rules, evidence) else {
            return limits.frozen.take().map(|_| Finding::Thawed);
        };
        let mut words = vec![reason];
        words.extend(look.stuck.iter().take(3).cloned());
        Some(Finding::Frozen(words.join("; ")))
    }

    /// Returns whether a frozen run is only reported.
    pub fn only_reports_freezes(&self) -> bool {
        self.spec.watchdog.as_ref().is_some_and(|watchdog| watchdog.action == OnFailure::Report)
    }

    /// Handles `WATCHDOG=1` from the run.
    pub fn said_alive(&mut self, now: BootInstant) {
        if let Some(watch) = self.processes.limits.as_mut().and_then(|limits| limits.watch.as_mut()) {
            watch.said(now);
        }
    }

    /// Returns how its leader ended, with what the kernel tells about memory, and the words for it.
    pub(super) fn end_of(&self, exit: Exit) -> (Fact, String) {
        let killed = matches!(&exit, Exit::Signal(name) if name == "SIGKILL");
        let cgroup = self.processes.cgroup.as_ref().filter(|_| killed && self.unit.ends_because().is_none());
        let ooms = cgroup.map(|cgroup| cgroup.ooms()).unwrap_or_default();
        let words = exit.to_string();
        match (ooms.killed, self.spec.memory_max) {
            (0, _) => (Fact::Exited(exit), words),
            (_, Some(most)) if ooms.at_limit => {
                (Fact::OutOfMemory(exit), format!("{words}: memory over memory_max {}", size(most)))
            }
            _ => (Fact::Exited(exit), format!("{words} by the kernel's OOM killer")),
        }
    }
}

/// Formats a size for people: `612 MB`.
fn size(bytes: u64) -> String {
    const MEGA: u64 = 1_000_000;
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let tenths = |unit: u64| bytes as f64 / unit as f64;
    match bytes / MEGA {
        0..10 => format!("{:.1} MB", tenths(MEGA)),
        10..10_000 => format!("{:.0} MB", tenths(MEGA)),
        _ => format!("{:.1} GB", tenths(1_000 * MEGA)),
    }
}

#[cfg(test)]
mod tests {
    use proto::Name;
    use sereno_config::Command;

    use super::super::Role;
    use super::*;

    #[test]
    fn what_the_kernel_killed_for_memory_is_told_from_a_crash() {
        let folder = tempfile::tempdir().expect("a folder");
        let events = |text: &str| std::fs::write(folder.path().join("memory.events"), text).expect("written");
        events("oom 0\noom_kill 0\n");
        // There is nothing to test on a system without cgroups.
        let Ok(cgroup) = Cgroup::open(folder.path().into()) else { return };
        let mut spec = sereno_config::Service::new(Command::Argv(vec!["web".into()]), "/".into());
        spec.memory_max = Some(500_000_000);
        let mut service = Service::new(Name::new("web").expect("a name"), Role::Service, spec, 1);
        service.processes.cgroup = Some(Arc::new(cgroup));
        let end = |signal: &str| {
            let (fact, words) = service.end_of(Exit::Signal(signal.into()));
            (matches!(fact, Fact::OutOfMemory(_)), words)
        };
        assert_eq!(end("SIGKILL"), (false, "SIGKILL".into()), "somebody's hand");
        events("oom 1\noom_kill 2\n");
        assert_eq!(end("SIGSEGV"), (false, "SIGSEGV".into()), "a crash of its own");
        assert_eq!(end("SIGKILL"), (true, "SIGKILL: memory over memory_max 500 MB".into()));
        events("oom 1\noom_kill 3\n");
        assert_eq!(end("SIGKILL"), (false, "SIGKILL by the kernel's OOM killer".into()), "the host's memory");
    }

    #[test]
    fn sizes_are_as_a_person_says_them() {
        let sizes = [1_500_000, 612_300_000, 9_999_400_000, 16_200_000_000].map(size);
        assert_eq!(sizes, ["1.5 MB", "612 MB", "9999 MB", "16.2 GB"]);
    }
}
