//! Starts a monitor from flags, environment and file. The `main` of every monitor calls this.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use proto::endpoint::EndpointError;
use proto::name::NameError;
use proto::{Endpoint, Name};

use super::probe::Probe;
use super::settings::{self, Listen, Settings, Tls};
use super::{Identity, RunError};
use sereno_auth::{TlsFiles, tokens};
use sereno_config::Problems;
use sereno_connect::Credentials;
use sereno_runtime::logging::{self, LoggingError};
use sereno_runtime::settings::SettingsError;
use sereno_runtime::{SdNotify, Shutdown, runtime};
use sereno_serve::listen::ListenError;
use sereno_serve::{Access, BindPolicy, bind_all};

/// Flags that every monitor accepts on its command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: the file with the monitor's own table; else `SERENO_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--supervisor`: the supervisor to attach to; else `SERENO_SUPERVISOR`, else the table's
    /// `supervisor`.
    pub supervisor: Option<String>,
    /// `--listen`: where to serve; else `SERENO_LISTEN`, else the table's `listen`.
    pub listen: Option<String>,
    /// `--log`: level or filter of the log.
    pub log: Option<String>,
    /// `--token-file`: the token presented on `http://`; else `SERENO_TOKEN_FILE`, else the table's `token_file`.
    pub token_file: Option<PathBuf>,
    /// `--ca`, `--cert` and `--key`: the certificate presented on `https://`; else the table's `tls`.
    pub tls: [Option<PathBuf>; 3],
}

/// Why a monitor can not start, or why it ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file can not be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// The monitor's own table in the file is invalid.
    #[error(transparent)]
    File(#[from] Problems),
    /// A setting of the environment or a flag is invalid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A required value is not set anywhere.
    #[error("find {what}: give --{what}, {variable}, or {what} = \"unix:///…\" in [{daemon}]")]
    Missing {
        /// Name of the value.
        what: &'static str,
        /// Environment variable that holds the value in a managed monitor.
        variable: &'static str,
        /// Daemon whose table may hold the value.
        daemon: &'static str,
    },
    /// An endpoint can not be parsed.
    #[error("read {what}: {source}")]
    Endpoint {
        /// Name of the setting.
        what: &'static str,
        /// Cause of the parse error.
        source: EndpointError,
    },
    /// Only some of the three TLS files are given.
    #[error("use --ca, --cert and --key: all three or none")]
    HalfTls,
    /// The name is invalid.
    #[error("read name: {0}")]
    Name(#[from] NameError),
    /// The log can not be opened.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The socket can not be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The runtime or the signal handlers can not be created.
    #[error("start the runtime: {0}")]
    Runtime(#[from] io::Error),
    /// The monitor ran and ended with an error.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl StartError {
    /// Returns 2 for errors that a person has to correct, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Read { .. }
            | Self::Logging(LoggingError::Open { .. } | LoggingError::Twice)
            | Self::Listen(_)
            | Self::Runtime(_)
            | Self::Run(_) => 1,
            _ => 2,
        }
    }
}

/// Runs one monitor until SIGINT or SIGTERM: settings, log, socket, then [`super::run`].
pub fn start<P: Probe>(
    daemon: &'static str,
    version: &'static str,
    flags: &Flags,
    env: &BTreeMap<OsString, OsString>,
    probe: P,
) -> Result<(), StartError> {
    let Found { identity, settings, endpoints, tokens } = identify::<P>(daemon, version, flags, env)?;
    let access = Access::new(tokens, identity.credentials.tls.clone());
    let managed = env.contains_key("SERENO_MONITOR".as_ref() as &std::ffi::OsStr);
    let logs = env.get("SERENO_HOME".as_ref() as &std::ffi::OsStr).map(|home| Path::new(home).join("log"));
    let _log = logging::init(identity.name.as_str(), &settings.log, logs.as_deref())?;
    // One thread does all the work; the blocking threads only read /proc now and then.
    let runtime = runtime(2)?;
    let ran = runtime.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.on_signals()?;
        let policy = if managed { BindPolicy::Retry } else { BindPolicy::FailFast };
        let listener = bind_all(&endpoints, access, policy)?;
        tracing::info!(name = %identity.name, version, endpoint = %identity.endpoint, "started");
        if let Some(guard) = identity.guard(env) {
            guard.spawn(shutdown.clone());
        }
        // From here on calls queue at the socket. The monitor is ready even without a supervisor.
        if let Some(init) = SdNotify::of(env) {
            init.report(shutdown.clone());
        }
        super::run(identity, probe, listener, shutdown).await?;
        Ok(())
    });
    if let Err(error) = &ran {
        let error: &StartError = error;
        tracing::error!(%error, "ended");
    }
    // A blocking read that hangs must not delay the exit.
    runtime.shutdown_background();
    ran
}

/// Result of combining flags, environment and file.
struct Found {
    identity: Identity,
    settings: Settings,
    /// All endpoints that the monitor serves at.
    endpoints: Vec<Endpoint>,
    /// File of the tokens that the monitor accepts.
    tokens: Option<PathBuf>,
}

fn identify<P: Probe>(
    daemon: &'static str,
    version: &'static str,
    flags: &Flags,
    env: &BTreeMap<OsString, OsString>,
) -> Result<Found, StartError> {
    let var = |name: &str| {
        let value = env.get(name.as_ref() as &std::ffi::OsStr)?.to_str()?.to_owned();
        (!value.is_empty()).then_some(value)
    };
    // The supervisor's own file may be gone for a while (an unmounted drive): a managed monitor starts without it.
    let inherited = var("SERENO_CONFIG").map(PathBuf::from).filter(|path| path.exists());
    let file = flags.config.clone().or(inherited);
    let settings = settings::load(daemon, file.as_deref(), env, flags.log.clone())?;

    let read = |what: &'static str, uri: &str| {
        Endpoint::parse(uri).map_err(|source| StartError::Endpoint { what, source })
    };
    let missing = |what, variable| StartError::Missing { what, variable, daemon };
    let supervisor = flags.supervisor.clone().or_else(|| var("SERENO_SUPERVISOR"));
    let supervisor = supervisor.or_else(|| Some(settings.supervisor.clone()).filter(|uri| !uri.is_empty()));
    let supervisor = supervisor.ok_or_else(|| missing("supervisor", "SERENO_SUPERVISOR"))?;

    let told = flags.listen.clone().or_else(|| var("SERENO_LISTEN"));
    let table = match &settings.listen {
        Listen::One(uri) => vec![uri.clone()],
        Listen::All(uris) => uris.clone(),
    };
    // The flag replaces the table's endpoints. An endpoint given by the supervisor is added to them.
    let more = if flags.listen.is_some() { Vec::new() } else { table };
    let mut endpoints = Vec::new();
    for uri in told.iter().chain(&more) {
        let endpoint = read("listen", uri)?;
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
    let first = told.as_ref().and(endpoints.first());
    // Without an endpoint from the supervisor, prefers one that names a host: other hosts can not open a local socket.
    let named = || endpoints.iter().find(|endpoint| !endpoint.is_local() && endpoint.names_a_host());
    let asked_at = first.or_else(named).or(endpoints.first());
    let asked_at = asked_at.cloned().ok_or_else(|| missing("listen", "SERENO_LISTEN"))?;

    let of_home =
        || var("SERENO_HOME").map(|home| tokens::path(&sereno_config::Home::at(Path::new(&home)).state()));
    let given = |path: &Path| Some(path.to_owned()).filter(|path| !path.as_os_str().is_empty());
    let token_file = flags.token_file.clone().or_else(|| var("SERENO_TOKEN_FILE").map(PathBuf::from));
    let table = if settings.name.is_empty() { daemon } else { &settings.name };
    let identity = Identity {
        name: Name::new(var("SERENO_MONITOR").as_deref().unwrap_or(table))?,
        kinds: P::KINDS,
        version,
        session: format!("{:016x}", fastrand::u64(..)),
        supervisor: read("supervisor", &supervisor)?,
        credentials: Credentials {
            tls: tls_files(flags, settings.tls.as_ref())?,
            token_file: token_file.or_else(|| given(&settings.token_file)),
        },
        endpoint: asked_at,
    };
    let tokens = given(&settings.tokens).or_else(of_home);
    Ok(Found { identity, settings, endpoints, tokens })
}

/// Takes the three TLS files from the flags, or else from the table.
fn tls_files(flags: &Flags, table: Option<&Tls>) -> Result<Option<TlsFiles>, StartError> {
    match (&flags.tls, table) {
        ([None, None, None], None) => Ok(None),
        ([Some(ca), Some(cert), Some(key)], _) | ([None, None, None], Some(Tls { ca, cert, key })) => {
            Ok(Some(TlsFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() }))
        }
        _ => Err(StartError::HalfTls),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fake;
    use super::*;

    fn identify_with(env: &[(&str, &str)], flags: &Flags) -> Result<Identity, StartError> {
        let env = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        identify::<Fake>("x-monitor", "1", flags, &env).map(|found| found.identity)
    }

    const MANAGED: [(&str, &str); 3] = [
        ("SERENO_MONITOR", "mine"),
        ("SERENO_SUPERVISOR", "unix:///run/supervisor.sock"),
        ("SERENO_LISTEN", "unix:///run/mine.sock"),
    ];

    #[test]
    fn a_managed_monitor_is_who_it_was_told_to_be() {
        let identity = identify_with(&MANAGED, &Flags::default()).expect("told all");
        assert_eq!(identity.name.as_str(), "mine");
        assert_eq!(identity.supervisor.to_string(), "unix:///run/supervisor.sock");
        assert_eq!(identity.endpoint.to_string(), "unix:///run/mine.sock");
        assert_eq!(identity.session.len(), 16);
        let again = identify_with(&MANAGED, &Flags::default()).expect("told all");
        assert_ne!(identity.session, again.session, "new for each process");
        let flags = Flags { listen: Some("unix:///tmp/y.sock".into()), ..Flags::default() };
        let identity = identify_with(&MANAGED, &flags).expect("told all");
        assert_eq!(identity.endpoint.to_string(), "unix:///tmp/y.sock", "a flag wins");
        // A missing inherited file does not prevent the start.
        let gone = [&MANAGED[..], &[("SERENO_CONFIG", "/does/not/exist")]].concat();
        identify_with(&gone, &Flags::default()).expect("starts without");
    }

    #[test]
    fn one_of_its_own_reads_its_table() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("sereno.toml");
        let table =
            "[x-monitor]\nname = \"far\"\nsupervisor = \"unix:///a.sock\"\nlisten = \"unix:///b.sock\"\n";
        std::fs::write(&path, table).expect("writes");
        let flags = Flags { config: Some(path), ..Flags::default() };
        let identity = identify_with(&[], &flags).expect("all in the table");
        assert_eq!((identity.name.as_str(), identity.endpoint.to_string()), ("far", "unix:///b.sock".into()));
    }

    #[test]
    fn one_elsewhere_has_what_it_shows_beside_its_table() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("sereno.toml");
        let table = "[x-monitor]\nsupervisor = \"https://a:1\"\nlisten = [\"unix:///b.sock\", \"https://c:2\"]\n\
                     tls = { ca = \"ca\", cert = \"/abs/cert\", key = \"key\" }\ntoken_file = \"token\"\n";
        std::fs::write(&path, table).expect("writes");
        let flags = Flags { config: Some(path), ..Flags::default() };
        let found = |flags: &Flags, env: &[(&str, &str)]| {
            let env = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
            identify::<Fake>("x-monitor", "1", flags, &env)
        };
        let told = found(&flags, &[]).expect("all in the table");
        assert_eq!(told.identity.endpoint.to_string(), "https://c:2", "where others reach it");
        assert_eq!(told.endpoints.len(), 2);
        let tls = told.identity.credentials.tls.expect("three files");
        assert_eq!((tls.ca, tls.cert), (dir.path().join("ca"), PathBuf::from("/abs/cert")));
        assert_eq!(told.identity.credentials.token_file, Some(dir.path().join("token")));
        assert_eq!(told.tokens, None, "it has no home");
        // A managed monitor serves at the endpoint that the supervisor gave, and also at those of the table.
        let managed = [&MANAGED[..], &[("SERENO_HOME", "/h"), ("SERENO_TOKEN_FILE", "/t")]].concat();
        let told = found(&flags, &managed).expect("told all");
        assert_eq!(told.identity.endpoint.to_string(), "unix:///run/mine.sock");
        assert_eq!((told.endpoints.len(), told.identity.credentials.token_file), (3, Some("/t".into())));
        assert_eq!(told.tokens, Some("/h/state/tokens".into()));
        let half = Flags { tls: [Some("ca".into()), None, None], ..flags };
        assert!(matches!(found(&half, &[]), Err(StartError::HalfTls)));
    }

    #[test]
    fn what_is_missing_or_wrong_is_a_persons_to_correct() {
        let flags = |listen: &str| Flags { listen: Some(listen.into()), ..Flags::default() };
        for (env, flags, part) in [
            (&MANAGED[..1], Flags::default(), "find supervisor: give --supervisor, SERENO_SUPERVISOR, or"),
            (&MANAGED[..2], Flags::default(), "find listen: give --listen"),
            (&MANAGED[..], flags("http://10.0.0.1:1"), "read listen: "),
            (&[("SERENO_MONITOR", "a b"), MANAGED[1], MANAGED[2]], Flags::default(), "read name: "),
            (
                &[("SERENO_X_MONITOR__LGO", "x")],
                Flags::default(),
                "SERENO_X_MONITOR__LGO: lgo = \"x\": unknown field",
            ),
        ] {
            let error = identify_with(env, &flags).expect_err(part);
            assert!(error.to_string().starts_with(part), "{error}");
            assert_eq!(error.exit_code(), 2, "{error}");
        }
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("sereno.toml");
        for (text, said) in [
            (
                "[x-monitor]\nlistn = \"unix:///b\"\nlog = \"loud\"\n[services.x]\n",
                "sereno.toml:2:1: x-monitor.listn: is not a known key (did you mean \"listen\"?)\n\
                 sereno.toml:3:7: x-monitor.log = \"loud\": must be ",
            ),
            (
                "[x-monitor]\ntokens = \"${NOPE}\"\n",
                "sereno.toml:2:10: x-monitor.tokens = \"${NOPE}\": needs NOPE",
            ),
            ("[x-monitor\n", "sereno.toml:1:"),
        ] {
            std::fs::write(&path, text).expect("writes");
            let flags = Flags { config: Some(path.clone()), ..Flags::default() };
            let error = identify_with(&MANAGED, &flags).expect_err(said);
            assert!(error.to_string().starts_with(said), "{error}");
            assert_eq!(error.exit_code(), 2, "{error}");
        }
        let missing = Flags { config: Some("/does/not/exist".into()), ..Flags::default() };
        assert_eq!(identify_with(&MANAGED, &missing).expect_err("asked for").exit_code(), 1);
    }
}
