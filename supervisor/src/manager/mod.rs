//! The single task that owns every service: only this task decides, starts and stops.
//!
//! ```text
//!  exits, children ─┐                       ┌─▶ Unit::observe ─▶ poll ─▶ Action ─▶ service::driver
//!  logs, notify    ─┼─▶ one loop, one turn ─┤
//!  commands        ─┤                       └─▶ journal, write-ahead log, checkpoint
//!  deadline        ─┘                       ──▶ `changes` (a number): clients wait on it, then ask
//! ```
//!
//! | file | what it handles |
//! |---|---|
//! | [`command`], `monitor_commands` | what the API asks, as a closed enum, and the handle it asks through |
//! | `events` | what happened: exits, children, output, scans |
//! | `reconcile` | what must be done: units polled, actions performed, notes written down |
//! | `durable` | requests, written down before they are carried out and answered |
//! | `limits` | runs that use too much memory, runs that are frozen |
//! | `notify` | messages of services over their notify sockets |
//! | `operate` | requests of operators |
//! | `daemons` | Sereno's own daemons that this supervisor runs: managed monitors, the guard |
//! | `attachments` | which monitors are attached, and which callers may speak for a monitor |
//! | `monitors` | what monitors watch and what they report |
//! | `restart_requests` | restarts that monitors ask for, and the decisions |
//! | `configure`, `diff`, `monitor_steps` | a changed file |
//! | `times` | jobs, and restarts at certain times |
//! | `files` | a file of a service has changed |
//! | `added` | services that no file names |
//! | `upgrade` | another program takes this process over |
//! | `reload` | a new run beside the old one |
//! | `prepared` | starts that wait for what another thread looks up |
//! | `begin` | continuing from what an earlier supervisor left |
//! | `found` | what an earlier supervisor left: state, write-ahead log, processes |
//! | `silent` | processes that did not answer a scan are looked at again |
//! | `generation` | wakes the waiters for a change when the turn is over |
//! | `home` | home is deleted or moved |
//! | `incidents` | when a service did not serve, and what mended it |
//! | `examine` | what a run was doing when it was judged: taken before it is told to end |
//! | `evidence` | evidence about a run: which process holds its port, what the run wrote last |
//! | `log_files` | where the outputs of services are |
//! | `reader` | answers from a home that nobody supervises |
//! | `services` | every service by its name, and the second runs beside them |
//! | `tallies` | what is counted for the metrics |
//! | `view` | the picture that clients see |

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
mod examine;
mod files;
mod found;
mod generation;
mod home;
mod incidents;
mod limits;
mod log_files;
mod monitor_commands;
mod monitor_steps;
mod monitors;
mod notify;
mod operate;
mod prepared;
mod reader;
mod reconcile;
mod reload;
mod restart_requests;
mod select;
mod services;
mod silent;
mod tallies;
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
use crate::evidence::{Evidence, Subject};
use crate::journal::allowance::Allowances;
use crate::lifecycle::BootInstant;
use crate::lifecycle::arbiter::HostBrake;
use crate::lifecycle::deps::Graph;
use crate::lifecycle::tally::HostTally;
use crate::logs::{LogEvent, Logs};
use crate::os::pipe::Both;
use crate::os::{self, Scan, Stranger};
use crate::service::{Notification, Prepared, Service, World};
use crate::watch::{News, Watches};

use attachments::Attachment;
pub use begin::{Revived, Start, Wanted};
pub use command::{Command, Handle};
pub(crate) use configure::read;
pub use found::Found;
use generation::Generation;
pub use reader::Reader;
use services::{RunKey, Services};
pub use upgrade::{SaveError, TrialError};

/// An event that is not a command.
#[derive(Debug)]
enum Happened {
    /// A line of output matched a readiness pattern.
    Log(LogEvent),
    /// Files of a service have changed, or cannot be watched.
    Files(News),
    /// Runs were examined for memory use and freezes.
    Seen(Vec<limits::Seen>),
    /// All processes of the host were scanned, for these services.
    Scanned { wanted: BTreeSet<RunKey>, scan: Scan },
    /// Processes that were silent in a scan were looked at again.
    Judged(Scan),
    /// Another process listens on a port that a run should listen on.
    Stranger { of: RunKey, incarnation: u64, port: u16, stranger: Stranger },
    /// Evidence of a run that will be ended.
    Evidence { of: RunKey, because: u64, subject: Arc<Subject>, evidence: Evidence },
    /// What a command or a signal told besides of a run that will be ended.
    Told { of: RunKey, incarnation: u64, told: String },
    /// The last lines of a run that has ended, and the event of its end.
    LastWords { service: Name, incarnation: u64, exit: u64, lines: Vec<String> },
    /// The outputs of a run that an earlier supervisor began are open, which took long.
    Opened { service: Name, incarnation: u64, both: Both },
    /// What a command of a service needs was looked up.
    Prepared(Prepared),
    /// The state is on disk, up to this record of the write-ahead log.
    Checkpointed { seq: u64, result: std::io::Result<()> },
}

/// Which process has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ended {
    /// The leader of a run, with its incarnation.
    Leader(RunKey, u64),
    /// The `stop.command` of a service.
    Stopper(RunKey),
    /// The trial run of a new program.
    Trial,
}

type Exits = FuturesUnordered<Pin<Box<dyn Future<Output = Ended> + Send>>>;

/// Why the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// Everything was stopped.
    Down,
    /// The services were left running.
    Kept,
    /// The supervisor does not end: home is gone, and must be made again before the loop continues.
    HomeGone,
    /// The program at this path takes the process over, with its services.
    HandOver(PathBuf),
}

/// The owner of every service.
#[derive(Debug)]
pub struct Manager {
    config: Config,
    /// The `[supervisor]` table as it was at startup.
    in_force: SupervisorTable,
    /// The services of `config` that no file names.
    added: Added,
    about: Arc<About>,
    /// The text of the applied file, in case home is lost.
    applied_text: String,
    home: home::HomeWatch,
    world: World,
    services: Services,
    graph: Graph,
    /// Open streams of monitors, by number.
    attachments: BTreeMap<u64, Attachment>,
    /// When the stream of each detached monitor ended.
    last_seen: BTreeMap<Name, BootInstant>,
    /// How many events each monitor may still enter into the journal.
    allowances: Allowances,
    /// What is counted over all services.
    tally: HostTally,
    brake: HostBrake,
    /// Whether the brake held at the end of the last turn in which a service was bad.
    braked: bool,
    exits: Exits,
    commands: mpsc::Receiver<Command>,
    happened: mpsc::UnboundedReceiver<Happened>,
    tell: mpsc::UnboundedSender<Happened>,
    /// Messages from the services' notify sockets.
    notifications: mpsc::Receiver<Notification>,
    /// Services to stop as soon as nothing that depends on them is still up and waiting to stop.
    stop_queue: BTreeSet<Name>,
    /// Services to forget as soon as they are down.
    leaving: BTreeSet<Name>,
    /// Runs that the next scan looks for, and whether a scan is under way.
    scan_wanted: BTreeSet<RunKey>,
    scanning: bool,
    /// Processes that scans could not look at, and the look at them that follows.
    silent: silent::Again,
    /// Watched files, which restart services when they change.
    watches: Watches,
    /// Wakes the loop at a wall-clock time.
    alarm: os::Alarm,
    /// The trial of a new program, and the path of a program that has passed.
    trial: Option<upgrade::Trial>,
    handing_over: Option<PathBuf>,
    /// The path that this program was started from.
    own_binary: PathBuf,
    /// Set while shutting down; `true` if the services keep running.
    going: Option<bool>,
    /// Where the next turn continues, if the last turn ended early.
    next: Option<RunKey>,
    /// The hash of what a checkpoint saves, at the end of the last turn.
    seen: u64,
    changes: Generation,
    targets: Generation,
    checkpoint: Checkpoint,
    /// File descriptors from the monitors' fd stores that have not been claimed yet.
    kept: os::StoredFds,
    /// Writes the state, and counts the states written.
    saver: Arc<Saver>,
    states: u64,
    began: BootInstant,
    /// Whether an init system would start the supervisor again.
    under_init: bool,
}

/// When the state must be written.
#[derive(Debug, Default)]
struct Checkpoint {
    due: Option<BootInstant>,
    writing: bool,
    /// There has been a checkpoint: startup is over.
    any: bool,
    /// The last checkpoint could not be written.
    failing: bool,
}

/// How long changes are collected before the state is written.
const CHECKPOINT_AFTER: Duration = Duration::from_millis(200);

/// How long to wait before a failed write of the state is retried.
const CHECKPOINT_AGAIN: Duration = Duration::from_secs(5);

/// How many exits and how many commands a turn takes before it looks at the other kind.
const BATCH: usize = 16;

impl Manager {
    /// Returns the logs of the services.
    pub fn logs(&self) -> Logs {
        self.world.logs.clone()
    }

    /// Runs the loop until told to end.
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
            // A turn also takes what else has arrived, in batches, so that neither kind can starve the other.
            for _ in 0..BATCH {
                let Some(Some(ended)) = self.exits.next().now_or_never() else { break };
                self.process_ended(&ended);
            }
            for _ in 0..BATCH {
                let Ok(happened) = self.happened.try_recv() else { break };
                self.happened(happened);
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
        let all_down = self.services.runs().all(|service| {
            if keep && service.is_users() {
                true
            } else {
                service.unit.is_down() && service.processes.run.is_none()
            }
        });
        all_down.then_some(if keep { Over::Kept } else { Over::Down })
    }

    fn deadline(&self) -> Option<BootInstant> {
        if self.next.is_some() {
            return Some(BootInstant::default());
        }
        let services = self.services.runs().filter_map(Service::deadline).min();
        let home = self.home.due.filter(|_| self.going.is_none());
        [services, self.checkpoint.due, home].into_iter().flatten().min()
    }
}

/// Sleeps until an instant of the boot clock; `None` waits for ever.
async fn until(deadline: Option<BootInstant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline.since(os::now())).await,
        None => std::future::pending().await,
    }
}

/// Returns the API's handle, and the channel ends that the manager keeps.
fn channels(
    written: watch::Receiver<u64>,
) -> (Handle, mpsc::Receiver<Command>, watch::Sender<u64>, watch::Sender<u64>) {
    const WAITING: usize = 256;
    let (sender, commands) = mpsc::channel(WAITING);
    let (changes, targets) = (watch::Sender::new(1), watch::Sender::new(1));
    let handle = Handle::new(sender, Arc::new(changes.subscribe()), Arc::new(targets.subscribe()), written);
    (handle, commands, changes, targets)
}
