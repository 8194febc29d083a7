//! On Windows: a supervisor is held by a handle, and its lock is a file that nobody else may open for writing.

use std::fs::OpenOptions;
use std::future::Future;
use std::os::windows::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fmt, io, thread};

use tokio::sync::oneshot;
use winsafe::guard::CloseHandleGuard;
use winsafe::{HPROCESS, SysResult, co};

use super::launch::Launch;

/// Somebody has the file open, and lets nobody else write.
const SHARING_VIOLATION: i32 = 32;
/// No process has that pid.
const INVALID_PARAMETER: co::ERROR = co::ERROR::INVALID_PARAMETER;
/// What ends it: a status of our own, as of everything that Sereno ends (see the supervisor's `os`).
const KILLED: u32 = 0xE053_4B09;

/// Whether the supervisor with this lock is one of ours: who may not look at the file is not its guard.
pub(super) fn may_guard(lock: &Path) -> Result<(), String> {
    std::fs::metadata(lock).map(drop).map_err(|error| format!("{}: {error}", lock.display()))
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
    /// The process with this pid, if it lives and holds the lock; the error is why that can not be told.
    pub(super) fn holding(lock: &Path, pid: u32) -> Result<Option<Self>, String> {
        let process = match open(pid) {
            Ok(process) => process,
            Err(INVALID_PARAMETER) => return Ok(None),
            Err(error) => return Err(format!("watching pid {pid}: {error}")),
        };
        // Opened first, judged second. A pid alone may be somebody else by now, and then the lock is free.
        let alive = process.WaitForSingleObject(Some(0)) == Ok(co::WAIT::TIMEOUT);
        let holds = is_held(lock).map_err(|error| format!("{}: {error}", lock.display()))?;
        Ok((alive && holds).then_some(Self { pid, process }))
    }

    /// Ends with the process. A thread waits for it: the runtime has no other way that is a safe one.
    pub(super) fn died(&self) -> io::Result<impl Future<Output = ()> + use<>> {
        let (tell, told) = oneshot::channel::<()>();
        // A handle of its own: this one is open, so that the pid is nobody else's.
        let process = open(self.pid).map_err(|error| io::Error::other(error.to_string()))?;
        thread::Builder::new().name("guard".into()).stack_size(64 * 1024).spawn(move || {
            // Fails only for a handle that is none.
            let _ = process.WaitForSingleObject(None);
            drop(tell);
        })?;
        Ok(async move {
            // Never told anything: the thread ends.
            let _ = told.await;
        })
    }

    /// Ends it. One that is gone by now is what was wanted.
    pub(super) fn kill(&self) {
        let _ = self.process.TerminateProcess(KILLED);
    }
}

fn open(pid: u32) -> SysResult<CloseHandleGuard<HPROCESS>> {
    HPROCESS::OpenProcess(co::PROCESS::SYNCHRONIZE | co::PROCESS::TERMINATE, false, pid)
}

/// Whether somebody holds the lock. A supervisor that takes it in this very moment tries again.
fn is_held(lock: &Path) -> io::Result<bool> {
    match OpenOptions::new().write(true).open(lock) {
        Ok(_) => Ok(false),
        Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Starts a supervisor outside of the job of this guard, so that it does not end with it; nothing is waited for.
pub(super) fn start(launch: &Launch, home: &Path, dead: u32) -> io::Result<()> {
    const DETACHED_PROCESS: u32 = 0x0000_0008;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    const CREATE_BREAKAWAY_FROM_JOB: u32 = 0x0100_0000;
    #[expect(clippy::disallowed_methods, reason = "the one process that a guard starts is the supervisor")]
    let mut command = Command::new(&launch.program);
    let folder = if launch.cwd.is_dir() { launch.cwd.clone() } else { PathBuf::from(home) };
    command.arg("--resume").arg(home).arg("--revive").arg(dead.to_string()).current_dir(folder);
    // It lets go of whatever of this process's it inherits.
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
