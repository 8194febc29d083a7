//! The visible side of a unit: its state and the words that describe it.

use super::super::ready::Mark;
use super::{BootInstant, Exit, Name, Phase, Rest, Stage, State, Unit, WhyEnd};
use std::collections::BTreeMap;
use std::time::Duration;

impl Unit {
    /// Returns whether it is wanted up.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Returns what it is doing.
    pub fn state(&self, now: BootInstant) -> State {
        match &self.phase {
            Phase::Idle(Rest::Stopped) => State::Stopped,
            Phase::Idle(Rest::Armed | Rest::Completed) => State::Completed,
            Phase::Idle(Rest::Failed(_)) => State::Failed,
            Phase::Due { at } if *at > now => State::Backoff,
            Phase::Due { .. } if !self.gate => State::Waiting,
            Phase::Alive(run) if run.ready_at.is_some() => State::Running,
            Phase::Due { .. } | Phase::Spawning | Phase::Alive(_) => State::Starting,
            Phase::Stopping { .. } | Phase::Draining { .. } | Phase::Sweeping { .. } => State::Stopping,
        }
    }

    /// Returns a value that changes whenever its visible state changes.
    pub fn fingerprint(&self, now: BootInstant) -> (State, u64, u32) {
        (self.state(now), self.incarnation, self.streak)
    }

    /// Returns why it is not simply running or stopped. A missing dependency is not known here.
    pub fn reason(&self, now: BootInstant) -> Option<String> {
        match &self.phase {
            Phase::Idle(Rest::Failed(reason)) => Some(reason.clone()),
            Phase::Idle(Rest::Armed) => Some("has not run yet".into()),
            Phase::Due { at } if *at > now => {
                if let Some(hindrance) = &self.hindrance {
                    return Some(format!("could not start: {}", hindrance.reason));
                }
                let exit = self.last_exit.as_ref().map_or_else(String::new, ToString::to_string);
                Some(format!("streak {} of {}: {exit}", self.streak, self.rules.restart.max))
            }
            Phase::Alive(run) if run.ready_at.is_none() => {
                Some(format!("waits for {}", run.waits_for(&self.rules.ready, now).join(", ")))
            }
            Phase::Stopping { stage: Stage::Examining { .. }, .. } => {
                Some("evidence is taken before it is told to end".into())
            }
            Phase::Stopping { stage: Stage::Killed, .. } => {
                Some("killed; waits for its last process to go".into())
            }
            Phase::Draining { .. } => Some("waits for the rest of its group to go".into()),
            Phase::Sweeping { .. } => Some("ends what its last run left behind".into()),
            _ => None,
        }
    }

    /// Returns the incarnation of the current or the last run; 0 if it never ran.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Raises the incarnation to at least what an earlier supervisor used, so that it keeps growing.
    pub fn skip_incarnations(&mut self, used: u64) {
        self.incarnation = self.incarnation.max(used);
    }

    /// Returns the number of starts since the last reset, without the first.
    pub fn restarts(&self) -> u64 {
        self.starts.saturating_sub(1)
    }

    /// Returns the number of runs in a row that ended before they were stable.
    pub fn streak(&self) -> u32 {
        self.streak
    }

    /// Returns how the last run ended.
    pub fn last_exit(&self) -> Option<&Exit> {
        self.last_exit.as_ref()
    }

    /// Returns whether its process runs.
    pub fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Alive(_) | Phase::Stopping { .. })
    }

    /// Returns whether nothing of it runs and nothing of it is being ended.
    pub fn is_down(&self) -> bool {
        matches!(self.phase, Phase::Idle(_) | Phase::Due { .. })
    }

    /// Returns whether it ran and ended well.
    pub fn is_completed(&self) -> bool {
        matches!(self.phase, Phase::Idle(Rest::Completed))
    }

    /// Returns whether it is a job that waits for its first run.
    pub fn is_armed(&self) -> bool {
        matches!(self.phase, Phase::Idle(Rest::Armed))
    }

    /// Returns whether it was given up.
    pub fn is_failed(&self) -> bool {
        matches!(self.phase, Phase::Idle(Rest::Failed(_)))
    }

    /// Returns whether its process is ready.
    pub fn is_ready(&self) -> bool {
        matches!(&self.phase, Phase::Alive(run) if run.ready_at.is_some())
    }

    /// Returns when its process became ready.
    pub fn ready_at(&self) -> Option<BootInstant> {
        match &self.phase {
            Phase::Alive(run) => run.ready_at,
            _ => None,
        }
    }

    /// Returns whether its process was spawned and was not told to end.
    pub fn is_started(&self) -> bool {
        matches!(self.phase, Phase::Alive(_))
    }

    /// Returns why the current run is ending, if it is.
    pub fn ends_because(&self) -> Option<WhyEnd> {
        match &self.phase {
            Phase::Stopping { end, .. } => Some(*end),
            Phase::Draining { last, .. } | Phase::Sweeping { last, .. } => Some(last.end),
            _ => None,
        }
    }

    /// Returns how long the current run has been up.
    pub fn uptime(&self, now: BootInstant) -> Option<Duration> {
        match &self.phase {
            Phase::Alive(run) | Phase::Stopping { run, .. } => Some(now.since(run.since())),
            _ => None,
        }
    }

    /// Returns when the current run began.
    pub fn began(&self) -> Option<BootInstant> {
        match &self.phase {
            Phase::Alive(run) | Phase::Stopping { run, .. } => Some(run.since()),
            _ => None,
        }
    }

    /// Returns the time until the next start, if a start is due at a known time.
    pub fn next_start(&self, now: BootInstant) -> Option<Duration> {
        match &self.phase {
            Phase::Due { at } if *at > now => Some(at.since(now)),
            _ => None,
        }
    }

    /// Returns the time until it is killed, if it was told to end.
    pub fn kill_in(&self, now: BootInstant) -> Option<Duration> {
        match &self.phase {
            Phase::Stopping { stage: Stage::Told { kill_at }, .. } | Phase::Draining { kill_at, .. } => {
                Some(kill_at.since(now))
            }
            _ => None,
        }
    }

    /// Returns the facts about its checks in the current run.
    pub fn marks(&self) -> Option<&BTreeMap<Name, Mark>> {
        match &self.phase {
            Phase::Alive(run) => Some(&run.marks),
            _ => None,
        }
    }
}
