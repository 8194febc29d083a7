//! Runs the demo's `ctl`.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Failure;
use crate::place::Place;

/// Result of `ctl status` for the demo.
pub(crate) enum Status {
    /// No supervisor is running.
    Down,
    /// A supervisor is running, but something is not as wanted.
    Unwell(Value),
    /// Everything is as wanted, and every check passes.
    Well(Value),
}

/// Runs `ctl` with the demo's `sereno.toml`.
pub(crate) struct Control<'a>(pub(crate) &'a Place);

impl Control<'_> {
    /// Asks for the status of all daemons.
    pub(crate) fn status(&self) -> Result<Status, Failure> {
        if !self.0.program("ctl").is_file() {
            return Ok(Status::Down);
        }
        let mut command = self.command(&["status", "--json"]);
        command.stderr(Stdio::null());
        let output = command.output().map_err(|source| self.not_run(source))?;
        let answer = serde_json::from_slice(&output.stdout);
        match (output.status.code(), answer) {
            (Some(0), Ok(answer)) => Ok(Status::Well(answer)),
            (Some(1), Ok(answer)) => Ok(Status::Unwell(answer)),
            (Some(3), _) => Ok(Status::Down),
            _ => Err(Failure::Ended { command: "ctl status".into(), status: output.status.to_string() }),
        }
    }

    /// Runs `ctl` with this process's terminal.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<(), Failure> {
        let status = self.command(arguments).status().map_err(|source| self.not_run(source))?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::Ended { command: format!("ctl {}", arguments.join(" ")), status: status.to_string() })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "a command at a terminal runs ctl, as its person would"
        )]
        let mut command = Command::new(self.0.program("ctl"));
        self.0.dress(&mut command);
        command.arg("-f").arg(self.0.config()).args(arguments).stdin(Stdio::null());
        command
    }

    fn not_run(&self, source: std::io::Error) -> Failure {
        Failure::Run { program: self.0.program("ctl").display().to_string(), source }
    }
}
