//! From flags, environment and file to a running monitor: what the `main` of every monitor does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::endpoint::EndpointError;
use proto::name::NameError;
use proto::{Endpoint, Name};
use serde::Deserialize;

use super::probe::Probe;
use super::{Identity, RunError};
use crate::chassis::listen::ListenError;
use crate::chassis::logging::{self, LoggingError};
use crate::chassis::settings::{self, SettingsError};
use crate::chassis::{Init, Shutdown, bind};

/// What may stand on the command line of every monitor.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: the file with the monitor's own table; else `SERENO_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--supervisor`: whom to attach to; else `SERENO_SUPERVISOR`, else the table's `supervisor`.
    pub supervisor: Option<String>,
    /// `--listen`: where to serve; else `SERENO_LISTEN`, else the table's `listen`.
    pub listen: Option<String>,
    /// `--log`: level or filter of the log.
    pub log: Option<String>,
}

/// The table that every monitor has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Level or filter of the log.
    pub log: String,
    /// Its name in the supervisor's configuration; empty: its program's.
    pub name: String,
    /// Whom to attach to.
    pub supervisor: String,
    /// Where to serve.
    pub listen: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { log: "info".into(), name: String::new(), supervisor: String::new(), listen: String::new() }
    }
}

/// Why a monitor does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The table is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A needed value stands nowhere.
    #[error("find {what}: give --{what}, {variable}, or {what} = \"unix:///…\" in [{daemon}]")]
    Missing {
        /// What.
        what: &'static str,
        /// Where a managed monitor has it from.
        variable: &'static str,
        /// Whose table.
        daemon: &'static str,
    },
    /// An endpoint that is none.
    #[error("read {what}: {source}")]
    Endpoint {
        /// Which.
        what: &'static str,
        /// Why.
        source: EndpointError,
    },
    /// A name that is none.
    #[error("read name: {0}")]
    Name(#[from] NameError),
    /// No log.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// No socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No runtime or no signals.
    #[error("start the runtime: {0}")]
    Runtime(#[from] io::Error),
    /// It ran, and ended badly.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl StartError {
    /// 2 for what a person has to correct, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(SettingsError::Read { .. })
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
    let (identity, settings) = identify::<P>(daemon, version, flags, env)?;
    let logs = env.get("SERENO_HOME".as_ref() as &std::ffi::OsStr).map(|home| Path::new(home).join("log"));
    let _log = logging::init(identity.name.as_str(), &settings.log, logs.as_deref())?;
    // One thread does everything; the blocking ones only read /proc now and then.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_keep_alive(Duration::from_secs(1))
        .build()?;
    let ran = runtime.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.on_signals()?;
        let listener = bind(&identity.endpoint)?;
        tracing::info!(name = %identity.name, version, endpoint = %identity.endpoint, "started");
        #[cfg(any(target_os = "linux", windows))]
        if let Some(guard) = super::guard::Guard::of(&identity, env) {
            guard.spawn(shutdown.clone());
        }
        // Whoever calls from here on waits at the socket; without a supervisor it is ready just the same.
        if let Some(init) = Init::of(env) {
            init.report(shutdown.clone());
        }
        super::run(identity, probe, listener, shutdown).await?;
        Ok(())
    });
    if let Err(error) = &ran {
        let error: &StartError = error;
        tracing::error!(%error, "ended");
    }
    // A blocking read that hangs must not hold the exit.
    runtime.shutdown_background();
    ran
}

fn identify<P: Probe>(
    daemon: &'static str,
    version: &'static str,
    flags: &Flags,
    env: &BTreeMap<OsString, OsString>,
) -> Result<(Identity, Settings), StartError> {
    let var = |name: &str| {
        let value = env.get(name.as_ref() as &std::ffi::OsStr)?.to_str()?.to_owned();
        (!value.is_empty()).then_some(value)
    };
    // The supervisor's own file may be gone for a while (an unmounted drive): a managed monitor starts without.
    let inherited = var("SERENO_CONFIG").map(PathBuf::from).filter(|path| path.exists());
    let file = flags.config.clone().or(inherited);
    let vars = env.iter().map(|(name, value)| (name.clone(), value.clone()));
    let settings: Settings = settings::load(daemon, file.as_deref(), vars, [("log", flags.log.clone())])?;

    let endpoint = |what: &'static str, variable: &'static str, flag: &Option<String>, table: &str| {
        let told =
            flag.clone().or_else(|| var(variable)).or_else(|| (!table.is_empty()).then(|| table.into()));
        let uri = told.ok_or(StartError::Missing { what, variable, daemon })?;
        Endpoint::parse(&uri).map_err(|source| StartError::Endpoint { what, source })
    };
    let table = if settings.name.is_empty() { daemon } else { &settings.name };
    let name = Name::new(var("SERENO_MONITOR").as_deref().unwrap_or(table))?;
    let identity = Identity {
        name,
        kinds: P::KINDS,
        version,
        session: format!("{:016x}", fastrand::u64(..)),
        supervisor: endpoint("supervisor", "SERENO_SUPERVISOR", &flags.supervisor, &settings.supervisor)?,
        endpoint: endpoint("listen", "SERENO_LISTEN", &flags.listen, &settings.listen)?,
    };
    Ok((identity, settings))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fake;
    use super::*;

    fn identify_with(env: &[(&str, &str)], flags: &Flags) -> Result<Identity, StartError> {
        let env = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        identify::<Fake>("x-monitor", "1", flags, &env).map(|(identity, _)| identity)
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
        // A file that is gone does not keep it from its work.
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
    fn what_is_missing_or_wrong_is_a_persons_to_correct() {
        let flags = |listen: &str| Flags { listen: Some(listen.into()), ..Flags::default() };
        for (env, flags, part) in [
            (&MANAGED[..1], Flags::default(), "find supervisor: give --supervisor, SERENO_SUPERVISOR, or"),
            (&MANAGED[..2], Flags::default(), "find listen: give --listen"),
            (&MANAGED[..], flags("http://127.0.0.1:1"), "read listen: "),
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
        let missing = Flags { config: Some("/does/not/exist".into()), ..Flags::default() };
        assert_eq!(identify_with(&MANAGED, &missing).expect_err("asked for").exit_code(), 1);
    }
}
