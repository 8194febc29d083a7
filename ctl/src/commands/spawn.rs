//! Starts a supervisor that outlives this command, and shows its error if it does not start.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use proto::Endpoint;
use proto::v1::Status;
use sereno_config::Home;
use sereno_config::home::OTHER_FILE;
use tokio::time::{Instant, sleep};

use crate::client::{STATUS_DEADLINE, Supervisor};
use crate::failure::{Failure, NoAnswer};

const PROGRAM: &str = "supervisor";
/// How long a living supervisor may take to answer: on a machine with fifty times the work that it can do,
/// it took more than ten seconds.
const START: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long a supervisor may take to exit after it stopped listening.
const LEAVES: Duration = Duration::from_secs(1);
/// Maximum size of its start-up output, in bytes. An error message is short; the rest goes to its log.
const LONGEST_SAYING: usize = 64 * 1024;

/// The supervisor that answers now.
pub(super) struct Started {
    pub(super) supervisor: Supervisor,
    pub(super) status: Status,
    /// Whether it was started here, and not by another `up` at the same time.
    pub(super) ours: bool,
}

/// Starts a supervisor and waits until one answers: this one, or another that was faster.
///
/// Fails if the home runs another file, unless `replace` is set.
pub(super) async fn supervisor(file: &Path, replace: bool, endpoint: &Endpoint) -> Result<Started, Failure> {
    let more: &[&str] = if replace { &["--replace"] } else { &[] };
    let mut newcomer = Newcomer::spawn([OsStr::new("--file"), file.as_os_str()], more)?;
    let until = Instant::now() + START;
    let mut ended = None;
    loop {
        if let Ok(supervisor) = Supervisor::try_connect(endpoint).await
            && let Ok(status) = supervisor.status(false, STATUS_DEADLINE).await
            && !status.supervisor.as_ref().is_some_and(|supervisor| supervisor.shutting_down)
        {
            let pid = status.supervisor.as_ref().map_or(0, |supervisor| supervisor.pid);
            let ours = pid == newcomer.child.id();
            if !ours {
                newcomer.end();
            }
            return Ok(Started { supervisor, status, ours });
        }
        if ended.is_none() {
            ended = newcomer.ended();
        }
        if let Some(how) = ended {
            let said = newcomer.said();
            if how.code() == Some(OTHER_FILE.into()) {
                return Err(Failure::OtherFile(said));
            }
            // Another supervisor holds the lock and will answer soon.
            if !said.contains("already running") {
                return Err(Failure::NotStarted(told(&said, how)));
            }
        }
        if Instant::now() >= until {
            let said = newcomer.said();
            let why = NoAnswer::Silent(START).to_string();
            return Err(Failure::NotStarted(if said.is_empty() { why } else { format!("{why}: {said}") }));
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// State that a dead supervisor has left behind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// No services are left; `true` if some had to be stopped.
    Nothing(bool),
    /// A supervisor is running after all.
    Supervised,
}

/// Stops services that a dead supervisor has left. If the last supervisor of this home did not shut down
/// properly, its services may still run: another one is started only to stop them, unless a monitor has
/// started one meanwhile.
pub(super) async fn end_what_is_left(home: &Home, endpoint: &Endpoint) -> Result<Left, Failure> {
    let died = || std::fs::read(home.lock()).is_ok_and(|text| !text.is_empty());
    if !died() {
        return Ok(Left::Nothing(false));
    }
    let resume = [OsStr::new("--resume"), home.root().as_os_str()];
    let mut newcomer = Newcomer::spawn(resume, &["--down"])?;
    loop {
        if let Some(how) = newcomer.ended() {
            if how.success() {
                return Ok(Left::Nothing(true));
            }
            let said = newcomer.said();
            let failed = !said.contains("already running");
            // It may have met a supervisor that was about to exit properly.
            let until = Instant::now() + if failed { LEAVES } else { START };
            while Instant::now() < until {
                if Supervisor::try_connect(endpoint).await.is_ok() {
                    return Ok(Left::Supervised);
                }
                if !died() {
                    return Ok(Left::Nothing(true));
                }
                sleep(LOOK_AGAIN).await;
            }
            return Err(Failure::NotStarted(if failed { told(&said, how) } else { said }));
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn told(said: &str, how: ExitStatus) -> String {
    if said.is_empty() { format!("it ended at once ({how})") } else { said.to_owned() }
}

/// A started supervisor that does not answer yet.
struct Newcomer {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Newcomer {
    fn spawn(what: [&OsStr; 2], more: &[&str]) -> Result<Self, Failure> {
        let program = program();
        #[expect(clippy::disallowed_methods, reason = "the one process that ctl starts is the supervisor")]
        let mut command = Command::new(&program);
        command.args(what).args(more).arg("--detach");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        detach(&mut command);
        let mut child = command
            .spawn()
            .map_err(|error| Failure::NotStarted(format!("run {}: {error}", program.display())))?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let reader = child.stderr.take().map(|mut stderr| {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(length @ 1..) = stderr.read(&mut piece) {
                    let mut said = said.lock().expect("nobody panics while holding it");
                    let room = LONGEST_SAYING.saturating_sub(said.len());
                    said.extend_from_slice(&piece[..length.min(room)]);
                }
            })
        });
        Ok(Self { child, said, reader })
    }

    /// Returns how it ended, once it has ended and all its output is read.
    fn ended(&mut self) -> Option<ExitStatus> {
        let how = self.child.try_wait().ok().flatten()?;
        if let Some(reader) = self.reader.take_if(|reader| !reader.is_finished()) {
            // The pipe stays open if a process that it started still holds it.
            self.reader = Some(reader);
            return None;
        }
        Some(how)
    }

    fn said(&self) -> String {
        let said = self.said.lock().expect("nobody panics while holding it");
        let said = String::from_utf8_lossy(&said);
        // Removes the program's name: the line that shows this output already names it.
        said.trim().trim_start_matches("supervisor: ").to_owned()
    }

    /// Kills a supervisor that is not needed: it must not take over later, when the other one shuts down.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds the program beside this one, or else in `PATH`.
pub(super) fn program() -> PathBuf {
    let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
    let own = std::env::current_exe().and_then(std::fs::canonicalize).ok();
    own.and_then(|own| Some(own.parent()?.join(&name))).filter(|path| path.is_file()).unwrap_or(name.into())
}

/// Keeps Ctrl-C at this terminal from reaching the supervisor, which leaves the session by itself.
#[cfg(unix)]
fn detach(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(windows)]
fn detach(command: &mut Command) {
    const DETACHED_PROCESS: u32 = 0x0000_0008;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    std::os::windows::process::CommandExt::creation_flags(
        command,
        DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP,
    );
}
