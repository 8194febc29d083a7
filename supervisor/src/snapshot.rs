//! The view that clients see: a snapshot of everything, made on request.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proto::Name;

use crate::disk::applied::About;
use crate::incidents::outages::Availability;
use crate::lifecycle::arbiter::Decision;
use crate::lifecycle::check_runs::CheckRuns;
use crate::lifecycle::tally::{HostTally, Restarts};
use crate::lifecycle::{Exit, State};
use crate::os::Cgroup;
use crate::service::Reload;
use crate::service::reports::Report;

/// A snapshot of everything that the supervisor knows.
#[derive(Debug, Clone)]
pub struct View {
    /// A number that grows with every change.
    pub generation: u64,
    /// How long this supervisor has run.
    pub uptime: Duration,
    /// The instance name of this home.
    pub instance: String,
    /// The file that was applied.
    pub about: Arc<About>,
    /// Whether the supervisor is shutting down.
    pub going: bool,
    /// Why restarts are held for the whole host.
    pub brake: Option<String>,
    /// Why nothing would restart this supervisor if it died.
    pub unguarded: Option<&'static str>,
    /// An event of the supervisor itself to show until the next `up` or `apply`.
    pub notice: Option<String>,
    /// Monitors in the order of their names.
    pub monitors: Vec<MonitorView>,
    /// The guard, if this supervisor runs one.
    pub guard: Option<ServiceView>,
    /// What is counted over all services.
    pub tally: HostTally,
    /// How many services have an open incident.
    pub incidents_open: u64,
    /// Services in the order of their names.
    pub services: Vec<ServiceView>,
}

impl View {
    /// Returns the processes of Sereno's own daemons that this supervisor runs.
    pub fn daemons(&self) -> impl Iterator<Item = &ServiceView> {
        self.monitors.iter().filter_map(|monitor| monitor.process.as_ref()).chain(&self.guard)
    }
}

/// The view of a monitor.
#[derive(Debug, Clone)]
pub struct MonitorView {
    /// The monitor's name.
    pub name: Name,
    /// The check kind it serves.
    pub kind: String,
    /// The endpoint that it serves on.
    pub endpoint: String,
    /// Whether this supervisor runs it.
    pub managed: bool,
    /// The program in the file; empty for the program of that name that comes with the supervisor.
    pub program: String,
    /// Whether its stream is open.
    pub attached: bool,
    /// Why it does not trust its own measurements.
    pub blind: Option<String>,
    /// Its process, if managed.
    pub process: Option<ServiceView>,
}

/// The view of a service.
#[derive(Debug, Clone)]
pub struct ServiceView {
    /// The service's name.
    pub name: Name,
    /// Whether it is wanted up.
    pub wanted: bool,
    /// What it is doing.
    pub state: State,
    /// Why it is not simply running or stopped.
    pub reason: Option<String>,
    /// The pid of its leader; 0 if nothing runs.
    pub pid: u32,
    /// The cgroup that counts its processes, if it has one.
    pub cgroup: Option<Arc<Cgroup>>,
    /// The incarnation of the current or the last run.
    pub incarnation: u64,
    /// The number of starts after the first.
    pub restarts: u64,
    /// The same number, by cause.
    pub restarts_by_cause: Restarts,
    /// How long it was wanted up and not ready.
    pub unready: Duration,
    /// The number of unstable runs in a row.
    pub streak: u32,
    /// How long the current run has been up.
    pub uptime: Option<Duration>,
    /// The time until the next start.
    pub next_start: Option<Duration>,
    /// Whether it is a job: it runs by its schedule and ends.
    pub job: bool,
    /// The wall-clock time at which it is run or restarted next.
    pub next_run: Option<SystemTime>,
    /// The time until it is killed.
    pub kill_in: Option<Duration>,
    /// How the last run ended, and when.
    pub last_exit: Option<(Exit, Option<SystemTime>)>,
    /// The tags in its settings.
    pub tags: Vec<String>,
    /// Set if a person paused it: the remaining time, `None` if it has no end.
    pub paused: Option<Option<Duration>>,
    /// A held restart: the answer, the reason, and how long it is held at least.
    pub held: Option<(Decision, String, Option<Duration>)>,
    /// Bytes of output that could not be written.
    pub dropped: u64,
    /// Whether it is frozen, as far as the watchdog can tell.
    pub frozen: bool,
    /// The status text from its notify socket.
    pub status_text: String,
    /// A reload that is under way or has failed.
    pub reload: Option<Reload>,
    /// The views of its checks.
    pub checks: Vec<CheckView>,
    /// How available it was, over each of [`WINDOWS`](crate::incidents::outages::WINDOWS).
    pub availability: [Availability; 3],
    /// Its open incident.
    pub incident: Option<u64>,
}

/// The view of a check.
#[derive(Debug, Clone)]
pub struct CheckView {
    /// The check's name.
    pub id: Name,
    /// The monitor that serves its kind.
    pub monitor: String,
    /// The check's kind.
    pub kind: String,
    /// The URL or addresses that it checks.
    pub target: String,
    /// How many failures make it fail.
    pub failures: u32,
    /// In how many of its last results they are counted; 0: in a row.
    pub window: u32,
    /// How many of its checks ended how, over all runs.
    pub runs: CheckRuns,
    /// The last report of it, and how long ago the reported check ended.
    pub report: Option<(Report, Duration)>,
}
