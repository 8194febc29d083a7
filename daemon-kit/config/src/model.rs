//! The content of a checked `sereno.toml`, ready to use: defaults are filled in, paths are absolute, `${NAME}` is
//! replaced, numbers are within their ranges.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use proto::Name;
use regex::Regex;

use super::problem::Places;

/// A whole file, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file, absolute.
    pub path: PathBuf,
    /// Folder that relative paths start from.
    pub base: PathBuf,
    /// The table `[supervisor]`.
    pub supervisor: SupervisorTable,
    /// The tables `[services.NAME]`, with `[defaults]` and the overlay of this system merged in.
    pub services: BTreeMap<Name, Service>,
    /// The tables `[monitors.NAME]`, and the two built-in monitors.
    pub monitors: BTreeMap<Name, Monitor>,
    /// Position of each value in the file, for problems that are found on the host. Empty in `Places::default()`.
    pub places: Places,
}

/// The table `[supervisor]`.
#[derive(Debug, Clone, PartialEq)]
pub struct SupervisorTable {
    /// Folder of state, logs and sockets.
    pub home: PathBuf,
    /// Level of the supervisor's own log, as a `tracing` filter.
    pub log: String,
    /// Condition under which restarts of all services are held.
    pub brake: Brake,
    /// Whether and when the supervisor itself is restarted.
    pub guard: Guard,
    /// Endpoints that it listens at besides its own socket.
    pub listen: Vec<proto::Endpoint>,
    /// Certificate of the supervisor for `https://`, and the authority that it trusts.
    pub tls: Option<sereno_auth::TlsFiles>,
    /// Address of the metrics, on this machine only.
    pub metrics: Option<std::net::SocketAddr>,
}

/// `[supervisor] brake`: when so many services fail at once that the host is suspected, not the services.
#[derive(Debug, Clone, PartialEq)]
pub struct Brake {
    /// Share of the checked services that must have failed; more than this.
    pub share: f64,
    /// Least number of checked services.
    pub min: u32,
    /// Time within which they must have failed.
    pub window: Duration,
}

/// `[supervisor] guard`: whether a supervisor that died is restarted.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// Whether it is restarted: by built-in monitors, or by a guard of its own.
    pub enabled: bool,
    /// Time without an answer after which the supervisor is killed and restarted.
    pub hang: Duration,
}

/// The table `[services.NAME]`.
#[derive(Debug, Clone)]
pub struct Service {
    /// Program or shell line that is run.
    pub command: Command,
    /// Working directory, absolute.
    pub cwd: PathBuf,
    /// Variables that replace those of the inherited environment and of `env_file`.
    pub env: BTreeMap<String, String>,
    /// Files of variables, absolute; a later file replaces variables of an earlier one.
    pub env_file: Vec<PathBuf>,
    /// Part of the caller's environment that it gets.
    pub env_inherit: EnvInherit,
    /// User that it runs as, by name or number.
    pub user: Option<String>,
    /// Group that it runs as, by name or number.
    pub group: Option<String>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// Priority, -20 to 19.
    pub nice: Option<i32>,
    /// Whether setuid programs give no rights to it and its descendants.
    pub no_new_privileges: bool,
    /// Capabilities that it can have at all, one bit for each of [`CAPABILITIES`](super::CAPABILITIES); `None`: those
    /// of the supervisor.
    pub capabilities: Option<u64>,
    /// Resource limits by name (`nofile`, `core`, …); `None` is unlimited.
    pub limits: BTreeMap<String, Option<u64>>,
    /// Whether it is started by `up` and at boot.
    pub autostart: bool,
    /// Services that it waits for.
    pub depends_on: BTreeMap<Name, Dependency>,
    /// When and how often it is restarted.
    pub restart: RestartPolicy,
    /// Conditions that must all hold for it to be ready.
    pub ready: Vec<Ready>,
    /// Time after which a run that is not ready has failed, if a check says so.
    pub ready_timeout: Duration,
    /// How it is stopped.
    pub stop: Stop,
    /// Checks by id; the short forms are `port` and `health`.
    pub checks: BTreeMap<Name, Check>,
    /// Where and how its output is stored.
    pub log: Log,
    /// Sockets that the supervisor binds and passes on at each start.
    pub sockets: Vec<Socket>,
    /// Tags, for selectors such as `tag:x`.
    pub tags: Vec<String>,
    /// Memory of all its processes together, in bytes, above which it is restarted.
    pub memory_max: Option<u64>,
    /// Condition under which it counts as frozen.
    pub watchdog: Option<super::Watchdog>,
    /// Files whose change restarts it.
    pub watch: Option<super::Watch>,
    /// Times at which it runs, if it is a job.
    pub schedule: Option<super::Schedule>,
}

/// An entry of `sockets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Name in `LISTEN_FDNAMES`.
    pub name: String,
    /// Address that it listens at.
    pub listen: std::net::SocketAddr,
}

/// The command of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A program and its arguments, run without a shell.
    Argv(Vec<String>),
    /// A line for the shell (`sh -c`, on Windows `cmd /c`).
    Shell(String),
}

/// The part of the caller's environment that a service gets: `env_inherit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvInherit {
    /// Everything but `SERENO_*`.
    All,
    /// No variable at all.
    None,
    /// Only the variables of these names.
    Only(Vec<String>),
}

/// An entry of `depends_on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// State that the dependency must have.
    pub on: DependencyOn,
    /// Whether a restart of the dependency restarts the dependant.
    pub restart: bool,
}

/// The state that a dependency must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencyOn {
    /// It has a running process.
    Started,
    /// It is ready.
    Ready,
    /// It has run and ended with success.
    Completed,
}

/// The table `restart`.
#[derive(Debug, Clone, PartialEq)]
pub struct RestartPolicy {
    /// Which ends are followed by a restart.
    pub policy: Policy,
    /// Exits that count as success.
    pub success: Vec<Success>,
    /// Shortest wait before any restart.
    pub delay: Duration,
    /// First wait of the backoff.
    pub initial: Duration,
    /// Factor from one wait to the next.
    pub factor: f64,
    /// Longest wait of the backoff.
    pub max_wait: Duration,
    /// Largest random change of a wait, as a share of it.
    pub jitter: f64,
    /// Number of failed runs in a row after which the service is given up.
    pub max: u32,
    /// Time after which a run that is ready counts as stable.
    pub min_uptime: Duration,
    /// What happens to a service that is given up.
    pub give_up: GiveUp,
    /// Number of restarts that monitors may request.
    pub monitor_budget: Budget,
    /// Times at which it is restarted, even if it is healthy.
    pub cron: Option<super::Cron>,
}

/// Which ends are followed by a restart: `restart.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Every end of a run.
    Always,
    /// An end that is not a success.
    OnFailure,
    /// No end at all.
    Never,
}

/// An entry of `restart.success_codes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Success {
    /// An exit code.
    Code(i32),
    /// Death by a signal, such as `"SIGTERM"`.
    Signal(String),
}

/// What happens to a service that is given up: `restart.give_up`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// It stays `failed` until a person starts it.
    Stop,
    /// It is started again at intervals.
    Retry {
        /// Time between two attempts.
        every: Duration,
    },
}

/// A number of events within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Largest number of events.
    pub max: u32,
    /// Time in which they are counted.
    pub within: Duration,
}

/// A condition of `ready`.
#[derive(Debug, Clone)]
pub enum Ready {
    /// The process was spawned.
    Started,
    /// The check with this id passes (`port`, `health`, or one of `checks.<id>`).
    Check(Name),
    /// The service sent `READY=1` to `NOTIFY_SOCKET`.
    Notify,
    /// A line of its output matches.
    Log(Regex),
    /// This time has passed since the start.
    Delay(Duration),
}

/// The table `stop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Name of the signal, such as `"SIGTERM"`.
    pub signal: String,
    /// Processes that get the signal.
    pub to: StopTo,
    /// Time after which every process is killed.
    pub timeout: Duration,
    /// Command that is run before the signal is sent.
    pub command: Option<Vec<String>>,
    /// What is asked of a run before it is ended because it was judged.
    pub evidence: Option<super::AskedEvidence>,
}

/// The processes that get the stop signal: `stop.to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopTo {
    /// Every process of the group.
    Group,
    /// Only the process that was started.
    Main,
}

/// The table `log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// File of stdout; `None`: `home/log/NAME.out.log`.
    pub stdout: Option<PathBuf>,
    /// File of stderr; `None`: `home/log/NAME.err.log`.
    pub stderr: Option<PathBuf>,
    /// Size in bytes at which a file is rotated.
    pub max_size: u64,
    /// Number of rotated files that are kept.
    pub keep: u32,
    /// Whether rotated files from the second on are compressed.
    pub compress: bool,
}

/// A check of a service.
#[derive(Debug, Clone)]
pub struct Check {
    /// Kind, which says which monitor serves it: `http`, `tcp`, `exec` or that of another monitor.
    pub kind: String,
    /// What it looks at.
    pub spec: CheckSpec,
    /// Time between two checks.
    pub interval: Duration,
    /// Longest duration of one check; less than `interval`.
    pub timeout: Duration,
    /// Time from a failure to the next check.
    pub retry_interval: Duration,
    /// Time from the start of a run in which failures before the first success do not count.
    pub start_period: Duration,
    /// Number of failures that make the check fail.
    pub failures: u32,
    /// Number of last results in which these failures are counted; 0: they are counted in a row.
    pub window: u32,
    /// Number of successes in a row that make the check pass again.
    pub successes: u32,
    /// What follows from a failing check.
    pub on_failure: OnFailure,
}

/// What follows from a failing check: `on_failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The monitor requests a restart.
    Restart,
    /// The failure is only shown.
    Report,
}

/// What a check looks at.
#[derive(Debug, Clone)]
pub enum CheckSpec {
    /// A request of `kind = "http"`.
    Http(HttpCheck),
    /// Addresses of `kind = "tcp"`, one of which must accept a connection.
    Tcp {
        /// Addresses such as `127.0.0.1:8000` or `[::1]:8000`.
        addresses: Vec<String>,
        /// Whether the owner of the port is determined too.
        owner: bool,
    },
    /// A command of `kind = "exec"`, which must exit with 0.
    Exec {
        /// Program and arguments.
        argv: Vec<String>,
        /// Working directory, absolute.
        cwd: PathBuf,
        /// Variables that replace those of the service.
        env: BTreeMap<String, String>,
    },
    /// Options of any other kind.
    Options(BTreeMap<String, String>),
}

/// The request of a check of `kind = "http"`.
#[derive(Debug, Clone)]
pub struct HttpCheck {
    /// URL that is requested.
    pub url: String,
    /// Method of the request.
    pub method: String,
    /// Headers of the request.
    pub headers: BTreeMap<String, String>,
    /// Accepted status codes, as inclusive ranges.
    pub expect_status: Vec<(u16, u16)>,
    /// Regular expression that the body must match.
    pub expect_body: Option<String>,
    /// Members of the body that must be equal, by dotted path, as JSON text.
    pub expect_json: BTreeMap<String, String>,
    /// Number of redirects that are followed.
    pub redirects: u32,
    /// Certificates that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// Whether the certificate is not verified.
    pub insecure: bool,
}

/// The table `[monitors.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitor {
    /// Kinds of checks that it serves; the first is the configured one.
    pub kinds: Vec<String>,
    /// Program of the monitor; `None`: the binary of its name beside the supervisor.
    pub program: Option<String>,
    /// Arguments of the program.
    pub args: Vec<String>,
    /// Whether the supervisor runs it.
    pub managed: bool,
    /// Endpoint of its `sereno.v1.Monitor`; `None`: the default in `home/run`.
    pub endpoint: Option<String>,
}
