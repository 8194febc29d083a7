//! From arguments to a running supervisor: whatever can fail happens here, before anything is served.

mod anew;
mod args;
mod read;
mod supervise;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anew::HomeError;
pub use args::Args;
use sereno_config::Home;
use sereno_config::home::OTHER_FILE;
use sereno_config::{Config, Env, Problems, TrustError};
use sereno_guard::launch::Launch;
use sereno_runtime::logging::{self, LoggingError};
use sereno_serve::listen::ListenError;

use crate::disk::added::Added;
use crate::disk::applied::{self, Applied, OtherFile};
use crate::disk::launch;
use crate::guard;
use crate::manager::command::{ConfigError, Source};
use crate::manager::{self, Over, Revived, Start, Wanted};
use crate::os::{self, Cgroups, Lock, StoredFds};
use crate::service::{TooFewDescriptors, sockets};

/// How long to wait for another supervisor of this home to end.
const LOCK_WITHIN: Duration = Duration::from_secs(2);

/// Why the supervisor does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no file, or it has errors.
    #[error("{0}")]
    Problems(Problems),
    /// The file is refused.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// Services that another file started still run.
    #[error("{0}")]
    OtherFile(OtherFile),
    /// It may not open as many files as it needs.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// Other users could write in home.
    #[error("home {0} {1}")]
    Home(PathBuf, TrustError),
    /// Another supervisor runs for this home.
    #[error("already running: {0} is held by pid {1}")]
    AlreadyRunning(PathBuf, String),
    /// Only a supervisor starts a guard.
    #[error("cannot guard {0}: the supervisor starts its guard itself, where no built-in monitor guards it")]
    Guard(PathBuf),
    /// Home was deleted or moved, and could not be made again.
    #[error("home {0} was deleted or moved and can not be made anew: {1}; everything has been stopped")]
    HomeLost(PathBuf, HomeError),
    /// The log cannot be written.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The endpoints cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system refuses a step.
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

impl StartError {
    /// Returns the exit code: 2 for usage or configuration, 4 if another file's services run in this home, 1 for
    /// anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OtherFile(_) => OTHER_FILE,
            Self::Problems(_) | Self::Config(_) | Self::Home(..) | Self::Guard(_) => 2,
            _ => 1,
        }
    }
}

/// Names the step in the error that the system returned for it.
pub(crate) fn step<T>(what: &str, result: io::Result<T>) -> Result<T, StartError> {
    result.map_err(|error| StartError::Io(what.into(), error))
}

/// Runs until told to end.
pub fn run(args: &Args) -> Result<Over, StartError> {
    // The previous image of this process hands its lock and sockets over as open files.
    if args.lock.is_none() {
        os::close_inherited_files();
    }
    if let Some(over) = other_work(args) {
        return over;
    }
    if args.detach {
        os::detach();
    }
    if let (Some(_), Some(home)) = (args.revive, &args.resume) {
        let launch = step("reading how it was started", Launch::read(&Home::at(home)))?;
        if !step("leaving its caller", os::come_back(&launch))? {
            return Ok(Over::Kept);
        }
    }
    os::one_heap();
    let env = own_env();
    // Launchd sets no variable of its own, so "ctl startup" writes one for it.
    let under_init = ["NOTIFY_SOCKET", "SERENO_INIT"].iter().any(|name| std::env::var_os(name).is_some());
    let (mut config, applied, wanted) = match &args.resume {
        None => {
            let source = source(args.file.as_deref(), env)?;
            let (config, applied) = manager::read(&source)?;
            trusted(sereno_config::check_trust(&config, &source.path))?;
            (config, applied, Wanted::Up)
        }
        Some(home) => {
            let (config, applied) = resume(home)?;
            let wanted = match args.lock {
                Some(_) => Wanted::HandedOver,
                None if args.down => Wanted::Down,
                None => Wanted::AsBefore,
            };
            (config, applied, wanted)
        }
    };
    let home = Home::at(&config.supervisor.home);
    make_folders(&home, wanted)?;
    if wanted == Wanted::Up && !args.replace {
        refuse_other_file(&home, &applied)?;
    }
    let mut locks = vec![match args.lock {
        Some(number) => step("taking the lock over", Lock::inherit(number))?,
        None => take_lock(&home.lock(), args.revive)?,
    }];
    ignored_by_git(home.root());
    let added = Added::load(&home.state());
    let left_out = added.join(&mut config);
    let _log = logging::init("supervisor", &config.supervisor.log, Some(&home.log()))?;
    for (name, why) in left_out {
        tracing::warn!(service = name, "was added by hand and is left out: {why}");
    }
    if config.services.values().any(|service| service.memory_max.is_some()) {
        os::make_room_for_limits();
    }
    if args.revive.is_none()
        && let Err(error) = launch::record(&home, &config, under_init)
    {
        tracing::error!(%error, "nobody will start it again: writing down how it was started failed");
    }
    step("becoming a subreaper", os::subreaper())?;
    let instance = step("naming this home", instance(&home))?;
    let cgroups =
        Cgroups::probe(&instance).map_err(|why| tracing::info!("goes on without cgroups: {why}")).ok();
    let sockets_path = home.run().join("sockets.json");
    // After an exec this process still has its files: the fd stores need not hand them over.
    let mut kept = if args.lock.is_some() { StoredFds::default() } else { StoredFds::ask(&home) };
    let host = os::raise_descriptor_limit();
    if wanted == Wanted::Up {
        TooFewDescriptors::judge(&config)?;
        step("keeping the applied file", applied::save(&home.state(), &applied))?;
    }
    let start = Start {
        config,
        added,
        applied,
        home,
        instance,
        host,
        cgroups,
        null: step("opening the null device", os::null_device())?,
        inherited: if args.lock.is_some() { sockets::take(&sockets_path) } else { kept.take_sockets() },
        kept,
        wanted,
        under_init,
        revived: args.revived_by.clone().map(|by| Revived { by, died: args.died }),
    };
    let root = start.home.root().to_path_buf();
    let (over, lost) = supervise::supervise(start, under_init, &mut locks)?;
    for lock in &locks {
        if let Over::HandOver(binary) = &over
            && lock.is_at(&Home::at(&root).lock())
        {
            return Err(hand_over(binary, &root, lock));
        }
        if over == Over::Down {
            step("emptying the lock", lock.done())?;
        }
    }
    lost.map_or(Ok(over), |why| Err(StartError::HomeLost(root, why)))
}

/// Does what this program does besides supervising, if that is asked for.
fn other_work(args: &Args) -> Option<Result<Over, StartError>> {
    if let (Some(home), Some(at)) = (&args.read, &args.at) {
        return Some(read::read(home, at));
    }
    if let Some(home) = &args.guard {
        return Some(guard::run(home).map(|()| Over::Kept));
    }
    args.check_state.as_deref().map(check_state)
}

/// Executes the new program in this process; if that fails, executes the current program again.
fn hand_over(binary: &Path, home: &Path, lock: &Lock) -> StartError {
    let number = match lock.hand_over() {
        Ok(number) => number,
        Err(error) => return StartError::Io("handing the lock over".into(), error),
    };
    let args = ["--resume".into(), home.display().to_string(), "--lock".into(), number.to_string()];
    let refused = os::exec(binary, &args);
    tracing::error!(error = %refused, "{} could not be executed; the running program goes on", binary.display());
    let again = os::exec(&os::own_program(), &args);
    StartError::Io(format!("executing {}", binary.display()), again)
}

/// Checks whether this program understands the state that the running program would hand over, and prints its version.
fn check_state(home: &Path) -> Result<Over, StartError> {
    resume(home)?;
    let path = Home::at(home).state().join("state.json");
    step("reading the state", crate::disk::state::check(&path).map_err(io::Error::other))?;
    #[expect(clippy::print_stdout, reason = "the answer to the supervisor that asks")]
    {
        println!("{}", env!("CARGO_PKG_VERSION"));
    }
    Ok(Over::Kept)
}

/// Returns this process's environment without the variables that are addressed to it alone.
fn own_env() -> Env {
    let own =
        |name: &str| name == "NOTIFY_SOCKET" || name.starts_with("LISTEN_") || name.starts_with("WATCHDOG_");
    let text = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.filter(|(name, _)| !own(name)).collect()
}

fn source(file: Option<&Path>, env: Env) -> Result<Source, StartError> {
    let here = step("finding the current folder", std::env::current_dir())?;
    let path = sereno_config::find(file, &here, &env).map_err(StartError::Problems)?;
    let text = sereno_config::read(&path).map_err(StartError::Problems)?;
    Ok(Source { path, text, env })
}

/// Keeps git from tracking home. Written only once, so that a restart on a full disk does not fail for it.
fn ignored_by_git(root: &Path) {
    let path = root.join(".gitignore");
    if !path.exists()
        && let Err(error) =
            os::open_private(&path).and_then(|mut file| std::io::Write::write_all(&mut file, b"*\n"))
    {
        tracing::warn!(path = %path.display(), %error, "it could not be written");
    }
}

/// Creates the folders of home. Only the owner can enter those of sockets and state, even if they were opened to others
/// since.
fn make_folders(home: &Home, wanted: Wanted) -> Result<(), StartError> {
    // A restart must continue the running services even if other users can write here by now.
    if wanted == Wanted::Up {
        trusted_home(home.root())?;
    }
    let open = [home.root().into(), home.journal(), home.log()];
    let closed = [home.run().into(), home.run().join("fifo"), home.run().join("notify"), home.state()];
    for folder in &open {
        step(&format!("making {}", folder.display()), os::create_private_dir(folder))?;
    }
    for folder in &closed {
        step(&format!("making {}", folder.display()), os::own_dir(folder))?;
    }
    Ok(())
}

fn trusted_home(path: &Path) -> Result<(), StartError> {
    sereno_config::of_home(path).map_err(|why| StartError::Home(path.into(), why))
}

/// Refuses to replace what another file started, as long as that file exists and any of it runs. Checked before the
/// lock is taken: a monitor that is about to revive that file's supervisor must not find another pid in the lock.
fn refuse_other_file(home: &Home, applied: &Applied) -> Result<(), StartError> {
    let Ok(before) = applied::load(&home.state()) else { return Ok(()) };
    let Err(other) = OtherFile::judge(&before.about, &applied.about.source, home) else { return Ok(()) };
    let instance = step("naming this home", instance(home))?;
    if os::scan(&instance, &BTreeMap::new()).found.is_empty() {
        Ok(())
    } else {
        Err(StartError::OtherFile(other))
    }
}

/// Returns an error if there are any problems.
fn trusted(problems: Problems) -> Result<(), StartError> {
    if problems.0.is_empty() { Ok(()) } else { Err(StartError::Problems(problems)) }
}

/// Reads the copy of the applied file: never the newer source file, and without checks of the host that could fail.
fn resume(home: &Path) -> Result<(Config, Applied), StartError> {
    let state = Home::at(home).state();
    let path = applied::path_in(&state);
    // The copy must not be written by another user, as it says what to run. If only its folder was opened to others,
    // the services must still continue; the folder is closed again below.
    trusted_home(&path)?;
    let applied = step(&format!("reading {}", path.display()), applied::load(&state))?;
    let config = sereno_config::load(&path, &applied.text, &BTreeMap::new()).map_err(StartError::Problems)?;
    Ok((config, applied))
}

/// Takes the lock. `dead` is the supervisor that a guard replaces: if another has started since, this start is
/// superfluous.
fn take_lock(path: &Path, dead: Option<u32>) -> Result<Lock, StartError> {
    let what = format!("locking {}", path.display());
    let until = os::now() + LOCK_WITHIN;
    loop {
        let named = std::fs::read_to_string(path).unwrap_or_default();
        let successor = named.trim().parse::<u32>().is_ok_and(|pid| dead.is_some_and(|dead| pid != dead));
        if successor {
            return Err(StartError::AlreadyRunning(path.into(), named.trim().into()));
        }
        if let Some(lock) = step(&what, Lock::take(path))? {
            return Ok(lock);
        }
        if os::now() > until {
            let pid = std::fs::read_to_string(path).unwrap_or_default();
            return Err(StartError::AlreadyRunning(path.into(), pid.trim().into()));
        }
        os::pipe::pause(Duration::from_millis(10));
    }
}

/// Returns the name of this home: its place and a random id in it, so that a copy of the home gets another name.
fn instance(home: &Home) -> io::Result<String> {
    let path = home.state().join("instance");
    let id = match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => id.trim().to_string(),
        _ => {
            let id = os::random_id()?;
            crate::disk::replace(&path, id.as_bytes())?;
            id
        }
    };
    named(home, &id)
}

/// Returns the name of a home that has one.
fn instance_of(home: &Home) -> io::Result<String> {
    let id = std::fs::read_to_string(home.state().join("instance"))?;
    named(home, id.trim())
}

fn named(home: &Home, id: &str) -> io::Result<String> {
    let name = os::instance_of(home.root(), id)?;
    let named = std::fs::read_to_string(named_path(home)).unwrap_or_default();
    Ok(match named.trim().split_once(' ') {
        Some((of, known)) if of == name => known.into(),
        _ => name,
    })
}

/// Returns the path of the file that holds the name of a home that was made again: running processes are marked with
/// that name.
fn named_path(home: &Home) -> PathBuf {
    home.state().join("instance.named")
}
