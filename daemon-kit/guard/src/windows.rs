//! Windows: a handle holds the supervisor; its lock is a file that no other process may open for writing.

use std::fs::OpenOptions;
use std::future::Future;
use std::os::windows::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fmt, io, thread};

use tokio::sync::oneshot;
use winsafe::guard::CloseHandleGuard;
use winsafe::{HPROCESS, SysResult, co};

use super::Death;
use super::launch::Launch;
use super::life::HolderError;

/// Another process has the file open and denies writing.
const SHARING_VIOLATION: i32 = 32;
/// No process has that pid.
const INVALID_PARAMETER: co::ERROR = co::ERROR::INVALID_PARAMETER;
/// Exit status for processes that Sereno kills (see the supervisor's `os`).
const KILLED: u32 = 0xE053_4B09;

/// Checks that this process may read the lock file, which makes it a guard of that supervisor; returns the
/// reason if not.
pub(super) fn may_guard(lock: &Path) -> Result<(), HolderError> {
    std::fs::metadata(lock).map(drop).map_err(|error| HolderError::Lock(lock.into(), error))
}

/// A process that was alive when it was found.
pub(super) struct Process {
    pid: u32,
    process: CloseHandleGuard<HPROCESS>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Process").field(&self.pid).finish()
    }
}

impl Process {
    /// Returns the process with this pid, if it is alive and holds the lock. Fails if that can not be determined.
    pub(super) fn holding(lock: &Path, pid: u32) -> Result<Option<Self>, HolderError> {
        let process = match open(pid) {
            Ok(process) => process,
            Err(INVALID_PARAMETER) => return Ok(None),
            Err(error) => return Err(HolderError::Watch(pid, io::Error::other(error.to_string()))),
        };
        // The handle is opened before the check: the pid may have been reused by another process, and then
        // the lock is free.
        let alive = process.WaitForSingleObject(Some(0)) == Ok(co::WAIT::TIMEOUT);
        let holds = is_held(lock).map_err(|error| HolderError::Lock(lock.into(), error))?;
        Ok((alive && holds).then_some(Self { pid, process }))
    }

    /// Returns a future that completes when the process ends. A thread waits for it: the runtime has no other safe way.
    pub(super) fn died(&self) -> io::Result<impl Future<Output = ()> + use<>> {
        let (tell, told) = oneshot::channel::<()>();
        // The thread gets a handle of its own. The existing handle prevents reuse of the pid.
        let process = open(self.pid).map_err(|error| io::Error::other(error.to_string()))?;
        thread::Builder::new().name("guard".into()).stack_size(64 * 1024).spawn(move || {
            // Fails only for an invalid handle.
            let _ = process.WaitForSingleObject(None);
            drop(tell);
        })?;
        Ok(async move {
            // The channel never carries a value: it closes when the thread ends.
            let _ = told.await;
        })
    }

    /// Kills the process. If it has already ended, nothing is left to do.
    pub(super) fn kill(&self) {
        let _ = self.process.TerminateProcess(KILLED);
    }
}

fn open(pid: u32) -> SysResult<CloseHandleGuard<HPROCESS>> {
    HPROCESS::OpenProcess(co::PROCESS::SYNCHRONIZE | co::PROCESS::TERMINATE, false, pid)
}

/// Whether the lock is held. A supervisor that takes it at the same moment tries again.
fn is_held(lock: &Path) -> io::Result<bool> {
    match OpenOptions::new().write(true).open(lock) {
        Ok(_) => Ok(false),
        Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Starts a supervisor outside of this guard's job, so that it does not end with the guard. Does not wait for it.
pub(super) fn start(launch: &Launch, home: &Path, death: &Death) -> io::Result<()> {
    const DETACHED_PROCESS: u32 = 0x0000_0008;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    const CREATE_BREAKAWAY_FROM_JOB: u32 = 0x0100_0000;
    #[expect(clippy::disallowed_methods, reason = "the one process that a guard starts is the supervisor")]
    let mut command = Command::new(&launch.program);
    let folder = if launch.cwd.is_dir() { launch.cwd.clone() } else { PathBuf::from(home) };
    command.arg("--resume").arg(home).args(death.args()).current_dir(folder);
    // The supervisor closes the handles that it inherits from this process.
    command.arg("--detach");
    command.env_clear().envs(launch.env.iter().filter(|(name, _)| Launch::hands_on(name)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP | CREATE_BREAKAWAY_FROM_JOB);
    command.spawn().map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::windows::fs::OpenOptionsExt as _;

    use super::super::life::{Holder, Supervisor};
    use super::*;
    use sereno_config::Home;

    #[test]
    fn only_who_holds_the_lock_is_the_supervisor() {
        const READ: u32 = 1;
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::at(folder.path());
        fs::create_dir_all(home.run()).expect("made");
        assert!(matches!(Supervisor::find(&home), Holder::Unknown(_)), "there is no lock");
        let me = std::process::id();
        fs::write(home.lock(), format!("{me}\n")).expect("written");
        let dead = |holder| matches!(holder, Holder::Dead(pid) if pid == me);
        assert!(dead(Supervisor::find(&home)), "a pid that was used again");
        let lock =
            OpenOptions::new().read(true).write(true).share_mode(READ).open(home.lock()).expect("free");
        assert!(matches!(Supervisor::find(&home), Holder::Alive(found) if found.pid() == me));
        drop(lock);
        fs::write(home.lock(), "").expect("written");
        assert!(matches!(Supervisor::find(&home), Holder::Unknown(_)), "not signed yet");
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_heard() {
        #[expect(clippy::disallowed_methods, reason = "a process to watch")]
        let mut child =
            Command::new("cmd").args(["/c", "pause"]).stdin(Stdio::piped()).spawn().expect("starts");
        let process = Process { pid: child.id(), process: open(child.id()).expect("it lives") };
        let died = process.died().expect("watched");
        process.kill();
        died.await;
        let code = child.wait().expect("ours").code().map(i32::cast_unsigned);
        assert_eq!(code, Some(KILLED));
    }
}
