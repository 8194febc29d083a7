//! Starts a process in its own session, from prepared strings: fork, a dozen calls that are safe after it, exec.
//!
//! Not `posix_spawn`: it cannot set umask, priority, limits or users, nor can the child write its pid down or be given
//! it.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::host::MOST_DESCRIPTORS;
use super::process::Process;
use super::{proc, tree};
use crate::os::{Birth, Confine, Identity, Launch, SpawnError};

/// Room for any pid; only the child itself knows its own pid.
const LISTEN_PID: &[u8; 22] = b"LISTEN_PID=0000000000\0";

/// The most groups that macOS gives to a process.
const MOST_GROUPS: usize = 16;

/// What the child works with: all of it exists before the fork.
struct Child<'a> {
    program: *const libc::c_char,
    args: &'a [*const libc::c_char],
    env: &'a [*const libc::c_char],
    cwd: *const libc::c_char,
    fds: &'a [i32],
    launch: &'a Launch,
    limits: &'a [(i32, libc::rlimit)],
    /// The address for the digits of `LISTEN_PID`; null if it is not set.
    listen_pid: *mut u8,
    /// The address to which it writes its pid; null for none.
    birth: *const AtomicU32,
    /// The pipe to which it writes what failed; a successful exec closes it.
    failed: i32,
}

/// The step in which the child failed.
#[derive(Clone, Copy)]
enum Step {
    Descriptors = 1,
    Limits,
    Nice,
    User,
    Cwd,
    Exec,
}

/// Starts a process with `fds` as its descriptors 0, 1, 2, …; it writes its pid to `birth`.
///
/// Returns once the program has been executed or could not be: a program that is missing or may not be run is an error
/// here, and not an exit code later.
pub fn spawn(
    launch: &Launch,
    fds: &[BorrowedFd<'_>],
    cgroup: Option<BorrowedFd<'_>>,
    birth: Option<&Birth>,
) -> Result<Process, SpawnError> {
    tree::no_cgroup(cgroup);
    let failed = |step: &str, cause| SpawnError { step: step.into(), cause, ours: false };
    if launch.confine != Confine::default() {
        let why = "macOS has neither capabilities nor a way to forbid new privileges";
        return Err(failed("confining it", io::Error::new(io::ErrorKind::Unsupported, why)));
    }
    let args = pointers(&launch.args);
    let mut env = pointers(&launch.env);
    let mut listen_pid = *LISTEN_PID;
    if launch.listens {
        env.insert(0, listen_pid.as_ptr().cast());
    }
    let duplicated = |error| failed("duplicating descriptors", error);
    let (said, says) = io::pipe().map_err(duplicated)?;
    // The sources are numbered above every target, so that no `dup2` overwrites a later source.
    let high = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 100).map_err(io::Error::from);
    let all = fds.iter().map(|fd| high(*fd)).collect::<Result<Vec<OwnedFd>, _>>().map_err(duplicated)?;
    let says_high = high(std::os::fd::AsFd::as_fd(&says)).map_err(duplicated)?;
    drop(says);
    let raw: Vec<i32> = all.iter().map(AsRawFd::as_raw_fd).collect();
    let limits: Vec<(i32, libc::rlimit)> = launch.limits.iter().map(|limit| limit_of(*limit)).collect();
    let child = Child {
        program: launch.program.as_ptr(),
        args: &args,
        env: &env,
        cwd: launch.cwd.as_ptr(),
        fds: &raw,
        launch,
        limits: &limits,
        listen_pid: if launch.listens { listen_pid.as_mut_ptr() } else { ptr::null_mut() },
        birth: birth.map_or(ptr::null(), Birth::pid),
        failed: says_high.as_raw_fd(),
    };
    let before = block_signals().map_err(|error| failed("blocking signals", error))?;
    // SAFETY: the child makes only calls that are safe after a fork of a process with threads, and ends by exec or
    // exit.
    let pid = unsafe {
        let pid = libc::fork();
        if pid == 0 {
            run(&child);
        }
        pid
    };
    let cause = io::Error::last_os_error();
    restore_signals(&before);
    let pid = u32::try_from(pid).map_err(|_| failed("forking", cause))?;
    drop(says_high);
    match what_failed(said) {
        None => {
            let start = proc::facts(pid).map_or(0, |facts| facts.start);
            Ok(Process::child(Identity { pid, start }))
        }
        Some((step, cause)) => {
            Process::child(Identity { pid, start: 0 }).discard();
            let step = match step {
                1 => "passing descriptors".into(),
                2 => "setting resource limits".into(),
                3 => "setting its priority".into(),
                4 => "changing to its user".into(),
                5 => format!("entering {}", launch.cwd.to_string_lossy()),
                _ => format!("executing {}", launch.program.to_string_lossy()),
            };
            Err(SpawnError { step, cause, ours: false })
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// Returns a limit in the system's form. For descriptors only the soft limit is set: launchd's is 256, and programs
/// that need more raise it themselves.
fn limit_of((resource, limit): (u32, Option<u64>)) -> (i32, libc::rlimit) {
    let resource = i32::try_from(resource).unwrap_or(-1);
    let value = limit.unwrap_or(libc::RLIM_INFINITY);
    if resource != libc::RLIMIT_NOFILE {
        return (resource, libc::rlimit { rlim_cur: value, rlim_max: value });
    }
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let most = most.unwrap_or(libc::RLIM_INFINITY);
    let soft = limit.unwrap_or(MOST_DESCRIPTORS).min(most);
    (resource, libc::rlimit { rlim_cur: soft, rlim_max: most })
}

/// Waits until the child has become another program (`None`), or reports why it has not.
fn what_failed(mut said: io::PipeReader) -> Option<(i32, io::Error)> {
    let mut words = Vec::new();
    // An error of the new pipe counts as no report.
    let _ = said.read_to_end(&mut words);
    let number = |at: usize| Some(i32::from_ne_bytes(words.get(at..at + 4)?.try_into().ok()?));
    Some((number(0)?, io::Error::from_raw_os_error(number(4)?)))
}

fn block_signals() -> io::Result<libc::sigset_t> {
    // SAFETY: both sets are plain memory that the calls fill.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        match libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) {
            0 => Ok(before),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: the set was filled by `block_signals`.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut());
    }
}

/// Runs in the child until it becomes another program. It has no other threads, but the locks they held stay locked: no
/// allocation here.
unsafe fn run(child: &Child<'_>) -> ! {
    // SAFETY: every pointer is into memory of which the child has its own copy.
    unsafe {
        if !child.birth.is_null() {
            (*child.birth).store(u32::try_from(libc::getpid()).unwrap_or(0), Ordering::Release);
        }
        libc::setsid();
        default_signals();
        let step = prepare(child).err().unwrap_or_else(|| {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
            libc::execve(child.program, child.args.as_ptr(), child.env.as_ptr());
            Step::Exec
        });
        let words = [step as i32, *libc::__error()];
        libc::write(child.failed, words.as_ptr().cast(), size_of_val(&words));
        libc::_exit(127);
    }
}

/// Resets all signals: ignored signals would stay ignored over exec, and the supervisor's handlers must not run in the
/// child.
unsafe fn default_signals() {
    // SAFETY: plain memory. The two signals that cannot be caught are refused, which is harmless.
    unsafe {
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        for signal in 1..32 {
            libc::sigaction(signal, &raw const default, ptr::null_mut());
        }
    }
}

/// Does everything between fork and exec that can fail.
unsafe fn prepare(child: &Child<'_>) -> Result<(), Step> {
    let check = |result: i32, step| if result < 0 { Err(step) } else { Ok(()) };
    let launch = child.launch;
    // SAFETY: all pointers are into memory of which the child has its own copy.
    unsafe {
        if !child.listen_pid.is_null() {
            // Ten digits with leading zeros still parse as a number, and no digits need to be moved.
            let mut rest = libc::getpid();
            for place in (11..21).rev() {
                *child.listen_pid.add(place) = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
        }
        for (target, source) in (0..).zip(child.fds) {
            check(libc::dup2(*source, target), Step::Descriptors)?;
        }
        if let Some(umask) = launch.umask.and_then(|umask| u16::try_from(umask).ok()) {
            libc::umask(umask);
        }
        for (resource, limit) in child.limits {
            check(libc::setrlimit(*resource, limit), Step::Limits)?;
        }
        if let Some(nice) = launch.nice {
            check(libc::setpriority(libc::PRIO_PROCESS, 0, nice), Step::Nice)?;
        }
        if let Some(ids) = &launch.ids {
            let count = ids.groups.len().min(MOST_GROUPS);
            check(libc::setgroups(i32::try_from(count).unwrap_or(0), ids.groups.as_ptr()), Step::User)?;
            check(libc::setgid(ids.gid), Step::User)?;
            check(libc::setuid(ids.uid), Step::User)?;
        }
        check(libc::chdir(child.cwd), Step::Cwd)
    }
}
