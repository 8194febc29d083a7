//! A command that runs, and its end.
//!
//! On Unix the end is heard of by SIGCHLD and not by tokio's `Child::wait`. A process of the same user may trace the
//! command, and is then the first that may reap it. Until it does, `Child::wait` would ask again without a pause.

use std::io;
use std::process::ExitStatus;

use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

pub(crate) use system::{Running, lead_group, reap};

/// Commands of one user that may wait to be reaped; above it no check of this user is started.
const MOST_LEFT: usize = 64;

/// A command is not run, because too many earlier ones of the same user cannot be reaped.
#[cfg_attr(not(unix), allow(dead_code, reason = "every command can be reaped there"))]
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not run: {MOST_LEFT} commands of earlier checks cannot be reaped: another process traces them, or they hang in the \
     kernel"
)]
pub(crate) struct TooManyLeft;

/// The ends of the pipes of a command that are not its own.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
}

#[cfg(unix)]
mod system {
    use std::process::Child;
    use std::sync::{Mutex, PoisonError};

    use rustix::process::{Pid, Signal as Sent, kill_process_group};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{
        ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, MOST_LEFT, Pipes, TooManyLeft, io,
    };

    /// Killed commands, and shims of such, that are not reaped yet, and the user they ran as (`None`: that of this monitor).
    static LEFT: Mutex<Vec<Left>> = Mutex::new(Vec::new());

    type Left = (Option<u32>, Child);

    /// A command that runs. It is killed with its process group when this is dropped; a shim is not: it kills its command
    /// when its stdin is closed, and then ends.
    #[derive(Debug)]
    pub(crate) struct Running {
        user: Option<u32>,
        is_shim: bool,
        child: Option<Child>,
        ends: Signal,
    }

    impl Running {
        /// Starts a command that runs as this user; `None`: as the user of this monitor.
        pub(crate) fn start(command: Command, user: Option<u32>, is_shim: bool) -> io::Result<(Pipes, Self)> {
            // Made before the command, so that its end is not missed.
            let ends = signal(SignalKind::child())?;
            let mut child = command.into_std().spawn()?;
            let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let running = Self { user, is_shim, child: Some(child), ends };
            let pipes = Pipes {
                stdin: stdin.map(ChildStdin::from_std).transpose()?,
                stdout: stdout.map(ChildStdout::from_std).transpose()?,
                stderr: stderr.map(ChildStderr::from_std).transpose()?,
            };
            Ok((pipes, running))
        }

        /// Waits until the command has ended and is reaped.
        pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
            loop {
                if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                    return Ok(status);
                }
                self.ends.recv().await.ok_or_else(|| io::Error::other("SIGCHLD is not heard any more"))?;
            }
        }
    }

    /// Given up or ended, nothing of a check stays behind.
    ///
    /// If the leader was reaped, its number is free unless processes of the group are left, which this kills. The system
    /// gives numbers out in a circle, so that no other process has got it within this moment.
    impl Drop for Running {
        fn drop(&mut self) {
            let Some(mut child) = self.child.take() else { return };
            if !self.is_shim {
                let _ = kill_process_group(Pid::from_child(&child), Sent::KILL);
            }
            if is_left(&mut child) {
                LEFT.lock().unwrap_or_else(PoisonError::into_inner).push((self.user, child));
            }
        }
    }

    /// Whether a command still has to be reaped.
    fn is_left(child: &mut Child) -> bool {
        matches!(child.try_wait(), Ok(None))
    }

    /// Reaps killed commands. Says why no other may be started as this user, if too many are left.
    ///
    /// The limit is for each user, so that a user who traces checks holds up no checks of others.
    pub(crate) fn reap(user: Option<u32>) -> Result<(), TooManyLeft> {
        reap_of(&mut LEFT.lock().unwrap_or_else(PoisonError::into_inner), user)
    }

    fn reap_of(left: &mut Vec<Left>, user: Option<u32>) -> Result<(), TooManyLeft> {
        left.retain_mut(|(_, child)| is_left(child));
        match left.iter().filter(|(own, _)| *own == user).count() {
            MOST_LEFT.. => Err(TooManyLeft),
            _ => Ok(()),
        }
    }

    /// Has a command lead a process group of its own.
    pub(crate) fn lead_group(command: &mut Command) {
        command.process_group(0);
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn commands_that_are_not_reaped_hold_up_only_their_user() {
            let sleep = || {
                let mut sleep = Command::new("sleep");
                sleep.arg("600");
                sleep.into_std().spawn().expect("it starts")
            };
            let mut left: Vec<Left> = (1..MOST_LEFT).map(|_| (Some(1), sleep())).collect();
            assert_eq!(reap_of(&mut left, Some(1)), Ok(()));
            left.push((Some(1), sleep()));
            assert_eq!(reap_of(&mut left, Some(1)), Err(TooManyLeft));
            for other in [None, Some(2)] {
                assert_eq!(reap_of(&mut left, other), Ok(()));
            }
            for (_, child) in &mut left {
                child.kill().expect("it lives");
                child.wait().expect("it ends");
            }
            assert_eq!((reap_of(&mut left, Some(1)), left.len()), (Ok(()), 0));
        }
    }
}

#[cfg(not(unix))]
mod system {
    use super::{Command, ExitStatus, Pipes, TooManyLeft, io};

    /// A command that runs. It alone is killed when this is dropped: there are no process groups.
    #[derive(Debug)]
    pub(crate) struct Running(tokio::process::Child);

    impl Running {
        pub(crate) fn start(
            mut command: Command,
            _user: Option<u32>,
            _is_shim: bool,
        ) -> io::Result<(Pipes, Self)> {
            let mut child = command.kill_on_drop(true).spawn()?;
            let pipes =
                Pipes { stdin: child.stdin.take(), stdout: child.stdout.take(), stderr: child.stderr.take() };
            Ok((pipes, Self(child)))
        }

        pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
            self.0.wait().await
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "Unix can refuse")]
    pub(crate) fn reap(_user: Option<u32>) -> Result<(), TooManyLeft> {
        Ok(())
    }

    pub(crate) fn lead_group(_: &mut Command) {}
}
