//! Starts a supervisor on any Unix.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Death;
use super::launch::Launch;

/// Starts a supervisor that is not our child: the process started here forks another one and exits at once.
pub(super) fn start(launch: &Launch, home: &Path, death: &Death) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the one process that a guard starts is the supervisor")]
    let mut command = Command::new(&launch.program);
    let folder = if launch.cwd.is_dir() { launch.cwd.clone() } else { PathBuf::from("/") };
    command.arg("--resume").arg(home).args(death.args()).current_dir(folder);
    command.env_clear().envs(launch.env.iter().filter(|(name, _)| Launch::hands_on(name)));
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{} ended with {status}", launch.program.display())))
}
