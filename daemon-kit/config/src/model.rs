//! What a checked `sereno.toml` says. Everything here is ready to use: defaults filled in, paths absolute, `${NAME}`
//! replaced, numbers within their ranges. Only this module's parent can make one from a file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use proto::Name;
use regex::Regex;

use super::problem::Places;

/// A whole file.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file, absolute.
    pub path: PathBuf,
    /// The folder that relative paths are relative to.
    pub base: PathBuf,
    /// `[supervisor]`.
    pub supervisor: SupervisorTable,
    /// `[services.NAME]`, `[defaults]` and this system's overlay merged in.
    pub services: BTreeMap<Name, Service>,
    /// `[monitors.NAME]` and the two built-in ones.
    pub monitors: BTreeMap<Name, Monitor>,
    /// Where in the file what stands, for problems that only the world can show. `Places::default()` knows nothing.
    pub places: Places,
}

/// `[supervisor]`.
#[derive(Debug, Clone, PartialEq)]
pub struct SupervisorTable {
    /// State, logs and sockets.
    pub home: PathBuf,
    /// Level of the daemon's own log, as `tracing` filters write it.
    pub log: String,
    /// When restarts are held for the whole host.
    pub brake: Brake,
    /// The watch over the supervisor itself.
    pub guard: Guard,
    /// Where it listens besides its own socket.
    pub listen: Vec<proto::Endpoint>,
    /// Who it is there, and whom it trusts.
    pub tls: Option<sereno_auth::TlsFiles>,
    /// Where whoever is on this machine reads its metrics.
    pub metrics: Option<std::net::SocketAddr>,
}

/// `[supervisor] brake`: suspect the host, not the services.
#[derive(Debug, Clone, PartialEq)]
pub struct Brake {
    /// More than this share of the checked services …
    pub share: f64,
    /// … and of at least so many checked services …
    pub min: u32,
    /// … went bad within this time.
    pub window: Duration,
}

/// `[supervisor] guard`: who starts a supervisor that died.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// Whether a dead supervisor is started again: by built-in monitors, or by a guard of its own.
    pub enabled: bool,
    /// A supervisor that has not answered for so long is killed and started again.
    pub hang: Duration,
}

/// `[services.NAME]`.
#[derive(Debug, Clone)]
pub struct Service {
    /// What runs.
    pub command: Command,
    /// Where it runs, absolute.
    pub cwd: PathBuf,
    /// `env`: on top of the inherited environment and `env_file`.
    pub env: BTreeMap<String, String>,
    /// `env_file`s, absolute, in order.
    pub env_file: Vec<PathBuf>,
    /// What of the caller's environment it gets.
    pub env_inherit: EnvInherit,
    /// Runs as this user (name or number).
    pub user: Option<String>,
    /// Runs as this group (name or number).
    pub group: Option<String>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// Priority, -20 to 19.
    pub nice: Option<i32>,
    /// Neither it nor what it starts can gain rights by a setuid program.
    pub no_new_privileges: bool,
    /// What of root's power it can have at all, one bit for each of [`CAPABILITIES`](super::CAPABILITIES); `None`: as is.
    pub capabilities: Option<u64>,
    /// Resource limits by name (`nofile`, `core`, …); `None` is unlimited.
    pub limits: BTreeMap<String, Option<u64>>,
    /// Started by `up` and at boot.
    pub autostart: bool,
    /// What must be there first.
    pub depends_on: BTreeMap<Name, Dependency>,
    /// When and how often it is started again.
    pub restart: RestartPolicy,
    /// All of these must hold for it to be ready.
    pub ready: Vec<Ready>,
    /// A run that is not ready by then has failed, if there is evidence.
    pub ready_timeout: Duration,
    /// How it is ended.
    pub stop: Stop,
    /// By id; `port` and `health` are the short forms.
    pub checks: BTreeMap<Name, Check>,
    /// Where and how its output is kept.
    pub log: Log,
    /// Bound by the supervisor, and handed over at each start.
    pub sockets: Vec<Socket>,
    /// For selectors `tag:x`.
    pub tags: Vec<String>,
    /// More memory than this, of all its processes together, and it is restarted; in bytes.
    pub memory_max: Option<u64>,
    /// When it counts as frozen.
    pub watchdog: Option<super::Watchdog>,
    /// A change to any of these files restarts it.
    pub watch: Option<super::Watch>,
    /// It is a job: it runs at these times, and ends.
    pub schedule: Option<super::Schedule>,
}

/// One of `sockets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// As in `LISTEN_FDNAMES`.
    pub name: String,
    /// Where it listens.
    pub listen: std::net::SocketAddr,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A program and its arguments; no shell is involved.
    Argv(Vec<String>),
    /// A line for the shell (`sh -c`, on Windows `cmd /c`).
    Shell(String),
}

/// `env_inherit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvInherit {
    /// Everything but `SERENO_*`.
    All,
    /// Nothing.
    None,
    /// Only these.
    Only(Vec<String>),
}

/// One edge of `depends_on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// What must be true of the dependency.
    pub on: DependencyOn,
    /// Whether its restart restarts the dependant too.
    pub restart: bool,
}

/// What must be true of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencyOn {
    /// Its process runs.
    Started,
    /// It is ready.
    Ready,
    /// It ran and ended well.
    Completed,
}

/// `restart = { … }`.
#[derive(Debug, Clone, PartialEq)]
pub struct RestartPolicy {
    /// Which ends are followed by another start.
    pub policy: Policy,
    /// Exits that count as well ended.
    pub success: Vec<Success>,
    /// The floor of every wait.
    pub delay: Duration,
    /// First wait of the backoff.
    pub initial: Duration,
    /// What each further wait is multiplied by.
    pub factor: f64,
    /// Longest wait of the backoff.
    pub max_wait: Duration,
    /// Share of the wait that chance may add or take.
    pub jitter: f64,
    /// A streak over this gives up.
    pub max: u32,
    /// A run is stable once ready and up for so long.
    pub min_uptime: Duration,
    /// What giving up means.
    pub give_up: GiveUp,
    /// How many restarts monitors may ask for.
    pub monitor_budget: Budget,
    /// It is restarted at these times, however well it is.
    pub cron: Option<super::Cron>,
}

/// `restart.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// After every end.
    Always,
    /// After an end that is not a success.
    OnFailure,
    /// After none.
    Never,
}

/// One of `restart.success_codes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Success {
    /// An exit code.
    Code(i32),
    /// Death by a signal, `"SIGTERM"`.
    Signal(String),
}

/// `restart.give_up`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// `failed`, until a person begins again.
    Stop,
    /// Tried again every so often.
    Retry {
        /// How often.
        every: Duration,
    },
}

/// So many within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How many.
    pub max: u32,
    /// Within this time.
    pub within: Duration,
}

/// One condition of `ready`.
#[derive(Debug, Clone)]
pub enum Ready {
    /// The process was spawned.
    Started,
    /// The check with this id passes (`port`, `health`, or one of `checks.<id>`).
    Check(Name),
    /// `READY=1` came over `NOTIFY_SOCKET`.
    Notify,
    /// A line of its output matches.
    Log(Regex),
    /// So much time has passed since the start.
    Delay(Duration),
}

/// `stop = { … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The signal, as `"SIGTERM"`.
    pub signal: String,
    /// Who gets it.
    pub to: StopTo,
    /// Then everything is killed.
    pub timeout: Duration,
    /// Tried first.
    pub command: Option<Vec<String>>,
}

/// `stop.to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopTo {
    /// Every process of the group.
    Group,
    /// Only the process that was started.
    Main,
}

/// `log = { … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Where stdout is kept; `None`: `home/log/NAME.out.log`.
    pub stdout: Option<PathBuf>,
    /// Where stderr is kept; `None`: `home/log/NAME.err.log`.
    pub stderr: Option<PathBuf>,
    /// A file is rotated at this size, in bytes.
    pub max_size: u64,
    /// So many rotated files are kept.
    pub keep: u32,
    /// Whether rotated files from the second on are compressed.
    pub compress: bool,
}

/// One check of a service.
#[derive(Debug, Clone)]
pub struct Check {
    /// Which monitors serve it: `http`, `tcp`, `exec` or one of their own.
    pub kind: String,
    /// What exactly is checked.
    pub spec: CheckSpec,
    /// How often.
    pub interval: Duration,
    /// How long one check may take; less than `interval`.
    pub timeout: Duration,
    /// How soon after a failure the next one is.
    pub retry_interval: Duration,
    /// Failures before the first success do not count until it is over.
    pub start_period: Duration,
    /// How many failures make it fail.
    pub failures: u32,
    /// … of the last so many; 0: in a row.
    pub window: u32,
    /// How many successes in a row make it pass again.
    pub successes: u32,
    /// Whether a failing check asks for a restart, or is only shown.
    pub on_failure: OnFailure,
}

/// `on_failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Ask for a restart.
    Restart,
    /// Only show it.
    Report,
}

/// What exactly is checked.
#[derive(Debug, Clone)]
pub enum CheckSpec {
    /// `kind = "http"`.
    Http(HttpCheck),
    /// `kind = "tcp"`: any one of these addresses will do.
    Tcp {
        /// `127.0.0.1:8000`, `[::1]:8000`.
        addresses: Vec<String>,
        /// Also say whose the port is.
        owner: bool,
    },
    /// `kind = "exec"`: a command that exits with 0.
    Exec {
        /// Program and arguments.
        argv: Vec<String>,
        /// Where it runs.
        cwd: PathBuf,
        /// On top of the service's environment.
        env: BTreeMap<String, String>,
    },
    /// Any other kind.
    Options(BTreeMap<String, String>),
}

/// `kind = "http"`.
#[derive(Debug, Clone)]
pub struct HttpCheck {
    /// What is asked for.
    pub url: String,
    /// How.
    pub method: String,
    /// With what headers.
    pub headers: BTreeMap<String, String>,
    /// Which status codes are good, as inclusive ranges.
    pub expect_status: Vec<(u16, u16)>,
    /// What the body must match.
    pub expect_body: Option<String>,
    /// Members that must equal: dotted path to JSON text.
    pub expect_json: BTreeMap<String, String>,
    /// How many redirects are followed.
    pub redirects: u32,
    /// Certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Do not verify the certificate.
    pub insecure: bool,
}

/// `[monitors.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitor {
    /// The check kinds it serves; the first is the one it was configured with.
    pub kinds: Vec<String>,
    /// Its program; `None`: the binary of its name beside the supervisor.
    pub program: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Whether the supervisor runs it.
    pub managed: bool,
    /// Where it serves `sereno.v1.Monitor`; `None`: the default in `home/run`.
    pub endpoint: Option<String>,
}
