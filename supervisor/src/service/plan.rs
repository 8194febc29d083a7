//! Turns settings into everything that a start needs. Prepared once, so that only the mark changes between an exit and
//! the next start.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::Name;
use sereno_config::{Account, AccountError, Command, Env, EnvError, ProgramError};

use crate::lifecycle::arbiter::words;
use crate::os::{self, Confine, Host, Ids, Launch, MARK};

/// Why a start cannot be prepared, or a check's command has no rights to run with.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The user or group cannot be had.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// An environment file cannot be used.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The program cannot be found.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The folder that the settings name does not exist.
    #[error("cwd {} is not there", .0.display())]
    NoFolder(PathBuf),
    /// The command has no first word.
    #[error("the command is empty")]
    NoCommand,
    /// The system does not know this limit.
    #[error("this system has no limit {0:?}")]
    NoLimit(String),
    /// A text cannot be passed to a program.
    #[error("{0:?} holds a NUL character")]
    Nul(String),
    /// A path cannot be passed to a program.
    #[error("{} holds a NUL", .0.display())]
    NulInPath(PathBuf),
    /// The system has not answered in time what is there.
    #[error("{0} does not answer within {within}", within = words(*.1))]
    NoAnswer(String, Duration),
    /// What a check's command needs could not be found out, for this reason.
    #[error("{0}")]
    Unknown(String),
    /// There is no run whose rights a check could have.
    #[error("the service does not run")]
    NotRunning,
}

/// A prepared start.
#[derive(Debug)]
pub struct Plan {
    launch: Launch,
    mark: usize,
}

impl Plan {
    /// Looks up what the settings name: program, folder, environment files. An error means that the host lacks
    /// something.
    pub fn make(
        service: &sereno_config::Service,
        account: &Account,
        caller: &Env,
        extra: &BTreeMap<String, String>,
        host: &Host,
    ) -> Result<Self, PlanError> {
        let argv = match &service.command {
            Command::Argv(argv) => argv.clone(),
            Command::Shell(line) => os::shell(line),
        };
        Self::of(service, account, &argv, caller, extra, host)
    }

    /// Does the same without a program: it has only the environment and the rights, for the commands of checks.
    pub fn rights(
        service: &sereno_config::Service,
        account: &Account,
        caller: &Env,
        extra: &BTreeMap<String, String>,
        host: &Host,
    ) -> Result<Self, PlanError> {
        let mut env = sereno_config::service_env(service, account, caller)?;
        env.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
        Self::with(service, account, (Path::new(""), &[]), &env, extra, host)
    }

    /// Does the same for another command of the service: its `stop.command`.
    pub fn of(
        service: &sereno_config::Service,
        account: &Account,
        argv: &[String],
        caller: &Env,
        extra: &BTreeMap<String, String>,
        host: &Host,
    ) -> Result<Self, PlanError> {
        let mut env = sereno_config::service_env(service, account, caller)?;
        env.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
        if !service.cwd.is_dir() {
            return Err(PlanError::NoFolder(service.cwd.clone()));
        }
        let program = argv.first().ok_or(PlanError::NoCommand)?;
        let path = env.get("PATH").map(String::as_str);
        let program = sereno_config::resolve_program(program, &service.cwd, path)?;
        Self::with(service, account, (&program, argv), &env, extra, host)
    }

    fn with(
        service: &sereno_config::Service,
        account: &Account,
        (program, argv): (&Path, &[String]),
        env: &Env,
        extra: &BTreeMap<String, String>,
        host: &Host,
    ) -> Result<Self, PlanError> {
        let mut strings: Vec<CString> =
            env.iter().map(|(name, value)| c_string(&format!("{name}={value}"))).collect::<Result<_, _>>()?;
        let mark = strings.len();
        strings.push(c_string(MARK)?);
        let ids = ids(account);
        // A monitor runs checks as other users, with its own keyring.
        let own_keyring = ids.as_ref().is_some_and(|ids| ids.uid != os::own_ids().0)
            || extra.contains_key("SERENO_MONITOR");
        Ok(Self {
            launch: Launch {
                program: c_path(program)?,
                args: argv.iter().map(|arg| c_string(arg)).collect::<Result<_, _>>()?,
                env: strings,
                cwd: c_path(&service.cwd)?,
                umask: service.umask,
                nice: service.nice,
                limits: limits(service, host)?,
                ids,
                confine: Confine {
                    capabilities: service.capabilities,
                    no_new_privileges: service.no_new_privileges,
                },
                own_keyring,
                listens: extra.contains_key("LISTEN_FDS"),
            },
            mark,
        })
    }

    /// Returns the start of a run, with its mark.
    pub fn run(&mut self, instance: &str, service: &Name, incarnation: u64) -> &Launch {
        let mark = os::mark(instance, service.as_str(), incarnation);
        self.launch.env[self.mark] =
            CString::new(format!("{MARK}={mark}")).expect("names and numbers have no NUL");
        &self.launch
    }

    /// Returns the whole environment.
    pub(super) fn env(&self) -> BTreeMap<String, String> {
        let pair = |variable: &CString| {
            let (name, value) = variable.to_str().ok()?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        self.launch.env.iter().filter_map(pair).collect()
    }

    /// Returns the user and groups that it runs as.
    pub fn ids(&self) -> Option<&Ids> {
        self.launch.ids.as_ref()
    }
}

fn limits(service: &sereno_config::Service, host: &Host) -> Result<Vec<(u32, Option<u64>)>, PlanError> {
    let mut limits = host.limits.clone();
    for (name, value) in &service.limits {
        let number = os::limit_number(name).ok_or_else(|| PlanError::NoLimit(name.clone()))?;
        limits.retain(|(other, _)| *other != number);
        limits.push((number, *value));
    }
    Ok(limits)
}

pub(super) fn ids(account: &Account) -> Option<Ids> {
    if account.uid.is_none() && account.gid.is_none() {
        return None;
    }
    let (uid, gid) = os::own_ids();
    let gid = account.gid.unwrap_or(gid);
    let groups = if account.groups.is_empty() { vec![gid] } else { account.groups.clone() };
    Some(Ids { uid: account.uid.unwrap_or(uid), gid, groups })
}

/// Returns the user and groups that may read the service's files, if they differ from the supervisor's.
pub fn file_ids(account: &Account) -> Option<Ids> {
    let (own, _) = os::own_ids();
    ids(account).filter(|ids| ids.uid != own)
}

fn c_string(text: &str) -> Result<CString, PlanError> {
    CString::new(text).map_err(|_| PlanError::Nul(text.into()))
}

fn c_path(path: &Path) -> Result<CString, PlanError> {
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| PlanError::NulInPath(path.into()))
}
