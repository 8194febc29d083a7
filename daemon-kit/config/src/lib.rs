//! Reads the whole `sereno.toml` into a [`Config`], or finds every [`Problem`] in it at once. [`Home`] has the paths of
//! everything that one supervisor has on disk.
//!
//! ```text
//!  find ──> read ──> tree ──> effective ──> service, daemons ──> cross ──> Config ──> world
//!  which    text     values   overlays,     typed readers,       rules     ready      programs,
//!  file              with     defaults,     defaults, ranges     between   to use     folders, users
//!                    places   ${…}, paths                        services             exist
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`model`] | what a checked file says |
//! | [`problem`] | what is wrong, where, and how that is written |
//! | [`keys`] | every key there is, once: type, range, default, meaning; the schema and the tables of `CONFIG.md` are made from it |
//! | [`home`] | the folder that holds state, logs and sockets |
//! | `holder` | whether the process that holds a supervisor's lock can still run |
//! | `find` | which file it is, where its home lies, where the daemons listen |
//! | `tree` | the document as values with their positions |
//! | `effective`, `expand`, `instances` | overlays, `[defaults]`, short forms, `${…}`, absolute paths; also the applied file |
//! | `reader`, `value`, `net` | one table; one value |
//! | `endpoints` | where daemons listen, and how they show who they are |
//! | `service`, `restart`, `ready`, `check`, `watchdog`, `evidence`, `watch`, `schedule`, `daemons` | the tables, one by one |
//! | [`cron`] | a line of cron, and when it comes next |
//! | `cross` | rules between services |
//! | `selector` | which services a command applies to |
//! | `world`, `environ`, `account`, `capability` | what the file names must exist; a service's environment, user and powers |
//! | `trust`, `links` | who else can write the file, an `env_file` or the home, or choose which one is found there |
//!
//! [`load`] is pure: it reads no file, no clock and no environment except its arguments.

#![forbid(unsafe_code)]

mod account;
mod capability;
mod check;
pub mod cron;
mod cross;
mod daemons;
mod effective;
mod endpoints;
mod environ;
mod evidence;
mod expand;
mod find;
pub mod fuzz;
mod holder;
pub mod home;
mod instances;
pub mod keys;
mod links;
pub mod model;
mod net;
pub mod problem;
mod reader;
mod ready;
mod restart;
mod schedule;
mod selector;
mod service;
mod tree;
mod trust;
mod value;
mod watch;
mod watchdog;
mod world;

use std::collections::BTreeMap;
use std::path::Path;

use proto::Name;

pub use account::{Account, AccountError, account};
pub use capability::CAPABILITIES;
pub use cron::{Cron, CronError};
pub use daemons::{GUARD, daemon_table};
pub use environ::{EnvError, service_env};
pub use evidence::AskedEvidence;
pub use expand::MAIN_PID;
pub use find::{Located, find, locate, read};
pub use holder::{dead_holder, dead_holder_at, never_runs_again};
pub use home::Home;
pub use keys::schema;
pub use links::{LinkRefused, PathRefused};
#[cfg(unix)]
pub use links::{Ownership, may_follow};
pub use model::*;
pub use problem::{Places, Problem, Problems};
pub use ready::notified;
pub use restart::daemon_policy;
pub use schedule::{Overlap, Schedule};
pub use selector::{Selector, Unmatched};
pub use trust::{TrustError, check_trust, of_home, open_env_files};
pub use watch::{Ignored, Watch};
pub use watchdog::Watchdog;
pub use world::{ProgramError, check_world, resolve_program};

use problem::Scope;
use reader::Reader;
use tree::Node;

/// The variables of an environment by name.
pub type Env = BTreeMap<String, String>;

/// Reads and checks a whole file, without looking at the host. Returns all problems at once.
pub fn load(path: &Path, text: &str, env: &Env) -> Result<Config, Problems> {
    work_out(path, text, env).map(|(config, _)| config)
}

/// Returns the text of `home/state/applied.toml`. Loading it from any folder and with an empty environment gives the
/// same [`Config`], except for `path` and `base`.
pub fn applied_text(path: &Path, text: &str, env: &Env) -> Result<String, Problems> {
    let (config, root) = work_out(path, text, env)?;
    effective::to_text(&root)
        .map_err(|error| Problem::of_file(&config.path, format!("can not be written again: {error}")).into())
}

/// Reads one service that is in no file. `text` is its table; relative paths start from `folder`. Its dependencies,
/// kinds of checks and name are checked against `config`.
pub fn load_service(
    name: &Name,
    text: &str,
    folder: &Path,
    env: &Env,
    config: &Config,
) -> Result<Service, Problems> {
    let scope = Scope::new(Path::new(name.as_str()), text);
    let table = tree::parse(&scope, text, &tree::join("services", name.as_str()));
    if !scope.problems().is_empty() {
        return Err(scope.problems());
    }
    let root = effective::wrap(table, name.as_str());
    let root = effective::of(&scope, root, &find::absolute_file(folder), env).root;
    let Some(node) = root.get(&["services", name.as_str()]) else {
        let key = tree::join(&tree::join("services", name.as_str()), "instances");
        scope.key(None, &key, Some(name), "needs a file: this is one service");
        return Err(scope.problems());
    };
    let mut service = service::read(&scope, node, Some(name));
    let names: Vec<Name> = config.services.keys().cloned().collect();
    instances::depend_on_all(&mut service, &names);
    let mut services = config.services.clone();
    services.insert(name.clone(), service.clone());
    cross::check(&scope, &root, &services, &config.monitors, |judged| judged == name);
    scope.finish(service)
}

fn work_out(path: &Path, text: &str, env: &Env) -> Result<(Config, Node), Problems> {
    let path = find::absolute_file(path);
    let base = find::base(&path).to_owned();
    if base.to_str().is_none() {
        return Err(Problem::of_file(&path, "must lie in a folder whose name is UTF-8").into());
    }
    let scope = Scope::new(&path, text);
    let root = tree::parse(&scope, text, "");
    // Further problems are often only caused by the syntax error.
    if !scope.problems().is_empty() {
        return Err(scope.problems());
    }
    effective::unknown_keys(&scope, &root, None, &keys::ROOT);
    let effective::Effective { root, defaults } = effective::of(&scope, root, &base, env);
    if let Some(defaults) = defaults {
        service::read(&scope, &defaults, None);
    }
    daemons::own_tables(&scope, &root);
    let supervisor = daemons::supervisor(&scope, &root);
    let monitors = daemons::monitors(&scope, &root);
    let services = read_services(&scope, &root);
    cross::check(&scope, &root, &services, &monitors, |_| true);

    let mut places = Places::default();
    places.record(&scope, "", &root);
    let config = Config { path: path.clone(), base, supervisor, services, monitors, places };
    scope.finish((config, root))
}

fn read_services(scope: &Scope<'_>, root: &Node) -> BTreeMap<Name, Service> {
    let table = root.get(&["services"]).and_then(|node| Reader::open(scope, node, None));
    let mut services = BTreeMap::new();
    for (name, node) in table.iter().flat_map(Reader::entries) {
        let one = || Name::new(name).ok().filter(|_| instances::is_one(name, node));
        match one().map_or_else(|| service::check_name(name), Ok) {
            Ok(name) => {
                let service = service::read(scope, node, Some(&name));
                services.insert(name, service);
            }
            Err(wrong) => scope.key(node.key_at, &node.path, None, wrong),
        }
    }
    let names: Vec<Name> = services.keys().cloned().collect();
    for service in services.values_mut() {
        instances::depend_on_all(service, &names);
    }
    services
}
