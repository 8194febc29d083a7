//! Turns settings into everything that a start needs. Prepared once, so that only the mark changes between an exit and
//! the next start.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::Path;

use proto::Name;
use sereno_config::{Command, Env};

use crate::os::{self, Confine, Host, Ids, Launch, MARK};

/// A prepared start.
#[derive(Debug)]
pub struct Plan {
    launch: Launch,
    mark: usize,
}

impl Plan {
    /// Looks up what the settings name: program, folder, user, environment files. An error means that the host lacks
    /// something.
    pub fn make(
        service: &sereno_config::Service,
        caller: &Env,
        extra: &BTreeMap<String, String>,
        host: &Host,
    ) -> Result<Self, String> {
        let argv = match &service.command {
            Command::Argv(argv) => argv.clone(),
            Command::Shell(line) => os::shell(line),
        };
        Self::of(service, &argv, caller, extra, host)
    }

    /// Does the same for another command of the service: its `stop.command`.
    pub fn of(
        service: &sereno_config::Service,
        argv: &[String],
        caller: &Env,
        extra: &BTreeMap<String, String>,
        host: &Host,
    ) -> Result<Self, String> {
        let mut env = sereno_config::service_env(service, caller)?;
        env.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
        if !service.cwd.is_dir() {
            return Err(format!("cwd {} is not there", service.cwd.display()));
        }
        let program = argv.first().ok_or("the command is empty")?;
        let path = env.get("PATH").map(String::as_str);
        let program = sereno_config::resolve_program(program, &service.cwd, path)?;
        let mut strings: Vec<CString> =
            env.iter().map(|(name, value)| c_string(&format!("{name}={value}"))).collect::<Result<_, _>>()?;
        let mark = strings.len();
        strings.push(c_string(MARK)?);
        let ids = ids(service)?;
        // A monitor runs checks as other users, with its own keyring.
        let own_keyring = ids.as_ref().is_some_and(|ids| ids.uid != os::own_ids().0)
            || extra.contains_key("SERENO_MONITOR");
        Ok(Self {
            launch: Launch {
                program: c_path(&program)?,
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

fn limits(service: &sereno_config::Service, host: &Host) -> Result<Vec<(u32, Option<u64>)>, String> {
    let mut limits = host.limits.clone();
    for (name, value) in &service.limits {
        let number = os::limit_number(name).ok_or_else(|| format!("this system has no limit {name:?}"))?;
        limits.retain(|(other, _)| *other != number);
        limits.push((number, *value));
    }
    Ok(limits)
}

pub(super) fn ids(service: &sereno_config::Service) -> Result<Option<Ids>, String> {
    let account = sereno_config::account(service.user.as_deref(), service.group.as_deref())?;
    if account.uid.is_none() && account.gid.is_none() {
        return Ok(None);
    }
    let (uid, gid) = os::own_ids();
    let gid = account.gid.unwrap_or(gid);
    let groups = if account.groups.is_empty() { vec![gid] } else { account.groups };
    Ok(Some(Ids { uid: account.uid.unwrap_or(uid), gid, groups }))
}

/// Returns the user and groups that may read the service's files, if they differ from the supervisor's.
pub fn file_ids(service: &sereno_config::Service) -> Result<Option<Ids>, String> {
    let (own, _) = os::own_ids();
    Ok(ids(service)?.filter(|ids| ids.uid != own))
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("{text:?} holds a NUL character"))
}

fn c_path(path: &Path) -> Result<CString, String> {
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| format!("{} holds a NUL", path.display()))
}
