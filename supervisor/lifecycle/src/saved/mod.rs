//! A unit written down and read back: what the next supervisor needs to continue.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sereno_config::Ready;

use super::ready::Readiness;
use super::unit::{Phase, Rest, Rules, Stage};
use super::{BootInstant, Exit, Unit, WhyEnd};

/// The written form. Fields may be added: a field that an older version did not write gets its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Whether it is wanted up.
    pub wanted: bool,
    /// The incarnation of the current or the last run.
    pub incarnation: u64,
    /// The highest incarnation that was reserved for a run beside it.
    #[serde(default)]
    pub reserved: u64,
    /// Runs in a row that ended before they were stable.
    pub streak: u32,
    /// Spawns since the last reset.
    pub starts: u64,
    /// How the last run ended.
    #[serde(default)]
    pub last_exit: Option<SavedExit>,
    /// What it was doing.
    pub phase: SavedPhase,
}

/// [`Exit`] in its written form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SavedExit {
    /// It exited with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(String),
    /// Its exit was not seen.
    Unknown,
    /// It could not be started.
    NotSpawned(String),
}

/// What a unit was doing; times are since boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum SavedPhase {
    /// It was not wanted.
    Stopped,
    /// It had ended well.
    Completed,
    /// It was given up.
    Failed {
        /// Why it was given up.
        reason: String,
    },
    /// It was about to be started.
    Due {
        /// When it was due.
        at: Duration,
    },
    /// Its process ran.
    Alive {
        /// When the run began.
        since: Duration,
        /// When it became ready, if it was.
        ready_at: Option<Duration>,
        /// Whether it had been stable.
        stable: bool,
    },
    /// Its process was told to end, or had ended and left processes to end.
    Ending {
        /// When the run began.
        since: Duration,
        /// Why the run ends.
        why: SavedEnd,
    },
}

/// [`WhyEnd`] in its written form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SavedEnd {
    /// It ended by itself.
    Exit,
    /// It was not wanted any more.
    Stop,
    /// A new run was wanted.
    Restart,
    /// A monitor asked for a restart.
    Asked,
    /// It was not ready in time.
    NotReady,
    /// It used more memory than it may.
    Memory,
}

impl SavedEnd {
    const WORDS: [(Self, &str); 6] = [
        (Self::Exit, "exit"),
        (Self::Stop, "stop"),
        (Self::Restart, "restart"),
        (Self::Asked, "asked"),
        (Self::NotReady, "not_ready"),
        (Self::Memory, "memory"),
    ];

    /// Returns its word in the write-ahead log.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(end, _)| *end == self).map_or("exit", |(_, word)| word)
    }

    /// Returns the end that a word stands for.
    pub fn of_word(text: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, word)| *word == text).map(|(end, _)| *end)
    }
}

impl Saved {
    /// Returns the state to assume for a service of which only a running process is known: the state is lost, and it
    /// was wanted.
    pub fn unknown() -> Self {
        Self {
            wanted: true,
            incarnation: 0,
            reserved: 0,
            streak: 0,
            starts: 1,
            last_exit: None,
            phase: SavedPhase::Due { at: Duration::ZERO },
        }
    }
}

impl Unit {
    /// Returns its written form.
    pub fn save(&self) -> Saved {
        let phase = match &self.phase {
            // An armed unit differs from a stopped one by `wanted`: older versions know no other form.
            Phase::Idle(Rest::Stopped | Rest::Armed) => SavedPhase::Stopped,
            Phase::Idle(Rest::Completed) => SavedPhase::Completed,
            Phase::Idle(Rest::Failed(reason)) => SavedPhase::Failed { reason: reason.clone() },
            Phase::Due { at } => SavedPhase::Due { at: at.elapsed() },
            // The write-ahead log and the running processes tell whether the spawn happened.
            Phase::Spawning => SavedPhase::Due { at: Duration::ZERO },
            Phase::Alive(run) => SavedPhase::Alive {
                since: run.since().elapsed(),
                ready_at: run.ready_at.map(BootInstant::elapsed),
                stable: run.stable,
            },
            Phase::Stopping { run, end, .. } => {
                SavedPhase::Ending { since: run.since().elapsed(), why: (*end).into() }
            }
            Phase::Draining { last, .. } | Phase::Sweeping { last, .. } => {
                SavedPhase::Ending { since: last.at.elapsed(), why: last.end.into() }
            }
        };
        // A run that has not begun is counted when it is tried again, under the same number. If it begins after this, the
        // write-ahead log says so.
        let to_come = u64::from(matches!(self.phase, Phase::Spawning));
        Saved {
            wanted: self.wanted,
            incarnation: self.incarnation.saturating_sub(to_come),
            reserved: self.reserved,
            streak: self.streak,
            starts: self.starts.saturating_sub(to_come),
            last_exit: self.last_exit.clone().map(Into::into),
            phase,
        }
    }

    /// Restores a unit. `runs` means that its process was found alive, so that the run continues; else the run counts
    /// as ended, and the next poll sweeps what it left behind.
    pub fn restore(rules: Rules, saved: &Saved, runs: bool, now: BootInstant, seed: u64) -> Self {
        let mut unit = Self::new(rules, seed);
        unit.wanted = saved.wanted;
        unit.incarnation = saved.incarnation;
        unit.reserved = saved.reserved;
        unit.streak = saved.streak;
        unit.starts = saved.starts;
        unit.last_exit = saved.last_exit.clone().map(Into::into);
        unit.phase = match &saved.phase {
            SavedPhase::Stopped if unit.wanted && unit.rules.is_job => Phase::Idle(Rest::Armed),
            SavedPhase::Stopped => Phase::Idle(Rest::Stopped),
            SavedPhase::Completed => Phase::Idle(Rest::Completed),
            SavedPhase::Failed { reason } => Phase::Idle(Rest::Failed(reason.clone())),
            SavedPhase::Due { at } => Phase::Due { at: BootInstant::since_boot(*at) },
            SavedPhase::Alive { since, ready_at, stable } => {
                let mut run = Readiness::begin(&unit.rules.ready, now, &unit.watched);
                run.began(BootInstant::since_boot(*since));
                run.ready_at = ready_at.map(BootInstant::since_boot);
                run.stable = *stable;
                Phase::Alive(run)
            }
            SavedPhase::Ending { since, why } => {
                let mut run = Readiness::begin(&unit.rules.ready, now, &unit.watched);
                run.began(BootInstant::since_boot(*since));
                Phase::Stopping { run, stage: Stage::Untold, end: (*why).into() }
            }
        };
        match (runs, &unit.phase) {
            // It was spawned, and the supervisor was killed before it wrote that down.
            (true, Phase::Idle(_) | Phase::Due { .. }) => {
                let run = Readiness::begin(&unit.rules.ready, now, &unit.watched);
                unit.phase = Phase::Alive(run);
                if !unit.wanted {
                    unit.end_run(WhyEnd::Stop);
                }
            }
            (false, Phase::Alive(_) | Phase::Stopping { .. }) => {
                unit.observe(now, super::Fact::Exited(Exit::Unknown));
            }
            _ => {}
        }
        unit
    }

    /// Sets the known readiness of an adopted run. If only the earlier supervisor could have received its readiness,
    /// the run counts as ready: a healthy service must not be ended because its message was lost.
    pub fn was_ready(&mut self, at: Option<BootInstant>) {
        let rules = &self.rules.ready;
        if let Phase::Alive(run) = &mut self.phase
            && run.ready_at.is_none()
        {
            let unheard = !rules.conditions.iter().any(|condition| matches!(condition, Ready::Check(_)));
            run.ready_at = at.or_else(|| unheard.then(|| run.since()));
        }
    }

    /// Returns the unit after a reboot: nothing runs, and wanted services are wanted again.
    pub fn after_boot(rules: Rules, saved: &Saved, now: BootInstant, seed: u64) -> Self {
        let mut unit = Self::new(rules, seed);
        unit.wanted = saved.wanted;
        unit.incarnation = saved.incarnation;
        unit.last_exit = saved.last_exit.clone().map(Into::into);
        unit.phase = match &saved.phase {
            SavedPhase::Failed { reason } if saved.wanted => Phase::Idle(Rest::Failed(reason.clone())),
            // Its schedule decides and not the boot; a run at that time did not finish.
            SavedPhase::Stopped if saved.wanted && unit.rules.is_job => Phase::Idle(Rest::Armed),
            SavedPhase::Completed if saved.wanted && unit.rules.is_job => Phase::Idle(Rest::Completed),
            SavedPhase::Alive { .. } | SavedPhase::Ending { .. } if saved.wanted && unit.rules.is_job => {
                Phase::Idle(Rest::Failed("the host went down".into()))
            }
            _ if saved.wanted => Phase::Due { at: now },
            _ => Phase::Idle(Rest::Stopped),
        };
        unit
    }
}

impl From<Exit> for SavedExit {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal(signal) => Self::Signal(signal),
            Exit::Unknown => Self::Unknown,
            Exit::NotSpawned(reason) => Self::NotSpawned(reason),
        }
    }
}

impl From<SavedExit> for Exit {
    fn from(exit: SavedExit) -> Self {
        match exit {
            SavedExit::Code(code) => Self::Code(code),
            SavedExit::Signal(signal) => Self::Signal(signal),
            SavedExit::Unknown => Self::Unknown,
            SavedExit::NotSpawned(reason) => Self::NotSpawned(reason),
        }
    }
}

impl From<WhyEnd> for SavedEnd {
    fn from(end: WhyEnd) -> Self {
        match end {
            WhyEnd::Exit => Self::Exit,
            WhyEnd::Stop => Self::Stop,
            WhyEnd::Restart => Self::Restart,
            WhyEnd::Asked => Self::Asked,
            // Older versions do not know this word; to them, too, the run failed.
            WhyEnd::NotReady | WhyEnd::Overdue => Self::NotReady,
            WhyEnd::Memory => Self::Memory,
        }
    }
}

impl From<SavedEnd> for WhyEnd {
    fn from(end: SavedEnd) -> Self {
        match end {
            SavedEnd::Exit => Self::Exit,
            SavedEnd::Stop => Self::Stop,
            SavedEnd::Restart => Self::Restart,
            SavedEnd::Asked => Self::Asked,
            SavedEnd::NotReady => Self::NotReady,
            SavedEnd::Memory => Self::Memory,
        }
    }
}
