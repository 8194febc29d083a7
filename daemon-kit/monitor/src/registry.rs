//! The one task that owns the state of all targets. Other tasks send it commands and read its board.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::board::{Row, Snapshot, View};
use super::flip::Flip;
use super::probe::Probe;
use super::schedule::{Pace, Told, Waiter, Watch, What};
use super::self_check::NetworkProbe;
use super::self_check::SelfCheck;
use super::target::{Key, Target, key};

/// Length of the queues of commands and of check results; a sender waits while its queue is full.
const QUEUE: usize = 64;
/// The shortest time between two reports without news, whatever the supervisor asks for.
const MOST_OFTEN: Duration = Duration::from_secs(1);
/// How many callers may wait for one check.
const WAITERS: usize = 16;

/// A set of targets of one kind, as received from the supervisor.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) kind: &'static str,
    pub(super) received: Instant,
    pub(super) wire: v1::WatchTargetsResponse,
}

#[derive(Debug)]
enum Command {
    Replace(Set, oneshot::Sender<()>),
    CheckNow { service: String, check: String, answer: oneshot::Sender<Vec<Promised>> },
}

/// The result of a check that was requested.
#[derive(Debug)]
pub(super) struct Promised {
    /// The current state: the answer if no check is coming.
    pub(super) known: Arc<View>,
    pub(super) coming: Option<oneshot::Receiver<Arc<View>>>,
}

/// Sends commands to the registry.
#[derive(Debug, Clone)]
pub(super) struct Handle(mpsc::Sender<Command>);

impl Handle {
    /// Replaces the targets of one kind; returns once the board shows them.
    pub(super) async fn replace(&self, set: Set) {
        let (done, seen) = oneshot::channel();
        if self.0.send(Command::Replace(set, done)).await.is_ok() {
            let _ = seen.await;
        }
    }

    /// Checks targets now; an empty `check` means all checks of the service. Returns `None` if there is no such target.
    pub(super) async fn check_now(&self, service: String, check: String) -> Option<Vec<Promised>> {
        let (answer, promised) = oneshot::channel();
        self.0.send(Command::CheckNow { service, check, answer }).await.ok()?;
        promised.await.ok().filter(|promised| !promised.is_empty())
    }
}

/// Creates a registry (not yet running), its handle and its board.
pub(super) fn registry<P: Probe>(
    probe: P,
    canary: NetworkProbe,
) -> (TargetRegistry<P>, Handle, watch::Receiver<Arc<Snapshot>>) {
    let (commands, inbox) = mpsc::channel(QUEUE);
    let (told, tidings) = mpsc::channel(QUEUE);
    let (board, shown) = watch::channel(Arc::default());
    let registry = TargetRegistry {
        probe,
        inbox,
        told,
        tidings,
        board,
        entries: BTreeMap::new(),
        generations: BTreeMap::new(),
        report_every: None,
        instance: String::new(),
        epoch: 0,
        news: 0,
        blind: None,
        doubt: SelfCheck::new(canary),
    };
    (registry, Handle(commands), shown)
}

#[derive(Debug)]
pub(super) struct TargetRegistry<P> {
    probe: P,
    inbox: mpsc::Receiver<Command>,
    told: mpsc::Sender<Told>,
    tidings: mpsc::Receiver<Told>,
    board: watch::Sender<Arc<Snapshot>>,
    entries: BTreeMap<Key, Entry>,
    generations: BTreeMap<&'static str, u64>,
    /// How often the supervisor wants a report although there is no news, if it does.
    report_every: Option<Duration>,
    instance: String,
    epoch: u64,
    news: u64,
    /// Since when the monitor is blind, and why.
    blind: Option<(Instant, String)>,
    doubt: SelfCheck,
}

#[derive(Debug)]
struct Entry {
    kind: &'static str,
    row: Row,
    running: Option<Running>,
}

/// A task that watches a target; dropping this aborts the task.
#[derive(Debug)]
struct Running {
    epoch: u64,
    target: watch::Sender<Arc<Target>>,
    orders: mpsc::Sender<Waiter>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<P: Probe> TargetRegistry<P> {
    /// Runs until every handle is dropped.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                command = self.inbox.recv() => match command {
                    Some(Command::Replace(set, done)) => {
                        self.replace(set);
                        self.publish();
                        let _ = done.send(());
                    }
                    Some(Command::CheckNow { service, check, answer }) => {
                        let _ = answer.send(self.check_now(&service, &check));
                    }
                    None => return,
                },
                Some(told) = self.tidings.recv() => {
                    self.hear(told);
                    self.publish();
                }
            }
        }
    }

    fn replace(&mut self, set: Set) {
        let Set { kind, received, wire } = set;
        if self.instance != wire.instance {
            // A new instance means another home, which has its own incarnations.
            self.entries.clear();
            self.instance = wire.instance;
        }
        self.generations.insert(kind, wire.generation);
        self.report_every = proto::time::lenient(wire.report_every).map(|every| every.max(MOST_OFTEN));
        let (mut old, others): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.entries).into_iter().partition(|(_, entry)| entry.kind == kind);
        self.entries = others;
        for wire in wire.targets {
            let key = match key(&wire) {
                Ok(key) => key,
                Err(error) => {
                    tracing::warn!(%error, service = ?wire.service, check = ?wire.check, "target skipped");
                    continue;
                }
            };
            let before = old.remove(&key).or_else(|| self.entries.remove(&key));
            let entry = self.entry(kind, received, &key, wire, before);
            self.entries.insert(key, entry);
        }
        if self.entries.is_empty() {
            self.blind = None;
        }
    }

    fn entry(
        &mut self,
        kind: &'static str,
        received: Instant,
        key: &Key,
        wire: v1::Target,
        before: Option<Entry>,
    ) -> Entry {
        let (incarnation, starting, report_only) = (wire.incarnation, wire.starting, wire.report_only);
        let row = |view| Row { starting, report_only, view: Arc::new(view) };
        let target = match Target::try_from(wire) {
            Ok(target) => Arc::new(target),
            Err(error) => {
                let view = self.refuse(key, incarnation, &error);
                return Entry { kind, row: row(view), running: None };
            }
        };
        // A run that was ready before this monitor first heard of the target has already had its start period.
        let start_period = if before.is_none() && !starting { Duration::ZERO } else { target.start_period };
        if let Some(Entry { row: known, running: Some(running), .. }) = before
            && running.target.borrow().continues_in(&target)
        {
            let changed = **running.target.borrow() != *target;
            if changed {
                running.target.send_replace(target);
            }
            return Entry { kind, row: Row { starting, report_only, ..known }, running: Some(running) };
        }
        let unknown = |detail: &str| View::unknown(key.clone(), incarnation, detail.into());
        if target.incarnation == 0 {
            return Entry { kind, row: row(unknown("nothing runs")), running: None };
        }
        match self.probe.prepare(&target) {
            Ok(check) => {
                let running = self.start(received, target, start_period, check);
                Entry { kind, row: row(unknown("")), running: Some(running) }
            }
            Err(error) => {
                let view = self.refuse(key, incarnation, &error);
                Entry { kind, row: row(view), running: None }
            }
        }
    }

    /// Shows a target that can not be checked, with the reason. Other targets are not affected.
    fn refuse(&mut self, key: &Key, incarnation: u64, error: &super::TargetError) -> View {
        tracing::warn!(target = %key, %error, "target can not be checked");
        self.news += 1;
        View::unknown(key.clone(), incarnation, format!("can not be checked: {error}"))
    }

    fn start(
        &mut self,
        received: Instant,
        target: Arc<Target>,
        start_period: Duration,
        check: P::Check,
    ) -> Running {
        self.epoch += 1;
        let flip = Flip::new(target.rule, received, start_period);
        let (target, watched) = watch::channel(target);
        let (orders, queue) = mpsc::channel(WAITERS);
        let watch = Watch {
            epoch: self.epoch,
            target: watched,
            check,
            flip,
            pace: Pace::new(fastrand::Rng::new()),
            orders: queue,
            told: self.told.clone(),
            doubt: self.doubt.clone(),
        };
        Running { epoch: self.epoch, target, orders, task: tokio::spawn(watch.run()) }
    }

    fn hear(&mut self, told: Told) {
        let current =
            |entry: &&mut Entry| entry.running.as_ref().is_some_and(|task| task.epoch == told.epoch);
        let Some(entry) = self.entries.values_mut().find(current) else { return };
        match told.what {
            What::Checked { begun, view, news } => {
                let known = &entry.row.view;
                let marks = |view: &View| (view.verdict.foreign, view.verdict.stalled);
                let turned = known.ended.is_some() && marks(known) != marks(&view);
                if news {
                    let (failures, detail) = (view.failures, &view.verdict.detail);
                    tracing::info!(target = %view.key, state = ?view.state, failures, %detail, "check");
                }
                self.news += u64::from(news || turned);
                entry.row.view = view;
                if self.blind.as_ref().is_some_and(|(since, _)| *since < begun) {
                    tracing::info!("sees again");
                    self.blind = None;
                    self.news += 1;
                }
            }
            What::Blind { reason } => {
                tracing::warn!(target = %entry.row.view.key, %reason, "result thrown away");
                self.news += u64::from(self.blind.is_none());
                self.blind = Some((Instant::now(), reason));
            }
        }
    }

    fn check_now(&self, service: &str, check: &str) -> Vec<Promised> {
        let wanted =
            |key: &Key| key.service.as_str() == service && (check.is_empty() || key.check.as_str() == check);
        self.entries
            .iter()
            .filter(|(key, _)| wanted(key))
            .map(|(_, entry)| {
                let coming = entry.running.as_ref().and_then(|running| {
                    let (waiter, coming) = oneshot::channel();
                    running.orders.try_send(waiter).ok().map(|()| coming)
                });
                Promised { known: Arc::clone(&entry.row.view), coming }
            })
            .collect()
    }

    fn publish(&self) {
        self.board.send_replace(Arc::new(Snapshot {
            // The supervisor has one generation counter for all kinds, so the highest value is the newest set.
            generation: self.generations.values().copied().max().unwrap_or(0),
            news: self.news,
            report_every: self.report_every,
            blind: self.blind.as_ref().map(|(_, reason)| reason.clone()),
            rows: self.entries.values().map(|entry| entry.row.clone()).collect(),
        }));
    }
}
