//! When is a target checked? One task a target: wait, check within the time-out, count, say what was seen.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::board::View;
use super::flip::{Flip, Seen, State};
use super::probe::{Check, Verdict};
use super::self_check::{Mark, SelfCheck, too_late, within};
use super::target::Target;

/// The first pause between two checks of a target that is starting.
const FAST: Duration = Duration::from_millis(250);
/// However much happens, two looks are no closer than this.
const BREATH: Duration = Duration::from_millis(250);
/// After a gap targets are looked at again within this time.
const SOON: Duration = Duration::from_secs(1);

/// Somebody who waits for the result of a check.
pub(super) type Waiter = oneshot::Sender<Arc<View>>;

/// What a task tells its registry.
#[derive(Debug)]
pub(super) struct Told {
    /// Which task it is: a target that was replaced may still be heard of.
    pub(super) epoch: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A check that counts ended.
    Checked { begun: Instant, view: Arc<View>, news: bool },
    /// What was measured is worth nothing.
    Blind { reason: String },
}

/// How long until the next check. Pure but for the dice.
#[derive(Debug)]
pub(super) struct Pace {
    fast: Duration,
    dice: fastrand::Rng,
}

impl Pace {
    pub(super) fn new(dice: fastrand::Rng) -> Self {
        Self { fast: FAST, dice }
    }

    /// Until the first check: at a random phase, so that many targets do not come at once.
    fn first(&mut self, target: &Target) -> Duration {
        if target.starting { Duration::ZERO } else { target.interval.mul_f64(self.dice.f64()) }
    }

    /// From the beginning of one check to the next.
    fn next(&mut self, target: &Target, failed: bool) -> Duration {
        if target.starting {
            let pause = self.fast.min(target.interval);
            self.fast = (self.fast * 2).min(target.interval);
            return pause;
        }
        let pause = if failed { target.retry_interval } else { target.interval };
        pause.mul_f64(0.95 + 0.1 * self.dice.f64())
    }

    /// What was said about the run changed: until the next check, if that moves it.
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

/// One target under watch.
#[derive(Debug)]
pub(super) struct Watch<C> {
    pub(super) epoch: u64,
    pub(super) target: watch::Receiver<Arc<Target>>,
    pub(super) check: C,
    pub(super) flip: Flip,
    pub(super) pace: Pace,
    /// Who wants a check now.
    pub(super) orders: mpsc::Receiver<Waiter>,
    pub(super) told: mpsc::Sender<Told>,
    pub(super) doubt: SelfCheck,
}

/// Why a target's task wakes up.
enum Woken {
    Changed,
    Order(Waiter),
    Due,
    News,
    Dropped,
}

/// What a look came to.
enum Looked {
    Saw(Verdict),
    /// This process was away: nothing that any target counted adds up.
    Away(String),
    /// This look says nothing about its target.
    Blind(String),
}

impl<C: Check> Watch<C> {
    /// Checks until its registry drops it.
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
                // Another target noticed that this process was away.
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
                    let view = Arc::new(self.view(&target, verdict, latency, ended, asks));
                    let news = change.is_news();
                    self.tell(What::Checked { begun, view: Arc::clone(&view), news }).await;
                    // Whoever asked while the check was in flight gets its result.
                    while let Ok(waiter) = self.orders.try_recv() {
                        waiting.push(waiter);
                    }
                    for waiter in waiting.drain(..) {
                        let _ = waiter.send(Arc::clone(&view));
                    }
                    (begun + self.pace.next(&target, failed)).max(ended)
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

    /// Looks once, and at itself as well.
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
        // Whose a port is was read from the system's table: no network was in it.
        if !verdict.passing
            && !verdict.foreign
            && let Some(reason) = self.doubt.own_network().await
        {
            return Looked::Blind(reason);
        }
        Looked::Saw(verdict)
    }

    /// What was counted on the far side of a gap does not add up with what comes, whichever target it is about.
    async fn away(&mut self, reason: String) {
        self.doubt.was_away();
        self.flip.forget();
        self.tell(What::Blind { reason }).await;
    }

    async fn tell(&mut self, what: What) {
        // The registry being gone means that this task is about to be dropped as well.
        let _ = self.told.send(Told { epoch: self.epoch, what }).await;
    }

    fn view(&self, target: &Target, verdict: Verdict, latency: Duration, ended: Instant, asks: u64) -> View {
        View {
            key: target.key.clone(),
            incarnation: target.incarnation,
            state: self.flip.state(),
            failures: self.flip.failures(),
            latency,
            ended: Some(ended),
            verdict,
            asks,
        }
    }
}

fn seen(verdict: &Verdict) -> Seen {
    match verdict {
        Verdict { passing: true, .. } => Seen::Pass,
        // Whose a port is was read from the system's table, not guessed from an answer.
        Verdict { foreign: true, .. } => Seen::SurelyFail,
        _ => Seen::Fail,
    }
}
