//! `ctl upgrade`: another program takes this process over. Children stay children, and their events wait meanwhile:
//! exits as zombies, output in the FIFOs.
//!
//! The new program is first run as a child that reads the state and prints its version: a program that cannot start, or
//! does not understand the state, is refused while the old program continues.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::command::{Reply, UpgradeError};
use super::{Ended, Manager};
use crate::journal::Kind;
use crate::lifecycle::Exit;
use crate::os::{self, Launch, SpawnError};
use crate::service::{Run, Service};

/// Why the state cannot be written to disk.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The state itself cannot be written.
    #[error("writing the state: {0}")]
    State(io::Error),
    /// The write-ahead log cannot be emptied, as the state has what it held.
    #[error("emptying the write-ahead log: {0}")]
    Wal(io::Error),
}

/// Why a new program cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// A text cannot be passed to a program.
    #[error("the path holds a NUL character")]
    Nul,
    /// A path cannot be passed to a program.
    #[error("the {0} is no text")]
    NoText(&'static str),
    /// The file for what it says cannot be made.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It cannot be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

/// A new program that is being tried.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) run: Run,
    binary: PathBuf,
    reply: Reply<Result<String, UpgradeError>>,
    began: Instant,
}

impl Manager {
    pub(super) fn upgrade(
        &mut self,
        binary: Option<PathBuf>,
        reply: Reply<Result<String, UpgradeError>>,
        who: &str,
    ) {
        let reloads = self.services.runs().any(Service::is_second);
        if reloads || self.going.is_some() || self.trial.is_some() || self.handing_over.is_some() {
            drop(reply.send(Err(UpgradeError::Busy)));
            return;
        }
        // To become another program, all threads of this one must end.
        let stuck = self.world.logs.stuck().map(|key| key.service.to_string());
        let stuck = stuck.or_else(|| self.held_up().map(|service| service.name.to_string()));
        let is_stuck = || os::pipe::is_opening_stuck() || crate::evidence::take::is_stuck();
        if let Some(whose) = stuck.or_else(|| is_stuck().then(|| "a service".into())) {
            drop(reply.send(Err(UpgradeError::Stuck(whose))));
            return;
        }
        let binary = binary.unwrap_or_else(|| self.own_binary.clone());
        self.world.tell_own(Kind::Operator, format!("upgrade to {} by {who}", binary.display()));
        // The trial reads the state that would be handed over now.
        let started = self.save_state().map_err(UpgradeError::from);
        let started = started.and_then(|()| self.start_trial(&binary).map_err(UpgradeError::from));
        match started {
            Ok(run) => {
                self.trial = Some(Trial { run, binary, reply, began: Instant::now() });
                self.watch_trial();
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn start_trial(&self, binary: &Path) -> Result<Run, TrialError> {
        let text = |text: &str| CString::new(text).map_err(|_| TrialError::Nul);
        let program = binary.to_str().ok_or(TrialError::NoText("path"))?;
        let home = self.world.home.root().to_str().ok_or(TrialError::NoText("home"))?;
        let env: Result<Vec<CString>, TrialError> =
            self.world.env.iter().map(|(name, value)| text(&format!("{name}={value}"))).collect();
        let launch = Launch {
            program: text(program)?,
            args: vec![text("supervisor")?, text("--check-state")?, text(home)?],
            env: env?,
            cwd: text("/")?,
            umask: None,
            nice: None,
            limits: self.world.host.limits.clone(),
            ids: None,
            confine: os::Confine::default(),
            own_keyring: false,
            listens: false,
        };
        let said = os::open_private(&self.said_path())?;
        let said = os::Handle::from(said);
        let fds = [os::borrow(&self.world.null), os::borrow(&said), os::borrow(&said)];
        let process = os::spawn(&launch, &fds, None, None)?;
        Ok(Run { process, incarnation: 0, adopted: false })
    }

    fn said_path(&self) -> PathBuf {
        self.world.home.run().join("upgrade.out")
    }

    fn watch_trial(&mut self) {
        use futures_util::FutureExt;
        let Some(trial) = &self.trial else { return };
        if let Ok(exited) = trial.run.process.exited() {
            self.exits.push(Box::pin(exited.map(|()| Ended::Trial)));
        }
    }

    /// Handles the end of the trial: the upgrade is refused or begins.
    pub(super) fn trial_ended(&mut self) {
        let Some(trial) = self.trial.take() else { return };
        let exit = trial.run.process.reap();
        let said = std::fs::read_to_string(self.said_path()).unwrap_or_default();
        let said = said.trim().to_string();
        if exit != Exit::Code(0) {
            let why = if said.is_empty() { exit.to_string() } else { said };
            self.world.tell_own(Kind::Daemon, format!("upgrade refused: {why}"));
            drop(trial.reply.send(Err(UpgradeError::Refused(why))));
            return;
        }
        if let Some(service) = self.held_up() {
            drop(trial.reply.send(Err(UpgradeError::Stuck(service.name.to_string()))));
            return;
        }
        tracing::info!(version = %said, took = ?trial.began.elapsed(), "hands over to {}", trial.binary.display());
        self.world.tell_own(Kind::Daemon, format!("hands over to {} {said}", trial.binary.display()));
        drop(trial.reply.send(Ok(said)));
        self.handing_over = Some(trial.binary);
    }

    /// Writes the current state to disk.
    pub(super) fn save_state(&mut self) -> Result<(), SaveError> {
        let state = self.state();
        self.states += 1;
        self.saver.save(self.states, &state).map_err(SaveError::State)?;
        self.world.wal.checkpointed(state.seq).map_err(SaveError::Wal)
    }
}
