//! Runs one command as a check, and ends everything that it started.

use std::collections::HashMap;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use proto::v1;
use sereno_monitor::{Evidence, TargetError, Verdict};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use crate::child::{Pipes, Running, lead_group, reap};
use crate::launcher;
use crate::leaf::{Leaf, remove_left};
use crate::shim;

/// Number of bytes of the output that are kept.
pub(crate) const KEPT: usize = 200;
/// How long the output is read after the command has ended: a background process that it left may hold the pipe open.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(100);

/// A check by one command, which passes if the command exits with 0.
#[derive(Debug)]
pub struct ExecCheck {
    spec: Box<v1::ExecCheck>,
}

impl ExecCheck {
    pub(crate) fn new(spec: &v1::ExecCheck) -> Result<Self, TargetError> {
        if let Some(restricted) = &spec.restricted {
            // The reason for a refusal is reported at each check.
            if restricted.refused.is_empty() {
                judge_command(&restricted.argv, &restricted.env)?;
            }
        } else {
            judge_command(&spec.argv, &spec.env)?;
        }
        Ok(Self { spec: Box::new(spec.clone()) })
    }

    fn program(&self) -> &str {
        let argv = self.spec.restricted.as_ref().map_or(&self.spec.argv, |restricted| &restricted.argv);
        argv.first().map_or("", String::as_str)
    }

    /// Whom the command runs as; `None`: as this monitor does.
    fn user(&self) -> Option<u32> {
        self.spec.restricted.as_ref()?.ids.as_ref().map(|ids| ids.uid)
    }

    pub(crate) async fn run(&self) -> Verdict {
        let restricted = self.spec.restricted.as_ref();
        if let Some(Err(error)) = restricted.map(launcher::may_launch) {
            return Verdict::failing(error.to_string());
        }
        remove_left();
        if let Err(refused) = reap(self.user()) {
            // Not reported as this monitor's own trouble: that would make it blind for the services of other users too.
            return Verdict::failing(refused.to_string());
        }
        // Declared first, so that it is dropped last: a process that is told to exit by its process group
        // may still write output.
        let leaf = match restricted.map(|_| Leaf::make()).transpose() {
            Ok(leaf) => leaf.flatten(),
            // This failure says nothing about the service, which must not be restarted for it.
            Err(error) => {
                let words = format!("cannot make a cgroup for the check: {error}");
                return Verdict { own_trouble: Some(words.clone()), ..Verdict::failing(words) };
            }
        };
        // From here on the end of this future is the end of the command and of all it started.
        // Its outputs are dropped after it: everything is killed before they are closed.
        let (mut pipes, mut running) = match self.spawn(leaf.as_ref()) {
            Ok(started) => started,
            Err(error) => {
                let mut verdict = Verdict::of_error(&error);
                verdict.evidence.summary = format!("start {}: {error}", self.program());
                return verdict;
            }
        };
        if let (Some(restricted), Some(stdin)) = (restricted, &mut pipes.stdin) {
            // A shim that exits before it has read everything reports the reason itself.
            let _ = stdin.write_all(&shim::framed(&launcher::instructions(restricted))).await;
        }
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let most_said = if restricted.is_some() { shim::STATUS + KEPT } else { KEPT };
        let ended = {
            let reading = async {
                tokio::join!(
                    read(pipes.stdout.as_mut(), most_said, &mut said),
                    read(pipes.stderr.as_mut(), KEPT, &mut complained)
                )
            };
            tokio::pin!(reading);
            let mut read = false;
            loop {
                tokio::select! {
                    biased;
                    _ = &mut reading, if !read => read = true,
                    ended = running.wait() => {
                        if !read && restricted.is_some() {
                            // Nothing else holds the outputs of a shim open.
                            reading.await;
                        } else if !read {
                            let _ = timeout(LAST_WORDS, reading).await;
                        }
                        break ended;
                    }
                }
            }
        };
        let shim_ended = ended.as_ref().is_ok_and(ExitStatus::success);
        let ended = match ended {
            Ok(status) if restricted.is_some() && status.success() => shim::take_status(&mut said),
            ended => ended,
        };
        match ended {
            // The shim itself has failed, before the command: this host lacks something.
            Ok(status) if restricted.is_some() && !shim_ended => {
                let why = String::from_utf8_lossy(&complained).trim().to_owned();
                Verdict::hindered(if why.is_empty() { status.to_string() } else { why })
            }
            Ok(status) => judge(status, if complained.is_empty() { said } else { complained }),
            Err(error) => Verdict::of_error(&error),
        }
    }

    fn spawn(&self, leaf: Option<&Leaf>) -> std::io::Result<(Pipes, Running)> {
        let mut command = if self.spec.restricted.is_some() {
            let mut command = launcher::command(shim::VERB, leaf.map(|leaf| leaf.path().into()))?;
            command.stdin(Stdio::piped());
            command
        } else {
            self.command()
        };
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::start(command, self.user(), self.spec.restricted.is_some())
    }

    /// Returns the command itself, with all rights of this monitor.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.spec.argv[0]);
        command.args(&self.spec.argv[1..]).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            // Variables that the supervisor set for this monitor are not passed on; the mark stays, so that
            // a sweep finds the command.
            let ours = name.to_str().is_some_and(|name| {
                ["SERENO_", "LISTEN_", "WATCHDOG_", "NOTIFY_SOCKET"].iter().any(|ours| name.starts_with(ours))
            });
            if ours && name != "SERENO_UNIT" {
                command.env_remove(name);
            }
        }
        lead_group(&mut command);
        command.envs(&self.spec.env);
        if !self.spec.cwd.is_empty() {
            command.current_dir(&self.spec.cwd);
        }
        command
    }
}

/// Validates that a system can run such a command at all.
fn judge_command(argv: &[String], env: &HashMap<String, String>) -> Result<(), TargetError> {
    let nul = |text: &String| text.contains('\0');
    if argv.first().is_none_or(String::is_empty) {
        return Err(TargetError::new("exec.argv", "is empty"));
    }
    if argv.iter().any(nul) {
        return Err(TargetError::new("exec.argv", "has a NUL in it"));
    }
    let is_bad =
        |(name, value): &(&String, &String)| name.is_empty() || name.contains('=') || nul(name) || nul(value);
    match env.iter().find(is_bad) {
        Some((name, _)) => Err(TargetError::new("exec.env", format!("{name:?} can not be set"))),
        None => Ok(()),
    }
}

/// Reads to the end, so that the command never blocks on the pipe, and keeps this number of bytes of the beginning.
async fn read(pipe: Option<impl AsyncRead + Unpin>, most: usize, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => kept.extend_from_slice(&buffer[..read.min(most - kept.len())]),
        }
    }
}

fn judge(status: ExitStatus, said: Vec<u8>) -> Verdict {
    let detail = match status.code() {
        Some(code) => format!("exit {code}"),
        // The text is, for example, "signal: 9 (SIGKILL)".
        None => status.to_string(),
    };
    if status.success() {
        return Verdict::passing(detail);
    }
    let summary = format!("{detail} {}", String::from_utf8_lossy(&said).trim()).trim_end().to_owned();
    let evidence = Evidence { summary, body_head: said, ..Evidence::default() };
    Verdict { evidence, ..Verdict::failing(detail) }
}
