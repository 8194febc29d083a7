//! A service: what is wanted of it, what it is doing, and what must be done next.
//!
//! | file | what it holds |
//! |---|---|
//! | here | the phases, and how a fact moves a unit from one to the next |
//! | `requests` | requests, and what they change at once |
//! | `hindrance` | a start that the supervisor could not try |
//! | `stage` | how a run is ended: evidence of what it was doing, the signal, the kill |
//! | `succession` | a run that replaces another run that is still alive |
//! | `view` | its state, and the words that describe it |

mod hindrance;
#[cfg(test)]
mod jobs;
mod requests;
mod stage;
mod succession;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod view;
#[cfg(test)]
mod walk;

use std::collections::BTreeMap;
use std::time::Duration;

use proto::Name;
use sereno_config::{GiveUp, Policy, RestartPolicy, Service};

use super::event::{Action, Answer, Fact, Note, Request, State, WhyEnd};
use super::policy::{self, Verdict};
use super::ready::{Progress, Readiness, ReadyRules};
use super::{BootInstant, Exit};
use hindrance::Hindrance;
pub use stage::EXAMINATION;
pub(crate) use stage::Stage;

/// The settings of a service that a unit needs.
#[derive(Debug, Clone)]
pub struct Rules {
    /// When and how often it is restarted.
    pub restart: RestartPolicy,
    /// When it counts as ready.
    pub ready: ReadyRules,
    /// How long it may take to end after the stop signal.
    pub stop_timeout: Duration,
    /// Whether it is a job: if wanted, it waits for its time.
    pub is_job: bool,
}

impl Rules {
    /// Returns the rules of a service.
    pub fn of(service: &Service) -> Self {
        Self {
            restart: service.restart.clone(),
            ready: ReadyRules::of(service),
            stop_timeout: service.stop.timeout,
            is_job: service.schedule.is_some(),
        }
    }
}

/// The state of a service, decided on without a clock or IO.
#[derive(Debug, Clone)]
pub struct Unit {
    pub(super) rules: Rules,
    pub(super) wanted: bool,
    pub(super) phase: Phase,
    /// Whether its dependencies hold.
    pub(super) gate: bool,
    /// The incarnation of the current or the last run.
    pub(super) incarnation: u64,
    /// The highest incarnation that was reserved for a run beside this unit's.
    pub(super) reserved: u64,
    pub(super) streak: u32,
    /// Spawns since the last reset.
    pub(super) starts: u64,
    pub(super) last_exit: Option<Exit>,
    /// Why the supervisor could not try the start that is due.
    pub(super) hindrance: Option<Hindrance>,
    /// Whether `ready_timeout` is suspended because a person paused the service.
    paused: bool,
    /// Whether each check's monitor is attached, for future runs.
    pub(super) watched: BTreeMap<Name, bool>,
    pub(super) chance: fastrand::Rng,
    notes: Vec<Note>,
}

/// What a unit is doing; each variant holds only what exists then.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// Nothing runs and nothing is due.
    Idle(Rest),
    /// Wanted: will be spawned at `at`, once its dependencies hold.
    Due { at: BootInstant },
    /// The spawn was handed out; a fact about it follows, perhaps much later.
    Spawning,
    /// A process runs.
    Alive(Readiness),
    /// The run must end.
    Stopping { run: Readiness, stage: Stage, end: WhyEnd },
    /// The leader has ended; the rest of its group was told to end too, and has until `kill_at`.
    Draining { last: Ended, kill_at: BootInstant, asked: bool },
    /// The processes that the run left behind are being ended.
    Sweeping { last: Ended, asked: bool },
}

/// The end of the run that left the processes that are being ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) end: WhyEnd,
    pub(super) exit: Exit,
    pub(super) at: BootInstant,
}

/// Why nothing runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rest {
    Stopped,
    /// A job that has not run yet.
    Armed,
    Completed,
    Failed(String),
}

impl Unit {
    /// Creates a service that has never run and is not wanted yet.
    pub fn new(rules: Rules, seed: u64) -> Self {
        Self {
            rules,
            wanted: false,
            phase: Phase::Idle(Rest::Stopped),
            gate: true,
            incarnation: 0,
            reserved: 0,
            streak: 0,
            starts: 0,
            last_exit: None,
            hindrance: None,
            paused: false,
            watched: BTreeMap::new(),
            chance: fastrand::Rng::with_seed(seed),
            notes: Vec::new(),
        }
    }

    /// Takes new settings over; the run continues.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Handles a request. Facts decide whether and when it is fulfilled.
    pub fn request(&mut self, now: BootInstant, request: Request) -> Answer {
        match request {
            Request::Start => self.start(now),
            Request::Arm => self.arm(now),
            Request::Stop => self.stop(),
            Request::Restart => self.restart(now),
            Request::Ask => self.end_run(WhyEnd::Asked),
            Request::Unburden => self.end_run(WhyEnd::Memory),
            Request::Overdue => self.end_run(WhyEnd::Overdue),
            Request::Reset => self.reset(now),
        }
    }

    /// Handles a fact. A fact that does not fit (a check of a run that has ended) is ignored.
    pub fn observe(&mut self, now: BootInstant, fact: Fact) {
        match fact {
            Fact::Spawned => self.spawned(now),
            Fact::SpawnFailed(reason) => self.spawn_failed(now, reason),
            Fact::Hindered(reason) => self.hindered(now, reason),
            Fact::NotTold => self.not_told(),
            Fact::Examining(time) => self.examined_until(now + time),
            Fact::Examined => self.examined(),
            Fact::Exited(exit) => self.exited(now, exit, WhyEnd::Exit),
            Fact::OutOfMemory(exit) => self.exited(now, exit, WhyEnd::Memory),
            Fact::Drained => self.drained(),
            Fact::Swept => self.swept(now),
            Fact::Gate(open) => self.gate = open,
            Fact::Paused(paused) => {
                self.paused = paused;
                self.run_mut(|run, rules| run.pause(rules, paused, now));
            }
            Fact::Watched(check, watched) => {
                if let Phase::Alive(run) = &mut self.phase {
                    run.watched(&self.rules.ready, &check, watched, now);
                }
                self.watched.insert(check, watched);
            }
            Fact::Notified => self.run_mut(super::ready::Readiness::notified),
            Fact::Logged => self.run_mut(super::ready::Readiness::logged),
            Fact::Check(check, fact) => self.run_mut(|run, rules| run.reported(rules, &check, fact, now)),
        }
    }

    /// Returns the next thing to do; call it until it returns `None`.
    pub fn poll(&mut self, now: BootInstant) -> Option<Action> {
        match &mut self.phase {
            Phase::Due { at } => {
                if !self.gate || *at > now {
                    return None;
                }
                self.phase = Phase::Spawning;
                self.incarnation = self.incarnation.max(self.reserved).saturating_add(1);
                self.starts += 1;
                Some(Action::Spawn(self.incarnation))
            }
            Phase::Alive(run) => {
                while let Some(progress) = run.advance(&self.rules.ready, now) {
                    self.notes.push(match progress {
                        Progress::Ready => Note::Ready(now.since(run.since())),
                        Progress::Stable => Note::Stable,
                    });
                    if progress == Progress::Stable {
                        self.streak = 0;
                    }
                }
                if !run.is_too_late(&self.rules.ready, now) {
                    return None;
                }
                let missing = run.waits_for(&self.rules.ready, now).join(", ");
                self.notes.push(Note::NotReady(missing));
                self.end_run(WhyEnd::NotReady);
                self.poll(now)
            }
            Phase::Stopping { stage, end, .. } => stage.next(*end, self.wanted, now, self.rules.stop_timeout),
            Phase::Draining { last, kill_at, .. } if *kill_at <= now => {
                self.phase = Phase::Sweeping { last: last.clone(), asked: false };
                self.poll(now)
            }
            Phase::Draining { asked, .. } if !*asked => {
                *asked = true;
                Some(Action::Drain)
            }
            Phase::Sweeping { asked, .. } if !*asked => {
                *asked = true;
                Some(Action::Sweep)
            }
            Phase::Idle(_) | Phase::Spawning | Phase::Draining { .. } | Phase::Sweeping { .. } => None,
        }
    }

    /// Returns when to poll again even if nothing happens.
    pub fn deadline(&self) -> Option<BootInstant> {
        match &self.phase {
            Phase::Due { at } => self.gate.then_some(*at),
            Phase::Alive(run) => run.deadline(&self.rules.ready),
            Phase::Stopping { stage, .. } => stage.deadline(),
            Phase::Draining { kill_at, .. } => Some(*kill_at),
            Phase::Idle(_) | Phase::Spawning | Phase::Sweeping { .. } => None,
        }
    }

    /// Returns the events to report since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    fn spawned(&mut self, now: BootInstant) {
        if matches!(self.phase, Phase::Spawning) {
            let mut run = Readiness::begin(&self.rules.ready, now, &self.watched);
            run.pause(&self.rules.ready, self.paused, now);
            self.phase = Phase::Alive(run);
            self.hindrance = None;
            // A stop that was requested meanwhile must not be forgotten.
            if !self.wanted {
                self.end_run(WhyEnd::Stop);
            }
        }
    }

    fn exited(&mut self, now: BootInstant, exit: Exit, by_itself: WhyEnd) {
        let (run, stage, end) = match std::mem::replace(&mut self.phase, Phase::Spawning) {
            Phase::Alive(run) => (run, None, by_itself),
            Phase::Stopping { run, stage, end } => (run, Some(stage), end),
            other => {
                self.phase = other;
                return;
            }
        };
        // A monitor's request spends the crash budget. A person's request does not, and memory is a separate cause.
        if !run.stable && !matches!(end, WhyEnd::Stop | WhyEnd::Restart | WhyEnd::Memory) {
            self.streak = self.streak.saturating_add(1);
        }
        self.last_exit = Some(exit.clone());
        let last = Ended { end, exit, at: now };
        self.phase = match stage {
            // The rest of its group was told to end as well, and has the same time.
            Some(Stage::Told { kill_at }) => Phase::Draining { last, kill_at, asked: false },
            _ => Phase::Sweeping { last, asked: false },
        };
    }

    fn drained(&mut self) {
        if let Phase::Draining { last, .. } = &self.phase {
            self.phase = Phase::Sweeping { last: last.clone(), asked: false };
        }
    }

    fn swept(&mut self, now: BootInstant) {
        if let Phase::Sweeping { last, .. } = &self.phase {
            let last = last.clone();
            self.conclude(now, last, true);
        }
    }

    /// Decides what comes next, now that nothing runs any more.
    fn conclude(&mut self, now: BootInstant, last: Ended, ran: bool) {
        let Ended { end, exit, at: ended } = last;
        if !self.wanted {
            self.phase = Phase::Idle(Rest::Stopped);
            return;
        }
        if matches!(end, WhyEnd::Stop | WhyEnd::Restart) {
            let waits = end == WhyEnd::Stop && self.rules.is_job;
            self.phase = if waits { Phase::Idle(Rest::Armed) } else { Phase::Due { at: now } };
            return;
        }
        if !ran {
            self.streak = self.streak.saturating_add(1);
            self.last_exit = Some(exit.clone());
        }
        let verdict = match end {
            WhyEnd::Exit => policy::verdict(&self.rules.restart, &exit),
            _ if self.rules.restart.policy == Policy::Never => Verdict::Failed,
            _ => Verdict::Again,
        };
        // A run that ended well, however soon, is no crash; nor is a job's run that is not tried again.
        if verdict == Verdict::Completed || verdict == Verdict::Failed && self.rules.is_job {
            self.streak = 0;
        }
        match verdict {
            Verdict::Completed => {
                self.notes.push(Note::Completed);
                self.phase = Phase::Idle(Rest::Completed);
            }
            Verdict::Failed if end == WhyEnd::Overdue => self.give_up(format!("not done in time: {exit}")),
            Verdict::Failed => self.give_up(exit.to_string()),
            Verdict::Again if self.streak > self.rules.restart.max => {
                let reason = format!("gave up after {} failed runs in a row: {exit}", self.streak);
                match self.rules.restart.give_up {
                    GiveUp::Stop => self.give_up(reason),
                    GiveUp::Retry { every } => {
                        self.notes.push(Note::Backoff(every, self.streak));
                        self.phase = Phase::Due { at: ended + every };
                    }
                }
            }
            Verdict::Again => {
                let chance = self.chance.f64().mul_add(2.0, -1.0);
                let wait = policy::wait(&self.rules.restart, self.streak, chance);
                if !wait.is_zero() {
                    self.notes.push(Note::Backoff(wait, self.streak));
                }
                self.phase = Phase::Due { at: ended + wait };
            }
        }
    }

    fn give_up(&mut self, reason: String) {
        self.notes.push(Note::GaveUp(reason.clone()));
        self.phase = Phase::Idle(Rest::Failed(reason));
    }

    fn run_mut(&mut self, change: impl FnOnce(&mut Readiness, &ReadyRules)) {
        if let Phase::Alive(run) = &mut self.phase {
            change(run, &self.rules.ready);
        }
    }
}
