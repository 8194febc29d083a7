//! When is a target checked? One task a target: wait, check within the time-out, count, say what was seen.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::board::View;
use super::doubt::Mark;
use super::flip::{Flip, Seen, State};
use super::probe::{Check, Verdict};
use super::target::Target;

/// The first pause between two checks of a target that is starting.
const FAST: Duration = Duration::from_millis(250);
/// After a gap targets are looked at again within this time.
const SOON: Duration = Duration::from_secs(1);

/// Somebody who waits for the result of a check.
pub(super) type Waiter = oneshot::Sender<Arc<View>>;

/// What a task tells its keeper.
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
}

impl<C: Check> Watch<C> {
    /// Checks until its keeper drops it.
    pub(super) async fn run(mut self) {
        let mut target = Arc::clone(&self.target.borrow_and_update());
        let mut waiting: Vec<Waiter> = Vec::new();
        let mut asks = 0;
        let mut due = Instant::now() + self.pace.first(&target);
        loop {
            let mark = Mark::now();
            let in_time = due.saturating_duration_since(mark.at);
            tokio::select! {
                changed = self.target.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let newer = Arc::clone(&self.target.borrow_and_update());
                    if let Some(wait) = self.pace.changed(&target, &newer) {
                        due = Instant::now() + wait;
                    }
                    target = newer;
                    continue;
                }
                order = self.orders.recv() => match order {
                    Some(waiter) => waiting.push(waiter),
                    None => return,
                },
                () = sleep_until(due) => {}
            }
            if let Some(reason) = mark.gap(in_time) {
                self.doubt(reason).await;
                due = Instant::now() + self.pace.soon(&target);
                continue;
            }

            let mark = Mark::now();
            let verdict = timeout(target.timeout, self.check.run(&target)).await;
            let ended = Instant::now();
            let verdict = verdict.unwrap_or_else(|_| Verdict::timed_out(target.timeout));
            let lost = mark.gap(target.timeout).or_else(|| verdict.own_trouble.clone());
            let failed = !verdict.passing;
            let counted = lost.is_none().then(|| self.flip.observe(mark.at, seen(&verdict))).flatten();
            due = match (lost, counted) {
                (Some(reason), _) => {
                    self.doubt(reason).await;
                    ended + self.pace.soon(&target)
                }
                (None, Some(change)) => {
                    if failed && self.flip.state() == State::Failing && !verdict.foreign {
                        asks += 1;
                    }
                    let latency = ended.duration_since(mark.at);
                    let view = Arc::new(self.view(&target, verdict, latency, ended, asks));
                    let what =
                        What::Checked { begun: mark.at, view: Arc::clone(&view), news: change.is_news() };
                    self.tell(what).await;
                    // Whoever asked while the check was in flight gets its result.
                    while let Ok(waiter) = self.orders.try_recv() {
                        waiting.push(waiter);
                    }
                    for waiter in waiting.drain(..) {
                        let _ = waiter.send(Arc::clone(&view));
                    }
                    (mark.at + self.pace.next(&target, failed)).max(ended)
                }
                (None, None) => ended + self.pace.soon(&target),
            };
        }
    }

    async fn doubt(&mut self, reason: String) {
        self.flip.forget();
        self.tell(What::Blind { reason }).await;
    }

    async fn tell(&mut self, what: What) {
        // The keeper being gone means that this task is about to be dropped as well.
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
