//! What others see: a picture of everything at one moment, made when somebody asks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proto::Name;
use proto::v1::Decision;

use crate::disk::applied::About;
use crate::lifecycle::{Exit, State};
use crate::os::Cgroup;
use crate::service::Reload;
use crate::service::reports::Report;

/// Everything the supervisor knows.
#[derive(Debug, Clone)]
pub struct View {
    /// Grows with every change.
    pub generation: u64,
    /// How long this supervisor has run.
    pub uptime: Duration,
    /// Of this home.
    pub instance: String,
    /// The file that was applied.
    pub about: Arc<About>,
    /// Everything is about to stop.
    pub going: bool,
    /// Why restarts are held for the whole host.
    pub brake: Option<String>,
    /// Why nobody would start this supervisor again if it died.
    pub unguarded: Option<&'static str>,
    /// What happened to the supervisor itself, until the next `up` or `apply`.
    pub notice: Option<String>,
    /// In the order of their names.
    pub monitors: Vec<MonitorView>,
    /// The guard, where this supervisor runs one of its own.
    pub guard: Option<ServiceView>,
    /// In the order of their names.
    pub services: Vec<ServiceView>,
}

impl View {
    /// The processes of Sereno's own daemons that this supervisor runs.
    pub fn daemons(&self) -> impl Iterator<Item = &ServiceView> {
        self.monitors.iter().filter_map(|monitor| monitor.process.as_ref()).chain(&self.guard)
    }
}

/// A monitor.
#[derive(Debug, Clone)]
pub struct MonitorView {
    /// Its name.
    pub name: Name,
    /// The check kind it serves.
    pub kind: String,
    /// Where it serves.
    pub endpoint: String,
    /// Run by this supervisor.
    pub managed: bool,
    /// The program that the file gives it; empty: the one of its name that comes with the supervisor.
    pub program: String,
    /// Its stream is open.
    pub attached: bool,
    /// Why it doubts itself.
    pub blind: Option<String>,
    /// Its process, if managed.
    pub process: Option<ServiceView>,
}

/// A service.
#[derive(Debug, Clone)]
pub struct ServiceView {
    /// Its name.
    pub name: Name,
    /// Wanted up.
    pub wanted: bool,
    /// What it is doing.
    pub state: State,
    /// Why it is not simply running or stopped.
    pub reason: Option<String>,
    /// Its leader; 0: nothing runs.
    pub pid: u32,
    /// Where its processes are counted, if it has one.
    pub cgroup: Option<Arc<Cgroup>>,
    /// Of the current or the last run.
    pub incarnation: u64,
    /// Starts after the first.
    pub restarts: u64,
    /// Unstable runs in a row.
    pub streak: u32,
    /// Of the current run.
    pub uptime: Option<Duration>,
    /// Until the next start.
    pub next_start: Option<Duration>,
    /// It runs by its schedule and ends.
    pub job: bool,
    /// When it is run or restarted by the clock of the wall.
    pub next_run: Option<SystemTime>,
    /// Until it is killed.
    pub kill_in: Option<Duration>,
    /// How the last run ended, and when.
    pub last_exit: Option<(Exit, Option<SystemTime>)>,
    /// As configured.
    pub tags: Vec<String>,
    /// A person paused it; how much longer.
    pub paused: Option<Option<Duration>>,
    /// A restart that waits: answer, why, how long at least.
    pub held: Option<(Decision, String, Option<Duration>)>,
    /// Bytes of output that could not be written.
    pub dropped: u64,
    /// It lives and does nothing, as far as the watchdog can tell.
    pub frozen: bool,
    /// What it said over its notify socket.
    pub status_text: String,
    /// A new run is to take the place of this one, or could not.
    pub reload: Option<Reload>,
    /// Its checks.
    pub checks: Vec<CheckView>,
}

/// A check.
#[derive(Debug, Clone)]
pub struct CheckView {
    /// Which.
    pub id: Name,
    /// Who serves its kind.
    pub monitor: String,
    /// Its kind.
    pub kind: String,
    /// URL or addresses.
    pub target: String,
    /// What was said of it last, and how long ago the check behind it ended.
    pub report: Option<(Report, Duration)>,
}
