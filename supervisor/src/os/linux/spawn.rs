//! Starts a process in its own session, from prepared strings.
//!
//! A process of the supervisor's own user shares the supervisor's memory until it becomes the program: no page tables
//! are copied, and this thread waits in the kernel meanwhile. A process of another user is forked: that user can delay
//! the exec for ever (a lease on the file, a file system of its own, SIGSTOP), and the supervisor must not wait for
//! that.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::clone::{CLONE_INTO_CGROUP, CloneArgs, clone3};
use super::confine;
use super::oom;
use super::proc;
use super::process::Process;
use super::start_failure::{FORKED_WITHIN, Finished, StartFailure, Step, UnfinishedStart};
use crate::os::{Birth, Confine, Identity, Launch, SpawnError};

/// Stack of the child until it execs; it makes a dozen system calls, none deep.
const STACK: usize = 64 * 1024;

/// Room for any pid; only the child itself knows its own pid.
const LISTEN_PID: &[u8; 22] = b"LISTEN_PID=0000000000\0";

/// What the child reads, and where it writes why it failed. Plain pointers are enough, as it shares the supervisor's
/// memory or has a copy.
struct Child {
    program: *const libc::c_char,
    args: *const *const libc::c_char,
    env: *const *const libc::c_char,
    cwd: *const libc::c_char,
    fds: *const [i32],
    umask: Option<u32>,
    /// What to write to `oom_score_adj`.
    oom_score: Option<&'static [u8]>,
    nice: Option<i32>,
    limits: *const [(u32, Option<u64>)],
    ids: Option<(u32, u32, *const [u32])>,
    own_keyring: bool,
    confine: Confine,
    /// The address for the digits of `LISTEN_PID`; null if it is not set.
    listen_pid: *mut u8,
    /// The address to which it writes its pid (for a forked child the kernel does); null for none.
    birth: *const AtomicU32,
    failed: StartFailure,
    /// The pipe to which a forked child writes its failure; -1 if it shares the supervisor's memory.
    failures: i32,
}

/// Starts a process with `fds` as its descriptors 0, 1, 2, …, in the given cgroup; it writes its pid to `birth`.
///
/// Returns once the program has been executed or could not be: a program that is missing or may not be run is an error
/// here, and not an exit code later. Only a start as another user may still be under way after 20 ms.
pub fn spawn(
    launch: &Launch,
    fds: &[BorrowedFd<'_>],
    cgroup: Option<BorrowedFd<'_>>,
    birth: Option<&Birth>,
) -> Result<Process, SpawnError> {
    let failed = |step: &str, cause| SpawnError { step: step.into(), cause, ours: true };
    let args = pointers(&launch.args);
    let mut env = pointers(&launch.env);
    let mut listen_pid = *LISTEN_PID;
    if launch.listens {
        env.insert(0, listen_pid.as_ptr().cast());
    }
    // The sources are numbered above every target, so that no `dup2` overwrites a later source.
    let above = i32::try_from(fds.len()).unwrap_or(i32::MAX);
    let high: Vec<OwnedFd> = fds
        .iter()
        .map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, above))
        .collect::<Result<_, _>>()
        .map_err(|error| failed("duplicating descriptors", error.into()))?;
    let raw: Vec<i32> = high.iter().map(AsRawFd::as_raw_fd).collect();
    let mut child = Child {
        program: launch.program.as_ptr(),
        args: args.as_ptr(),
        env: env.as_ptr(),
        cwd: launch.cwd.as_ptr(),
        fds: ptr::from_ref(raw.as_slice()),
        umask: launch.umask,
        oom_score: oom::of_others(),
        nice: launch.nice,
        limits: ptr::from_ref(launch.limits.as_slice()),
        own_keyring: launch.own_keyring,
        confine: launch.confine,
        ids: launch.ids.as_ref().map(|ids| (ids.uid, ids.gid, ptr::from_ref(ids.groups.as_slice()))),
        listen_pid: if launch.listens { listen_pid.as_mut_ptr() } else { ptr::null_mut() },
        birth: birth.map_or(ptr::null(), Birth::pid),
        failed: StartFailure::NONE,
        failures: -1,
    };
    let own = rustix::process::geteuid().as_raw();
    let is_forked = launch.ids.as_ref().is_some_and(|ids| ids.uid != own);
    let (pid, pidfd, failures) = if is_forked {
        let (pid, pidfd, failures) =
            fork(&mut child, cgroup, above).map_err(|error| failed("forking", error))?;
        (pid, pidfd, Some(failures))
    } else {
        let (pid, pidfd) = vfork(&mut child, cgroup).map_err(|error| failed("cloning", error))?;
        (pid, pidfd, None)
    };
    let mut unfinished = None;
    if let Some(failures) = failures {
        match StartFailure::within(&failures, FORKED_WITHIN) {
            Finished::Yes(failure) => child.failed = failure.unwrap_or(child.failed),
            Finished::NotYet => unfinished = Some(UnfinishedStart::new(failures, launch)),
        }
    }
    if child.failed.step != Step::None {
        Process::child(Identity { pid, start: 0 }, pidfd).discard();
        return Err(child.failed.error(launch));
    }
    let start = proc::start_time(pid).unwrap_or(0);
    Ok(Process::child(Identity { pid, start }, pidfd).starting(unfinished))
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// Clones with shared memory and waits until the child has execed or is gone.
fn vfork(child: &mut Child, cgroup: Option<BorrowedFd<'_>>) -> io::Result<(u32, OwnedFd)> {
    clone(child, cgroup, libc::CLONE_VM | libc::CLONE_VFORK)
}

/// Clones with separate memory and does not wait. The third value is the pipe to which the child writes why it failed:
/// if it closes without data, the child has become the program. `above` is the first descriptor that the program does
/// not get.
fn fork(
    child: &mut Child,
    cgroup: Option<BorrowedFd<'_>>,
    above: i32,
) -> io::Result<(u32, OwnedFd, OwnedFd)> {
    let (failures, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let writer = rustix::io::fcntl_dupfd_cloexec(writer, above)?;
    rustix::fs::fcntl_setfl(&failures, rustix::fs::OFlags::NONBLOCK)?;
    child.failures = writer.as_raw_fd();
    let told = if child.birth.is_null() { 0 } else { libc::CLONE_PARENT_SETTID };
    let (pid, pidfd) = clone(child, cgroup, told)?;
    Ok((pid, pidfd, failures))
}

fn clone(child: &mut Child, cgroup: Option<BorrowedFd<'_>>, how: i32) -> io::Result<(u32, OwnedFd)> {
    thread_local! {
        // Used by one child at a time: the thread that starts a child waits in the kernel until the child no longer
        // needs it.
        static STACK_OF_CHILD: std::cell::UnsafeCell<Box<[u128]>> = std::cell::UnsafeCell::new(vec![0; STACK / 16].into());
    }
    let mut pidfd: i32 = -1;
    STACK_OF_CHILD.with(|stack| {
        let mut args = CloneArgs {
            flags: u64::try_from(how | libc::CLONE_PIDFD).expect("positive"),
            pidfd: ptr::from_mut(&mut pidfd) as u64,
            // Used by a fork only: the kernel writes the pid there before the child runs.
            parent_tid: child.birth as u64,
            exit_signal: u64::try_from(libc::SIGCHLD).expect("positive"),
            stack_size: u64::try_from(STACK).expect("small"),
            ..CloneArgs::default()
        };
        // SAFETY: there is no other reference into the box: one child at a time, and it no longer uses the stack when
        // this returns.
        args.stack = unsafe { (*stack.get()).as_mut_ptr() } as u64;
        if let Some(cgroup) = cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = u64::try_from(cgroup.as_raw_fd()).expect("a descriptor is not negative");
        }
        let before = block_signals()?;
        // SAFETY: the stack is aligned and lives in the thread, `run` makes only async-signal-safe calls, signals are
        // blocked, and `child` outlives the call: vfork returns after the child is done with this memory, and a forked
        // child has its own copy of all of it.
        let pid = unsafe { clone3(&args, run, ptr::from_mut(child).cast()) };
        restore_signals(&before);
        let pid = u32::try_from(pid?).expect("a pid is positive");
        // SAFETY: the kernel has just returned this descriptor.
        Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
    })
}

/// Tests whether a process can be started in a cgroup at all, with a child that ends at once.
pub(super) fn can_enter(cgroup: BorrowedFd<'_>) -> io::Result<()> {
    let empty = [ptr::null()];
    let mut child = Child {
        program: c"/".as_ptr(),
        args: empty.as_ptr(),
        env: empty.as_ptr(),
        cwd: c"/".as_ptr(),
        fds: ptr::from_ref(&[]),
        umask: None,
        oom_score: None,
        nice: None,
        limits: ptr::from_ref(&[]),
        ids: None,
        own_keyring: false,
        confine: Confine::default(),
        listen_pid: ptr::null_mut(),
        birth: ptr::null(),
        failed: StartFailure::NONE,
        failures: -1,
    };
    let (pid, pidfd) = vfork(&mut child, Some(cgroup))?;
    Process::child(Identity { pid, start: 0 }, pidfd).discard();
    Ok(())
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

/// Runs in the child until it becomes another program. A vforked child shares the supervisor's memory and this thread's
/// `errno` while this thread sleeps; a forked child has a copy of both. Other threads keep running, or their locks stay
/// as they were at the fork: no lock and no allocation here.
unsafe extern "C" fn run(argument: *mut libc::c_void) -> ! {
    // SAFETY: `argument` is the `Child` of the caller, which waits or was copied.
    unsafe {
        let child = &mut *argument.cast::<Child>();
        if !child.birth.is_null() && child.failures < 0 {
            (*child.birth).store(u32::try_from(libc::getpid()).unwrap_or(0), Ordering::Release);
        }
        libc::setsid();
        default_signals();
        if let Err(step) = prepare(child) {
            fail(child, step);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::execve(child.program, child.args, child.env);
        fail(child, Step::Exec)
    }
}

/// Ends the child after it has reported why it failed.
unsafe fn fail(child: &mut Child, step: Step) -> ! {
    // SAFETY: the child's thread has an `errno`; what is written lives during the call.
    unsafe {
        child.failed = StartFailure { step, errno: *libc::__errno_location() };
        if child.failures >= 0 {
            let bytes = child.failed.to_bytes();
            libc::write(child.failures, bytes.as_ptr().cast(), bytes.len());
        }
        libc::_exit(127);
    }
}

/// Resets all signals: ignored signals would stay ignored over exec, and the supervisor's handlers must not run in the
/// child. By number, as glibc hides the two signals that it uses itself, which an unusual parent may have left ignored.
unsafe fn default_signals() {
    // The kernel's structure, all zero: SIG_DFL, no flags, an empty mask.
    let default = [0_u64; 4];
    // SAFETY: plain memory; clone copies the handlers, so the supervisor's stay as they are.
    unsafe {
        for signal in 1..=64 {
            let nothing: *mut u64 = ptr::null_mut();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), nothing, size_of::<u64>());
        }
    }
}

/// Does everything between clone and exec that can fail. Uses system calls by number where glibc's wrapper would signal
/// the other threads, which do not belong to the child.
unsafe fn prepare(child: &Child) -> Result<(), Step> {
    let check = |result: libc::c_long, step| if result < 0 { Err(step) } else { Ok(()) };
    // SAFETY: all pointers are into memory of the parent, which waits or was copied.
    unsafe {
        if !child.listen_pid.is_null() {
            // Ten digits with leading zeros still parse as a number, and no digits need to be moved.
            let mut rest = libc::getpid();
            for place in (11..21).rev() {
                *child.listen_pid.add(place) = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
        }
        for (target, source) in (0..).zip(&*child.fds) {
            check(libc::c_long::from(libc::dup2(*source, target)), Step::Descriptors)?;
        }
        if child.failures >= 0 {
            // A forked child that never reaches its exec must not hold the supervisor's lock, nor other services'
            // pipes. A kernel before 5.9 closes them only at the exec.
            let above = libc::c_long::try_from(child.fds.len()).unwrap_or(libc::c_long::MAX);
            let failures = libc::c_long::from(child.failures);
            for (from, to) in [(above, failures - 1), (failures + 1, libc::c_long::from(i32::MAX))] {
                if from <= to {
                    libc::syscall(libc::SYS_close_range, from, to, 0);
                }
            }
        }
        if let Some(umask) = child.umask {
            libc::umask(umask);
        }
        if let Some(score) = child.oom_score {
            oom::undo(score);
        }
        for (resource, limit) in &*child.limits {
            let value = limit.unwrap_or(libc::RLIM_INFINITY);
            let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
            let nothing: *mut libc::rlimit = ptr::null_mut();
            check(libc::syscall(libc::SYS_prlimit64, 0, *resource, &raw const limit, nothing), Step::Limits)?;
        }
        if let Some(nice) = child.nice {
            check(libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice), Step::Nice)?;
        }
        if child.own_keyring {
            check(confine::leave_keyring(), Step::Keyring)?;
        }
        let kept = child.confine.capabilities;
        check(kept.map_or(0, |kept| confine::bound(kept)), Step::Confine)?;
        if let Some((uid, gid, groups)) = child.ids {
            // Without this, a change of user clears all capabilities, including those to keep.
            check(kept.map_or(0, |_| confine::keep_over_ids()), Step::Confine)?;
            check(libc::syscall(libc::SYS_setgroups, groups.len(), (*groups).as_ptr()), Step::User)?;
            check(libc::syscall(libc::SYS_setresgid, gid, gid, gid), Step::User)?;
            check(libc::syscall(libc::SYS_setresuid, uid, uid, uid), Step::User)?;
        }
        check(kept.map_or(0, |kept| confine::have(kept)), Step::Confine)?;
        if child.confine.no_new_privileges {
            check(confine::no_new_privileges(), Step::Confine)?;
        }
        check(libc::c_long::from(libc::chdir(child.cwd)), Step::Cwd)
    }
}
