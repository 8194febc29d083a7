//! Runs the launcher of a check for the monitor, and holds the outputs of the command.
//!
//! A process can lock its output in the kernel: `splice` from a silent socket holds the mutex of the pipe, and everything
//! that reads or closes that pipe then sleeps and cannot be killed. Over a Unix socket it can send a locked pipe, with the
//! same effect on the reader. The monitor therefore has no end of anything that a command with restricted rights can
//! reach. This process has, and passes on what the monitor reports of it. It is also the parent of all that the command
//! makes its siblings (`CLONE_PARENT`).
//!
//! Its stdin carries the instructions, after their length, and stays open: when it is closed, the command is killed. Its
//! stdout carries the wait status and then the beginning of the command's stdout; its stderr that of the stderr.

#![cfg_attr(not(unix), allow(dead_code, reason = "other systems have no users to change to"))]

use std::io;
use std::process::ExitStatus;

pub use system::run;

/// The argument that makes this program act as the shim.
pub const VERB: &str = "run-check";

/// Number of bytes of the wait status.
pub(crate) const STATUS: usize = size_of::<i32>();

/// Frames the instructions for a shim.
pub(crate) fn framed(instructions: &[u8]) -> Vec<u8> {
    let length = u32::try_from(instructions.len()).unwrap_or(u32::MAX);
    [&length.to_ne_bytes(), instructions].concat()
}

/// Takes the wait status of the command from the beginning of a shim's stdout.
pub(crate) fn take_status(said: &mut Vec<u8>) -> io::Result<ExitStatus> {
    let status = said.first_chunk().copied().ok_or(io::ErrorKind::UnexpectedEof)?;
    said.drain(..status.len());
    Ok(system::status(i32::from_ne_bytes(status)))
}

#[cfg(unix)]
mod system {
    use std::io::{self, Read, Write as _};
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{ExitStatus, Stdio};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use rustix::process::{Pid, Signal, kill_process, kill_process_group};

    use crate::exec::{KEPT, LAST_WORDS};
    use crate::launcher::{self, LaunchError};

    type Chunk = (Output, Vec<u8>);

    #[derive(Debug, Clone, Copy)]
    enum Output {
        Stdout,
        Stderr,
    }

    pub(super) fn status(raw: i32) -> ExitStatus {
        ExitStatus::from_raw(raw)
    }

    /// Runs the command described on stdin and reports its end. Kills its process group, before any of its outputs is
    /// closed.
    pub fn run() -> Result<(), LaunchError> {
        launcher::stand_alone()?;
        let mut length = [0; 4];
        io::stdin().read_exact(&mut length)?;
        let mut instructions = Vec::new();
        io::stdin().take(u32::from_ne_bytes(length).into()).read_to_end(&mut instructions)?;

        let mut command = launcher::command(launcher::VERB, std::env::args_os().nth(2))?.into_std();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|cause| LaunchError::of("start the launcher", cause))?;
        let leader = Pid::from_child(&child);
        let (send, received) = channel();
        start_thread(move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            kill(leader);
        })?;
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            let send_too = send.clone();
            start_thread(move || forward(stdout, Output::Stdout, &send_too))?;
            start_thread(move || forward(stderr, Output::Stderr, &send))?;
        }
        // Written last: without instructions a launcher runs nothing, so that every error above ends it too. A launcher
        // that exits before it has read everything reports the reason itself.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(&instructions));
        let status = child.wait()?;
        let (said, complained) = collect(&received);
        kill(leader);
        // The monitor may have given the check up.
        let _ = io::stderr().write_all(&complained);
        let _ = io::stdout().write_all(&[&status.into_raw().to_ne_bytes(), &said[..]].concat());
        let _ = io::stdout().flush();
        Ok(())
    }

    fn start_thread(run: impl FnOnce() + Send + 'static) -> Result<(), LaunchError> {
        let started = thread::Builder::new().stack_size(64 * 1024).spawn(run);
        started.map(drop).map_err(|cause| LaunchError::of("start a thread", cause))
    }

    /// Reads to the end, so that the command never blocks on the pipe, and sends the beginning.
    fn forward(mut pipe: impl Read, output: Output, send: &Sender<Chunk>) {
        let (mut buffer, mut wanted) = ([0; 4096], KEPT);
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            let kept = read.min(wanted);
            wanted -= kept;
            if kept > 0 && send.send((output, buffer[..kept].to_vec())).is_err() {
                return;
            }
        }
    }

    /// Returns the beginnings of stdout and stderr, after both have ended or a short wait.
    fn collect(received: &Receiver<Chunk>) -> (Vec<u8>, Vec<u8>) {
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        while let Ok((output, chunk)) = received.recv_timeout(LAST_WORDS) {
            match output {
                Output::Stdout => said.extend(chunk),
                Output::Stderr => complained.extend(chunk),
            }
        }
        (said, complained)
    }

    /// Kills the command and its process group.
    ///
    /// If the leader was reaped, its number is free unless processes of the group are left. The system gives numbers out
    /// in a circle, so that no other process has got it within this moment.
    fn kill(leader: Pid) {
        if kill_process_group(leader, Signal::KILL).is_err() {
            // A launcher that leads no group yet.
            let _ = kill_process(leader, Signal::KILL);
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::process::ExitStatus;

    use crate::launcher::LaunchError;

    pub(super) fn status(_raw: i32) -> ExitStatus {
        ExitStatus::default()
    }

    /// Fails: no check has restricted rights here.
    pub fn run() -> Result<(), LaunchError> {
        Err(LaunchError::Absent("run a check as another user"))
    }
}
