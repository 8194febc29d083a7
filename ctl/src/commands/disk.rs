//! Reads a home that nobody supervises: the program of the supervisor answers from the files, and ends with this
//! command.

use std::fs::DirBuilder;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sereno_config::Home;
use sereno_connect::ConnectError;
use tokio::time::{Instant, sleep};

use super::spawn::program;
use crate::client::Supervisor;
use crate::failure::note;
use crate::place::Place;

/// How long the reader may take until it answers: it looks at every process of the host.
const ANSWERS: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A reader of a home, and the place through which it is asked. Dropping it ends the reader.
pub(super) struct Reading {
    pub(super) place: Place,
    child: Child,
    folder: PathBuf,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Returns a reader of the place's home if no supervisor runs there; `None` if one does, or if there is nothing to
/// read.
pub(super) async fn instead_of_supervisor(place: &Place) -> Option<Reading> {
    let endpoint = &place.located.supervisor;
    let runs = match Supervisor::try_connect(endpoint).await {
        Ok(_) => true,
        Err(error) => !matches!(error, ConnectError::Nobody(_)),
    };
    if runs || place.elsewhere.is_some() || !place.located.home.state().is_dir() {
        return None;
    }
    match start(place).await {
        Ok(reading) => Some(reading),
        Err(why) => {
            note(&format!("{} can not be read: {why}", place.located.home.root().display()));
            None
        }
    }
}

/// Why a home cannot be read.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Ended(String),
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
}

async fn start(place: &Place) -> Result<Reading, Unread> {
    let folder = private_folder()?;
    #[expect(clippy::disallowed_methods, reason = "the reader is the supervisor's own program")]
    let mut command = Command::new(program());
    command.arg("--read").arg(place.located.home.root()).arg("--at").arg(&folder);
    // Its stdin ends with this process, and that ends it.
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = std::fs::remove_dir_all(&folder);
            return Err(error.into());
        }
    };
    let mut reading = Reading { place: place.at(Home::at(&folder).endpoint("supervisor")), child, folder };
    let until = Instant::now() + ANSWERS;
    loop {
        if Supervisor::try_connect(&reading.place.located.supervisor).await.is_ok() {
            return Ok(reading);
        }
        if reading.child.try_wait()?.is_some() {
            let mut said = String::new();
            if let Some(stderr) = &mut reading.child.stderr {
                stderr.read_to_string(&mut said)?;
            }
            return Err(Unread::Ended(said.trim().trim_start_matches("supervisor: ").to_owned()));
        }
        if Instant::now() >= until {
            return Err(Unread::Silent(ANSWERS));
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Makes a folder that only this user can enter.
fn private_folder() -> std::io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("sereno-read-{}", std::process::id()));
    // One of an earlier process with this pid.
    let _ = std::fs::remove_dir_all(&folder);
    make(&folder)?;
    make(Home::at(&folder).run())?;
    Ok(folder)
}

#[cfg(unix)]
fn make(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().create(folder)
}
