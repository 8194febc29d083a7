//! Schedules the checks of a target. One task per target: waits, checks within the time-out, counts,
//! reports the result.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::board::View;
use super::flip::{Flip, Seen, State};
use super::probe::{Check, Verdict};
use super::self_check::{Mark, SelfCheck, too_late, within};
use super::target::Target;

/// First pause between two checks of a target that is starting.
const FAST: Duration = Duration::from_millis(250);
/// Minimum time between two checks, whatever happens.
const BREATH: Duration = Duration::from_millis(250);
/// After a gap, targets are checked again within this time.
const SOON: Duration = Duration::from_secs(1);

/// A caller that waits for the result of a check.
pub(super) type Waiter = oneshot::Sender<Arc<View>>;

/// What a target's task sends to the registry.
#[derive(Debug)]
pub(super) struct Told {
    /// Identifies the task: messages of a replaced target may still arrive.
    pub(super) epoch: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A check that counts has ended.
    Checked { begun: Instant, view: Arc<View>, news: bool },
    /// The last measurement is not trustworthy.
    Blind { reason: String },
}

/// Computes the time to the next check. Pure except for its random numbers.
#[derive(Debug)]
pub(super) struct Pace {
    fast: Duration,
    dice: fastrand::Rng,
}

impl Pace {
    pub(super) fn new(dice: fastrand::Rng) -> Self {
        Self { fast: FAST, dice }
    }

    /// Returns the time to the first check: a random phase, so that many targets are not checked at once.
    fn first(&mut self, target: &Target) -> Duration {
        if target.starting { Duration::ZERO } else { target.interval.mul_f64(self.dice.f64()) }
    }

    /// Returns the time from the beginning of one check to the next.
    fn next(&mut self, target: &Target, failed: bool) -> Duration {
        if target.starting {
            let pause = self.fast.min(target.interval);
            self.fast = (self.fast * 2).min(target.interval);
            return pause;
        }
        let pause = if failed { target.retry_interval } else { target.interval };
        pause.mul_f64(0.95 + 0.1 * self.dice.f64())
    }

    /// Returns the new time to the next check if a change of the target moves it.
    fn changed(&mut self, before: &Target, after: &Target) -> Option<Duration> {
        if before.starting == after.starting {
            return None;
        }
        self.fast = FAST;
        Some(self.first(after))
    }

    fn soon(&mut self, target: &Target) -> Duration {
        SOON.min(target.interval).mul_f64(self.dice.f64())
    }
}

/// Task state of one watched target.
#[derive(Debug)]
pub(super) struct Watch<C> {
    pub(super) epoch: u64,
    pub(super) target: watch::Receiver<Arc<Target>>,
    pub(super) check: C,
    pub(super) flip: Flip,
    pub(super) pace: Pace,
    /// Requests for a check now.
    pub(super) orders: mpsc::Receiver<Waiter>,
    pub(super) told: mpsc::Sender<Told>,
    pub(super) doubt: SelfCheck,
}

/// Why a target's task woke up.
enum Woken {
    Changed,
    Order(Waiter),
    Due,
    News,
    Dropped,
}

/// Outcome of one check.
enum Looked {
    Saw(Verdict),
    /// This process was stopped: the counters of all targets are invalid.
    Away(String),
    /// This check says nothing about its target, nor do others.
    Blind(String),
    /// This check says nothing about its target; others may.
    Hindered(Verdict),
}

impl<C: Check> Watch<C> {
    /// Checks until the registry drops the task.
    pub(super) async fn run(mut self) {
        let mut target = Arc::clone(&self.target.borrow_and_update());
        let mut waiting: Vec<Waiter> = Vec::new();
        let mut asks = 0;
        let mut due = Instant::now() + self.pace.first(&target);
        let mut gaps = self.doubt.gaps();
        let mut last = None;
        loop {
            let mark = Mark::now();
            let in_time = due.saturating_duration_since(mark.at);
            let woken = self.wake(due).await;
            let only_moved = matches!(woken, Woken::Changed | Woken::News);
            match woken {
                Woken::Dropped => return,
                Woken::Order(waiter) => waiting.push(waiter),
                Woken::Changed => {
                    let newer = Arc::clone(&self.target.borrow_and_update());
                    if let Some(wait) = self.pace.changed(&target, &newer) {
                        due = Instant::now() + wait;
                    }
                    target = newer;
                }
                Woken::News => due = due.min(last.map_or_else(Instant::now, |last| last + BREATH)),
                Woken::Due => {}
            }
            if let Some(reason) = mark.gap(in_time) {
                self.away(reason).await;
                due = Instant::now() + self.pace.soon(&target);
                continue;
            }
            if only_moved {
                continue;
            }
            if gaps != self.doubt.gaps() {
                // Another target noticed that this process had been stopped.
                gaps = self.doubt.gaps();
                self.flip.forget();
            }

            let begun = Instant::now();
            last = Some(begun);
            let looked = self.look(&target).await;
            let ended = Instant::now();
            due = match looked {
                Looked::Saw(_) if gaps != self.doubt.gaps() => ended + self.pace.soon(&target),
                Looked::Saw(verdict) => {
                    let failed = !verdict.passing;
                    let Some(change) = self.flip.observe(begun, seen(&verdict)) else {
                        due = ended + self.pace.soon(&target);
                        continue;
                    };
                    if failed && self.flip.state() == State::Failing && !verdict.foreign {
                        asks += 1;
                    }
                    let latency = ended.duration_since(begun);
                    let every = self.pace.next(&target, failed);
                    let view = Arc::new(self.view(&target, verdict, (latency, every), ended, asks));
                    let news = change.is_news();
                    self.tell(What::Checked { begun, view: Arc::clone(&view), news }).await;
                    // Requests that arrived during the check also get its result.
                    while let Ok(waiter) = self.orders.try_recv() {
                        waiting.push(waiter);
                    }
                    for waiter in waiting.drain(..) {
                        let _ = waiter.send(Arc::clone(&view));
                    }
                    (begun + every).max(ended)
                }
                Looked::Hindered(verdict) => {
                    let news = self.flip.lose_sight();
                    let every = self.pace.next(&target, true);
                    let latency = ended.duration_since(begun);
                    let view = Arc::new(self.view(&target, verdict, (latency, every), ended, asks));
                    self.tell(What::Checked { begun, view: Arc::clone(&view), news }).await;
                    for waiter in waiting.drain(..) {
                        let _ = waiter.send(Arc::clone(&view));
                    }
                    (begun + every).max(ended)
                }
                Looked::Away(reason) => {
                    self.away(reason).await;
                    ended + self.pace.soon(&target)
                }
                Looked::Blind(reason) => {
                    self.flip.forget();
                    self.tell(What::Blind { reason }).await;
                    ended + self.pace.soon(&target)
                }
            };
        }
    }

    async fn wake(&mut self, due: Instant) -> Woken {
        tokio::select! {
            changed = self.target.changed() => if changed.is_ok() { Woken::Changed } else { Woken::Dropped },
            order = self.orders.recv() => order.map_or(Woken::Dropped, Woken::Order),
            () = sleep_until(due) => Woken::Due,
            () = self.check.news() => Woken::News,
        }
    }

    /// Checks the target once, and checks this process as well.
    async fn look(&mut self, target: &Target) -> Looked {
        let mark = Mark::now();
        let (verdict, late) = within(target.timeout, self.check.run(target)).await;
        let timed_out = verdict.is_none();
        let verdict = verdict.unwrap_or_else(|| Verdict::timed_out(target.timeout));
        if let Some(reason) = mark.gap(target.timeout) {
            return Looked::Away(reason);
        }
        if let Some(reason) = too_late(late, target.timeout).filter(|_| timed_out) {
            return Looked::Away(reason);
        }
        if let Some(reason) = &verdict.own_trouble {
            return Looked::Blind(reason.clone());
        }
        if verdict.hindered.is_some() {
            // Where this process's own network does not work either, that holds for all targets.
            let blind = self.doubt.own_network().await;
            return blind.map_or(Looked::Hindered(verdict), Looked::Blind);
        }
        // A foreign port is read from the system's table without using the network.
        if !verdict.passing
            && !verdict.foreign
            && let Some(reason) = self.doubt.own_network().await
        {
            return Looked::Blind(reason);
        }
        Looked::Saw(verdict)
    }

    /// Handles a gap: results from before it can not be added to later ones, for any target.
    async fn away(&mut self, reason: String) {
        self.doubt.was_away();
        self.flip.forget();
        self.tell(What::Blind { reason }).await;
    }

    async fn tell(&mut self, what: What) {
        // A send fails only if the registry is gone, and then this task is about to be dropped too.
        let _ = self.told.send(Told { epoch: self.epoch, what }).await;
    }

    fn view(
        &self,
        target: &Target,
        verdict: Verdict,
        (latency, every): (Duration, Duration),
        ended: Instant,
        asks: u64,
    ) -> View {
        View {
            key: target.key.clone(),
            incarnation: target.incarnation,
            state: self.flip.state(),
            failures: self.flip.failures(),
            runs: self.flip.runs(),
            latency,
            every,
            ended: Some(ended),
            verdict,
            asks,
        }
    }
}

fn seen(verdict: &Verdict) -> Seen {
    match verdict {
        Verdict { passing: true, .. } => Seen::Pass,
        // The owner of a port is read from the system's table, not inferred from an answer.
        Verdict { foreign: true, .. } => Seen::SurelyFail,
        _ => Seen::Fail,
    }
}
