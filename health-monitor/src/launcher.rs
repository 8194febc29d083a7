//! Runs the command of a check with the rights of its service: starts this program again as a
//! single-threaded process that gives up its rights and then becomes the command.
//!
//! The launcher reads its instructions from stdin, because arguments are visible to every user. Its own
//! environment stays empty until it becomes the command: an `env_file` may belong to the service's user,
//! and variables in it (`LD_PRELOAD`) must not reach a process that still has root's rights.

#![cfg_attr(not(unix), allow(dead_code, reason = "other systems have no users to change to"))]

use std::ffi::OsString;
use std::io;
use std::path::Path;

use prost::Message as _;
use proto::v1::RestrictedExec;

/// The argument that makes this program act as the launcher.
pub const VERB: &str = "launch-check";

/// Exit code of a launcher that could not become the command.
pub const FAILED: u8 = 126;

/// Environment variable with the monitor's mark. It stays set, so that a sweep finds the command.
const MARK: &str = "SERENO_UNIT";

/// Why a command could not be run with the intended rights.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The instructions can not be read.
    #[error("cannot read what to run: {0}")]
    Unread(#[from] io::Error),
    /// The instructions are damaged.
    #[error("cannot read what to run: {0}")]
    Damaged(#[from] prost::DecodeError),
    /// The supervisor forbids running the command.
    #[error("not run: {0}")]
    Refused(String),
    /// Only root may change the user.
    #[error("cannot run as user {uid}: only root may, and this monitor runs as user {own}")]
    NotRoot {
        /// User id that the command should have.
        uid: u32,
        /// User id of the monitor.
        own: u32,
    },
    /// The limit is unknown: the supervisor is newer.
    #[error("cannot set the limit {0:?}: this system has none of that name")]
    UnknownLimit(String),
    /// This system lacks the feature.
    #[error("cannot {0} on this system")]
    Absent(&'static str),
    /// A system call failed.
    #[error("cannot {step}: {cause}")]
    Step {
        /// The step that failed.
        step: String,
        /// Cause of the failure.
        cause: io::Error,
    },
}

impl LaunchError {
    pub(crate) fn of(step: impl Into<String>, cause: impl Into<io::Error>) -> Self {
        Self::Step { step: step.into(), cause: cause.into() }
    }
}

/// Encodes the instructions for a launcher.
pub(crate) fn instructions(spec: &RestrictedExec) -> Vec<u8> {
    spec.encode_to_vec()
}

/// Checks that this process can give a command exactly the intended rights.
pub(crate) fn may_launch(spec: &RestrictedExec) -> Result<(), LaunchError> {
    if !spec.refused.is_empty() {
        return Err(LaunchError::Refused(spec.refused.clone()));
    }
    system::may_launch(spec)
}

/// Returns the command that starts this program again with this verb. The launcher will enter this cgroup.
pub(crate) fn command(verb: &str, cgroup: Option<OsString>) -> io::Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(system::own_program()?);
    command.arg(verb).args(cgroup).env_clear().envs(std::env::var_os(MARK).map(|mark| (MARK, mark)));
    Ok(command)
}

/// Leaves the session and the inherited files of the caller.
pub(crate) fn stand_alone() -> Result<(), LaunchError> {
    system::stand_alone()
}

/// Leaves the monitor's session and files, enters the cgroup named in its arguments, if any, and becomes
/// the command described on stdin. Returns only on failure.
pub fn launch() -> LaunchError {
    if let Err(error) = stand_alone() {
        return error;
    }
    if let Some(cgroup) = std::env::args_os().nth(2)
        && let Err(error) = crate::leaf::write(&Path::new(&cgroup).join("cgroup.procs"), "0")
    {
        return LaunchError::of(format!("enter {}", cgroup.display()), error);
    }
    let mut bytes = Vec::new();
    let read = io::Read::read_to_end(&mut io::stdin(), &mut bytes).map_err(LaunchError::from);
    let spec = read.and_then(|_| Ok(RestrictedExec::decode(bytes.as_slice())?));
    match spec.and_then(|spec| may_launch(&spec).map(|()| spec)) {
        Ok(spec) => system::become_command(&spec),
        Err(error) => error,
    }
}

#[cfg(unix)]
mod system {
    use std::os::unix::process::CommandExt as _;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use proto::v1::{ProcessIds, ResourceLimit};
    use rustix::fs::Mode;
    use rustix::process::{Resource, Rlimit};

    use super::{LaunchError, MARK, RestrictedExec, io};

    /// Returns this program, even if its file has been replaced meanwhile.
    #[cfg(target_os = "linux")]
    #[expect(clippy::unnecessary_wraps, reason = "other systems have to ask")]
    pub(super) fn own_program() -> io::Result<PathBuf> {
        Ok("/proc/self/exe".into())
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn own_program() -> io::Result<PathBuf> {
        std::env::current_exe()
    }

    /// Creates a new session and closes all inherited files. Within the monitor's session the command could
    /// join the monitor's process group and, by stopping there, make the kernel send a hang-up to the whole
    /// group. An unmanaged monitor may have inherited open files that are not meant for the command.
    pub(super) fn stand_alone() -> Result<(), LaunchError> {
        close_fds::set_fds_cloexec(3, &[]);
        rustix::process::setsid().map_err(|cause| LaunchError::of("begin a session", cause))?;
        Ok(())
    }

    pub(super) fn may_launch(spec: &RestrictedExec) -> Result<(), LaunchError> {
        let own = rustix::process::geteuid();
        match &spec.ids {
            Some(ids) if !own.is_root() && ids.uid != own.as_raw() => {
                Err(LaunchError::NotRoot { uid: ids.uid, own: own.as_raw() })
            }
            _ if cfg!(not(target_os = "linux"))
                && (spec.capabilities.is_some() || spec.no_new_privileges) =>
            {
                Err(LaunchError::Absent("take capabilities away"))
            }
            _ => Ok(()),
        }
    }

    /// Applies the same steps in the same order as the supervisor does for a service.
    pub(super) fn become_command(spec: &RestrictedExec) -> LaunchError {
        let Some((program, args)) = spec.argv.split_first() else {
            return LaunchError::Refused("the command is empty".into());
        };
        #[expect(clippy::disallowed_methods, reason = "replaces this process; nothing is started")]
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(&spec.env).stdin(Stdio::null());
        command.envs(std::env::var_os(MARK).map(|mark| (MARK, mark)));
        if !spec.cwd.is_empty() {
            command.current_dir(&spec.cwd);
        }
        if let Err(error) = restrict(spec, &mut command) {
            return error;
        }
        LaunchError::of(format!("start {program}"), command.exec())
    }

    fn restrict(spec: &RestrictedExec, command: &mut Command) -> Result<(), LaunchError> {
        if let Some(umask) = spec.umask {
            #[allow(clippy::useless_conversion, reason = "a mode has 16 bits on macOS")]
            let bits = (umask & 0o777).try_into().unwrap_or_default();
            rustix::process::umask(Mode::from_bits_truncate(bits));
        }
        for ResourceLimit { name, value } in &spec.limits {
            let resource = resource(name).ok_or_else(|| LaunchError::UnknownLimit(name.clone()))?;
            rustix::process::setrlimit(resource, Rlimit { current: *value, maximum: *value })
                .map_err(|cause| LaunchError::of(format!("set the limit {name}"), cause))?;
        }
        if let Some(nice) = spec.nice {
            rustix::process::setpriority_process(None, nice)
                .map_err(|cause| LaunchError::of("set its priority", cause))?;
        }
        rights(spec, command)
    }

    /// A process that is not root already runs as the intended user and has nothing to give up.
    fn ids_to_set(spec: &RestrictedExec) -> Option<&ProcessIds> {
        spec.ids.as_ref().filter(|_| rustix::process::geteuid().is_root())
    }

    #[cfg(target_os = "linux")]
    fn rights(spec: &RestrictedExec, _: &mut Command) -> Result<(), LaunchError> {
        use rustix::fs::{Gid, Uid};
        use rustix::io::Errno;
        use rustix::thread::{self, CapabilitySet, CapabilitySets};

        let confined = |cause: Errno| LaunchError::of("give up capabilities", cause);
        let bits = || (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
        let kept = spec.capabilities.map(CapabilitySet::from_bits_retain);
        if let Some(kept) = kept {
            for one in bits().filter(|one| !kept.contains(*one)) {
                match thread::remove_capability_from_bounding_set(one) {
                    // This kernel knows no further capability.
                    Err(Errno::INVAL) => break,
                    removed => removed.map_err(confined)?,
                }
            }
        }
        if let Some(ids) = ids_to_set(spec) {
            let user = |cause: Errno| LaunchError::of(format!("change to user {}", ids.uid), cause);
            if kept.is_some() {
                // A change of user would clear all capabilities, including those to keep.
                thread::set_keep_capabilities(true).map_err(confined)?;
            }
            let groups: Vec<Gid> = ids.groups.iter().copied().map(Gid::from_raw).collect();
            let (gid, uid) = (Gid::from_raw(ids.gid), Uid::from_raw(ids.uid));
            thread::set_thread_groups(&groups).map_err(user)?;
            thread::set_thread_res_gid(gid, gid, gid).map_err(user)?;
            thread::set_thread_res_uid(uid, uid, uid).map_err(user)?;
        }
        if let Some(kept) = kept {
            let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: kept };
            thread::set_capabilities(None, sets).map_err(confined)?;
            for one in bits().filter(|one| kept.contains(*one)) {
                thread::configure_capability_in_ambient_set(one, true).map_err(confined)?;
            }
        }
        if spec.no_new_privileges {
            thread::set_no_new_privs(true).map_err(confined)?;
        }
        Ok(())
    }

    /// These systems have no safe call for supplementary groups: the library drops all of them, then
    /// changes group and user.
    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unnecessary_wraps, reason = "Linux can fail here")]
    fn rights(spec: &RestrictedExec, command: &mut Command) -> Result<(), LaunchError> {
        if let Some(ids) = ids_to_set(spec) {
            command.gid(ids.gid).uid(ids.uid);
        }
        Ok(())
    }

    fn resource(name: &str) -> Option<Resource> {
        let resource = match name {
            "as" => Resource::As,
            "core" => Resource::Core,
            "cpu" => Resource::Cpu,
            "data" => Resource::Data,
            "fsize" => Resource::Fsize,
            "memlock" => Resource::Memlock,
            "nofile" => Resource::Nofile,
            "nproc" => Resource::Nproc,
            "rss" => Resource::Rss,
            "stack" => Resource::Stack,
            #[cfg(target_os = "linux")]
            "locks" => Resource::Locks,
            #[cfg(target_os = "linux")]
            "msgqueue" => Resource::Msgqueue,
            #[cfg(target_os = "linux")]
            "nice" => Resource::Nice,
            #[cfg(target_os = "linux")]
            "rtprio" => Resource::Rtprio,
            #[cfg(target_os = "linux")]
            "rttime" => Resource::Rttime,
            #[cfg(target_os = "linux")]
            "sigpending" => Resource::Sigpending,
            _ => return None,
        };
        Some(resource)
    }
}

#[cfg(not(unix))]
mod system {
    use super::{LaunchError, RestrictedExec, io};

    const ABSENT: LaunchError = LaunchError::Absent("run a check as another user");

    pub(super) fn own_program() -> io::Result<std::path::PathBuf> {
        std::env::current_exe()
    }

    pub(super) fn stand_alone() -> Result<(), LaunchError> {
        Err(ABSENT)
    }

    pub(super) fn may_launch(_: &RestrictedExec) -> Result<(), LaunchError> {
        Err(ABSENT)
    }

    pub(super) fn become_command(_: &RestrictedExec) -> LaunchError {
        ABSENT
    }
}
