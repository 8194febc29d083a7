//! Why a start failed, as its child reports it: in shared memory, or through a pipe if it was forked.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::os::{Launch, SpawnError};

/// How long to wait for a start as another user: nearly all take less than 2 ms. A start that fails later counts as
/// started, and its exit tells why.
pub(super) const FORKED_WITHIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// The step in which the child failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    None,
    Descriptors,
    Limits,
    Nice,
    Keyring,
    User,
    Confine,
    Cwd,
    Exec,
}

impl Step {
    const ALL: [Self; 9] = [
        Self::None,
        Self::Descriptors,
        Self::Limits,
        Self::Nice,
        Self::Keyring,
        Self::User,
        Self::Confine,
        Self::Cwd,
        Self::Exec,
    ];
}

/// Where and why a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StartFailure {
    pub(super) step: Step,
    pub(super) errno: i32,
}

/// Whether a forked child has become its program or failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finished {
    Yes(Option<StartFailure>),
    NotYet,
}

impl StartFailure {
    pub(super) const NONE: Self = Self { step: Step::None, errno: 0 };

    /// Encodes the failure. Allocates nothing, as it is called in the child.
    pub(super) fn to_bytes(self) -> [u8; 5] {
        let [a, b, c, d] = self.errno.to_ne_bytes();
        [self.step as u8, a, b, c, d]
    }

    /// Reads what a forked child wrote; `None` if it became the program, or was ended before.
    fn read(failures: &OwnedFd) -> Option<Self> {
        let mut bytes = [0; 5];
        let count = rustix::io::read(failures, &mut bytes).ok()?;
        let [step, errno @ ..] = bytes;
        let step = *Step::ALL.get(usize::from(step)).filter(|_| count == bytes.len())?;
        Some(Self { step, errno: i32::from_ne_bytes(errno) })
    }

    /// Waits for a forked child, at most this long.
    pub(super) fn within(failures: &OwnedFd, time: Timespec) -> Finished {
        let mut fds = [PollFd::new(failures, PollFlags::IN)];
        if poll(&mut fds, Some(&time)).is_ok_and(|ready| ready > 0) {
            Finished::Yes(Self::read(failures))
        } else {
            Finished::NotYet
        }
    }

    /// Returns the failure in words.
    pub(super) fn error(self, launch: &Launch) -> SpawnError {
        self.with_names(&launch.cwd.to_string_lossy(), &launch.program.to_string_lossy())
    }

    fn with_names(self, cwd: &str, program: &str) -> SpawnError {
        let step = match self.step {
            Step::Descriptors => "passing descriptors".into(),
            Step::Limits => "setting resource limits".into(),
            Step::Nice => "setting its priority".into(),
            Step::Keyring => "joining a session keyring".into(),
            Step::User => "changing to its user".into(),
            Step::Confine => "giving up capabilities".into(),
            Step::Cwd => format!("entering {cwd}"),
            Step::None | Step::Exec => format!("executing {program}"),
        };
        SpawnError { step, cause: io::Error::from_raw_os_error(self.errno), ours: false }
    }
}

/// A start as another user that was still under way when the wait for it was over.
#[derive(Debug)]
pub(super) struct UnfinishedStart {
    failures: OwnedFd,
    cwd: String,
    program: String,
}

impl UnfinishedStart {
    pub(super) fn new(failures: OwnedFd, launch: &Launch) -> Self {
        let text = |text: &std::ffi::CString| text.to_string_lossy().into_owned();
        Self { failures, cwd: text(&launch.cwd), program: text(&launch.program) }
    }

    /// Returns why the start failed after all; must be called after the process has ended.
    pub(super) fn failure(&self) -> Option<SpawnError> {
        StartFailure::read(&self.failures).map(|failure| failure.with_names(&self.cwd, &self.program))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_writes_is_read_and_silence_is_no_failure() {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        for step in Step::ALL {
            let (reader, writer) = io::pipe().expect("a pipe");
            let reader = OwnedFd::from(reader);
            let failure = StartFailure { step, errno: libc::ENOEXEC };
            assert_eq!(StartFailure::within(&reader, at_once), Finished::NotYet);
            rustix::io::write(&writer, &failure.to_bytes()).expect("written");
            assert_eq!(StartFailure::within(&reader, at_once), Finished::Yes(Some(failure)));
            drop(writer);
            assert_eq!(StartFailure::within(&reader, at_once), Finished::Yes(None));
        }
    }
}
