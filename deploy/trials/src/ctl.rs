//! Runs `ctl` in a trial, with a time limit.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Failure;

/// Time limit of a command, even on a busy machine.
const CEILING: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Number of the next output file.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// Runs `ctl` with one `sereno.toml`.
#[derive(Debug, Clone)]
pub struct Ctl {
    /// Path of the program.
    pub program: PathBuf,
    /// Path of the `sereno.toml`.
    pub config: PathBuf,
    /// Folder for the output files.
    pub said: PathBuf,
    /// Whether the supervisor may use cgroups.
    pub cgroups: bool,
}

/// Answer of a `ctl` command.
#[derive(Debug)]
pub struct Answer {
    /// Exit code; `None` if it did not end or was killed.
    pub code: Option<i32>,
    /// Text on stdout.
    pub out: String,
    /// Text on stderr.
    pub err: String,
}

/// A running `ctl` command.
#[derive(Debug)]
pub struct Asked {
    child: Child,
    said: PathBuf,
}

impl Ctl {
    /// Runs a command in the background.
    pub fn ask(&self, words: &[&str]) -> Result<Asked, Failure> {
        let number = ASKED.fetch_add(1, Ordering::Relaxed);
        let said = self.said.join(number.to_string());
        let failed = |source| Failure::run(self.program.display().to_string(), source);
        // Output goes to files instead of pipes: a pipe inherited by a process that lives on would never end.
        let out = File::create(said.with_extension("out")).map_err(failed)?;
        let err = File::create(said.with_extension("err")).map_err(failed)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "a command at a terminal runs ctl, as its person would"
        )]
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SERENO_") {
                command.env_remove(&name);
            }
        }
        if !self.cgroups {
            command.env("SERENO_CGROUP", "off");
        }
        command.arg("-f").arg(&self.config).args(words);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().map_err(failed)?;
        Ok(Asked { child, said })
    }
}

impl Asked {
    /// Waits for the answer. A command that hangs is killed and has no exit code.
    pub fn answer(mut self) -> Result<Answer, Failure> {
        let failed = |source| Failure::run("ctl", source);
        let began = now();
        let mut code = None;
        loop {
            if let Some(status) = self.child.try_wait().map_err(failed)? {
                code = status.code();
                break;
            }
            if now().duration_since(began) > CEILING {
                self.child.kill().and_then(|()| self.child.wait()).map_err(failed)?;
                break;
            }
            std::thread::park_timeout(LOOK_AGAIN);
        }
        let read = |ending: &str| -> String {
            let path = self.said.with_extension(ending);
            let text = fs::read_to_string(&path).unwrap_or_default();
            let _ = fs::remove_file(path);
            text
        };
        Ok(Answer { code, out: read("out"), err: read("err") })
    }
}

/// Returns the real time: the programs under test use no other clock.
#[expect(clippy::disallowed_methods, reason = "what is watched has the real clock only")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
