//! The one task that owns every service: it alone decides, starts and stops.
//!
//! ```text
//!  exits, children ─┐                       ┌─▶ Unit::observe ─▶ poll ─▶ Action ─▶ service::driver
//!  logs, notify    ─┼─▶ one loop, one turn ─┤
//!  commands        ─┤                       └─▶ journal, write-ahead log, checkpoint
//!  deadline        ─┘                       ──▶ `changes` (a number): whoever wants to see, asks
//! ```
//!
//! | file | what it handles |
//! |---|---|
//! | [`command`], `monitor_commands` | what the API asks, as a closed enum, and the handle it asks through |
//! | `events` | what happened: exits, children, output, scans |
//! | `reconcile` | what is to be done: units polled, actions performed, notes written down |
//! | `durable` | what was asked, written down before it is done and answered |
//! | `limits` | who uses too much memory, who is frozen |
//! | `notify` | what services say of themselves |
//! | `operate` | what people want |
//! | `daemons` | its own daemons that it runs: managed monitors, the guard |
//! | `attachments` | which monitors are attached, and who may speak for one |
//! | `monitors` | what they watch and what they report |
//! | `restart_requests` | what they ask, and what is decided |
//! | `configure`, `diff`, `monitor_steps` | a changed file |
//! | `times` | jobs, and restarts at certain times |
//! | `files` | a file of a service has changed |
//! | `added` | services that no file names |
//! | `upgrade` | another program takes this process over |
//! | `reload` | a new run beside the old one |
//! | `begin` | going on from what an earlier supervisor left |
//! | `found` | what it left: state, write-ahead log, processes |
//! | `generation` | who is told of a change, and when |
//! | `home` | home is deleted or moved |
//! | `evidence` | what can be found out beside a run: who holds its port, what it said last |
//! | `view` | what others see |

mod added;
mod attachments;
mod begin;
pub mod command;
mod configure;
mod daemons;
mod diff;
mod durable;
mod events;
mod evidence;
mod files;
mod found;
mod generation;
mod home;
mod limits;
mod monitor_commands;
mod monitor_steps;
mod monitors;
mod notify;
mod operate;
mod reconcile;
mod reload;
mod restart_requests;
mod select;
mod times;
mod upgrade;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use proto::Name;
use sereno_config::{Config, SupervisorTable};
use tokio::sync::{mpsc, watch};

use crate::disk::added::Added;
use crate::disk::applied::About;
use crate::disk::state::Saver;
use crate::journal::allowance::Allowances;
use crate::lifecycle::arbiter::HostBrake;
use crate::lifecycle::deps::Graph;
use crate::lifecycle::{BootInstant, State};
use crate::logs::{LogEvent, Logs};
use crate::os::{self, Marked, Stranger};
use crate::service::{Notification, Service, World};
use crate::watch::{News, Watches};

use attachments::Attachment;
pub use begin::{Start, Wanted};
pub use command::{Command, Handle};
pub(crate) use configure::read;
pub use found::Found;
use generation::Generation;

/// What happened that is no command.
#[derive(Debug)]
enum Happened {
    /// A line of output matched.
    Log(LogEvent),
    /// Files of a service have changed, or can not be watched.
    Files(News),
    /// Runs were looked at for what they use.
    Seen(Vec<limits::Seen>),
    /// Everybody on the host was looked at, for these services.
    Scanned { wanted: BTreeSet<Name>, found: Vec<Marked> },
    /// Somebody else listens where a run is to listen.
    Stranger { service: Name, incarnation: u64, port: u16, stranger: Stranger },
    /// The last lines of a run that has ended, and the event of its end.
    LastWords { service: Name, incarnation: u64, exit: u64, lines: Vec<String> },
    /// The state is on disk, up to this record of the write-ahead log.
    Checkpointed { seq: u64, result: Result<(), String> },
}

/// Which process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ended {
    /// The leader of a run.
    Leader(Name, u64),
    /// A `stop.command`.
    Stopper(Name),
    /// The trial of a new program.
    Trial,
}

type Exits = FuturesUnordered<Pin<Box<dyn Future<Output = Ended> + Send>>>;

/// How the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// Everything was stopped.
    Down,
    /// The services were left running.
    Kept,
    /// Not at all: home is gone, and is to be made anew before the loop goes on.
    HomeGone,
    /// This program takes the process over, services and all.
    HandOver(PathBuf),
}

/// Owner of every service.
#[derive(Debug)]
pub struct Manager {
    config: Config,
    /// `[supervisor]` as it was at the start.
    in_force: SupervisorTable,
    /// Those of its services that no file names.
    added: Added,
    about: Arc<About>,
    /// The text of the applied file, in case home loses it.
    applied_text: String,
    home: home::HomeWatch,
    world: World,
    services: BTreeMap<Name, Service>,
    graph: Graph,
    /// Open streams of monitors, by number.
    attachments: BTreeMap<u64, Attachment>,
    /// When the stream of a monitor that is not attached ended.
    last_seen: BTreeMap<Name, BootInstant>,
    /// What monitors may write into the journal.
    allowances: Allowances,
    brake: HostBrake,
    exits: Exits,
    commands: mpsc::Receiver<Command>,
    happened: mpsc::UnboundedReceiver<Happened>,
    tell: mpsc::UnboundedSender<Happened>,
    /// What services say over their notify sockets.
    notifications: mpsc::Receiver<Notification>,
    /// To be stopped as soon as nobody who is to be stopped too depends on them.
    stop_queue: BTreeSet<Name>,
    /// To be forgotten as soon as they are down.
    leaving: BTreeSet<Name>,
    /// Services that a scan is to look for, and whether one is under way.
    scan_wanted: BTreeSet<Name>,
    scanning: bool,
    /// Files that services are restarted for.
    watches: Watches,
    /// Wakes us at a time of the wall clock.
    alarm: os::Alarm,
    /// A new program that is being tried, and one that has passed.
    trial: Option<upgrade::Trial>,
    handing_over: Option<PathBuf>,
    /// Where this program was started from.
    own_binary: PathBuf,
    /// Shutdown is under way; `true`: the services stay.
    going: Option<bool>,
    /// Where the next turn goes on, if the last one had to end early.
    next: Option<Name>,
    /// What could be seen of every unit at the end of the last turn.
    seen: Vec<(State, u64, u32)>,
    changes: Generation,
    targets: Generation,
    checkpoint: Checkpoint,
    /// What the monitors kept for us and nobody has asked for yet.
    kept: os::StoredFds,
    /// Writes the state down; how many states there have been.
    saver: Arc<Saver>,
    states: u64,
    began: BootInstant,
    /// An init system starts it again.
    under_init: bool,
}

/// When the state is to be written.
#[derive(Debug, Default)]
struct Checkpoint {
    due: Option<BootInstant>,
    writing: bool,
    /// There has been one: the start is over.
    any: bool,
    /// The last one could not be written.
    failing: bool,
}

/// How long changes are collected before the state is written.
const CHECKPOINT_AFTER: Duration = Duration::from_millis(200);

/// When the state is written once more that could not be.
const CHECKPOINT_AGAIN: Duration = Duration::from_secs(5);

/// How many exits and how many commands one turn takes before it looks at the other kind.
const BATCH: usize = 16;

impl Manager {
    /// What services write.
    pub fn logs(&self) -> Logs {
        self.world.logs.clone()
    }

    /// Runs until told to end.
    pub async fn run(&mut self, children: &mut os::Children) -> Over {
        use futures_util::{FutureExt, StreamExt};
        loop {
            self.reconcile_all();
            if let Some(over) = self.is_over() {
                if over != Over::HomeGone {
                    self.finish(&over);
                }
                return over;
            }
            let deadline = self.deadline();
            tokio::select! {
                biased;
                Some(ended) = self.exits.next() => self.process_ended(&ended),
                () = children.ended() => self.children_ended(),
                Some(happened) = self.happened.recv() => self.happened(happened),
                Some(command) = self.commands.recv() => self.dispatch(command),
                Some(notification) = self.notifications.recv() => self.notified(&notification, os::now()),
                () = self.alarm.rung() => {}
                () = self.home.watch.changed() => self.home_changed(),
                () = until(deadline) => {}
            }
            // What else has come meanwhile: one turn for all of it, and neither kind can starve the other.
            for _ in 0..BATCH {
                let Some(Some(ended)) = self.exits.next().now_or_never() else { break };
                self.process_ended(&ended);
            }
            for _ in 0..BATCH {
                let Ok(command) = self.commands.try_recv() else { break };
                self.dispatch(command);
            }
        }
    }

    fn is_over(&self) -> Option<Over> {
        if self.home_is_due() {
            return Some(Over::HomeGone);
        }
        if let Some(binary) = &self.handing_over {
            return Some(Over::HandOver(binary.clone()));
        }
        let keep = self.going?;
        let all_down = self.services.values().all(|service| {
            if keep && service.is_users() { true } else { service.unit.is_down() && service.run.is_none() }
        });
        all_down.then_some(if keep { Over::Kept } else { Over::Down })
    }

    fn deadline(&self) -> Option<BootInstant> {
        if self.next.is_some() {
            return Some(BootInstant::default());
        }
        let services = self.services.values().filter_map(Service::deadline).min();
        let home = self.home.due.filter(|_| self.going.is_none());
        [services, self.checkpoint.due, home].into_iter().flatten().min()
    }
}

/// Sleeps until a moment of the core's clock.
async fn until(deadline: Option<BootInstant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline.since(os::now())).await,
        None => std::future::pending().await,
    }
}

/// How the API reaches the manager, and the ends that the manager keeps.
fn channels() -> (Handle, mpsc::Receiver<Command>, watch::Sender<u64>, watch::Sender<u64>) {
    const WAITING: usize = 256;
    let (sender, commands) = mpsc::channel(WAITING);
    let (changes, targets) = (watch::Sender::new(1), watch::Sender::new(1));
    let handle = Handle::new(sender, Arc::new(changes.subscribe()), Arc::new(targets.subscribe()));
    (handle, commands, changes, targets)
}
