//! The settings table that every monitor has, from file, environment and flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::start::StartError;

/// The settings table that every monitor has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Settings {
    /// Level or filter of the log.
    pub(super) log: String,
    /// Name in the supervisor's configuration; if empty, the name of the program.
    pub(super) name: String,
    /// Supervisor to attach to.
    pub(super) supervisor: String,
    /// Endpoints to serve at.
    pub(super) listen: Listen,
    /// Certificate and key that the monitor presents on `https://`.
    pub(super) tls: Option<Tls>,
    /// File with the token that the monitor presents on `http://`.
    pub(super) token_file: PathBuf,
    /// File of accepted tokens for `http://` listeners; if empty, the tokens file of the monitor's home.
    pub(super) tokens: PathBuf,
}

/// A single endpoint or a list of endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Listen {
    /// A single endpoint.
    One(String),
    /// A list of endpoints.
    All(Vec<String>),
}

/// Three PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// Certificate of the trusted authority.
    pub(super) ca: PathBuf,
    /// Certificate of this monitor.
    pub(super) cert: PathBuf,
    /// Private key of that certificate.
    pub(super) key: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log: "info".into(),
            name: String::new(),
            supervisor: String::new(),
            listen: Listen::All(Vec::new()),
            tls: None,
            token_file: PathBuf::new(),
            tokens: PathBuf::new(),
        }
    }
}

/// Reads the settings of a monitor: its table in the file, if one is given, below the environment and `--log`.
pub(super) fn load(
    daemon: &str,
    file: Option<&Path>,
    env: &BTreeMap<OsString, OsString>,
    log: Option<String>,
) -> Result<Settings, StartError> {
    let mut own = String::new();
    if let Some(file) = file {
        let text =
            std::fs::read_to_string(file).map_err(|source| StartError::Read { path: file.into(), source })?;
        let pair = |(name, value): (&OsString, &OsString)| {
            Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()))
        };
        own = sereno_config::daemon_table(file, &text, daemon, &env.iter().filter_map(pair).collect())?;
    }
    let vars = env.iter().map(|(name, value)| (name.clone(), value.clone()));
    Ok(sereno_runtime::settings::load(daemon, &own, vars, [("log", log)])?)
}
