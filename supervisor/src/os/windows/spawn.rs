//! Starts a process: created suspended, put into the job of its service, given the handles it keeps, then resumed. It
//! never runs outside of the job.

use std::ffi::{CStr, CString};
use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Threading::{
    ABOVE_NORMAL_PRIORITY_CLASS, BELOW_NORMAL_PRIORITY_CLASS, CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW,
    CREATE_SUSPENDED, CREATE_UNICODE_ENVIRONMENT, CreateProcessW, DeleteProcThreadAttributeList,
    EXTENDED_STARTUPINFO_PRESENT, HIGH_PRIORITY_CLASS, IDLE_PRIORITY_CLASS,
    InitializeProcThreadAttributeList, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROCESS_INFORMATION, ResumeThread,
    STARTF_USESTDHANDLES, STARTUPINFOEXW, STARTUPINFOW, TerminateProcess, UpdateProcThreadAttribute,
};

use super::absent::Birth;
use super::command_line;
use super::handle::{Borrowed, done, inheritable, own, wide};
use super::job::Job;
use super::process::{KILLED, Process, start_time};
use crate::os::{Identity, Launch, MARK, SpawnError};

/// Starts a process with `fds` as its standard input, output and error.
///
/// A program that is missing or may not be run is an error here, and not an exit code later. There is no umask, and the
/// priority is one of five classes.
pub fn spawn(
    launch: &Launch,
    fds: &[Borrowed<'_>],
    _cgroup: Option<Borrowed<'_>>,
    _birth: Option<&Birth>,
) -> Result<Process, SpawnError> {
    let failed = |step: &str, cause| SpawnError { step: step.into(), cause, ours: false };
    let program = text(&launch.program).map_err(|error| failed("reading the name of its program", error))?;
    let args: Vec<&str> = launch
        .args
        .iter()
        .map(|arg| text(arg))
        .collect::<Result<_, _>>()
        .map_err(|error| failed("reading its arguments", error))?;
    let cwd = text(&launch.cwd).map_err(|error| failed("reading its cwd", error))?;
    let command = command_line::of(program, &args)
        .map_err(|why| failed("passing its arguments", io::Error::new(io::ErrorKind::InvalidInput, why)))?;
    let env = environment(&launch.env).map_err(|error| failed("passing its environment", error))?;
    let entering = |cause| failed(&format!("entering {cwd}"), cause);
    let folder = std::fs::metadata(cwd).map_err(entering)?;
    if !folder.is_dir() {
        return Err(entering(io::ErrorKind::NotADirectory.into()));
    }
    // A missing batch file would otherwise be an error of cmd, later.
    let executing = |cause| failed(&format!("executing {program}"), cause);
    std::fs::metadata(program).map_err(executing)?;

    let job = match mark(&launch.env) {
        Some((instance, service)) => Job::make(instance, service),
        None => Job::unnamed(),
    };
    let job = job.map_err(|error| failed("making its job", error))?;
    if is_monitor(&launch.env) {
        job.allow_leaving().map_err(|error| failed("opening its job", error))?;
    }
    let std: Vec<OwnedHandle> = fds
        .iter()
        .map(|handle| inheritable(*handle))
        .collect::<Result<_, _>>()
        .map_err(|error| failed("duplicating handles", error))?;
    let suspended = Suspended::create(&command, &env, cwd, priority(launch.nice), &std).map_err(executing)?;
    job.take_in(&suspended.process).map_err(|error| failed("putting it into its job", error))?;
    let start = start_time(&suspended.process).unwrap_or(0);
    let identity = Identity { pid: suspended.pid, start };
    for outlet in fds.iter().filter_map(|handle| handle.outlet()) {
        outlet.keep_in(&suspended.process, identity).map_err(|error| failed("keeping its outputs", error))?;
    }
    let process = suspended.resume().map_err(|error| failed("resuming it", error))?;
    Ok(Process::started(identity, process, job))
}

/// A process that has not run yet, and never does if this is dropped.
struct Suspended {
    pid: u32,
    process: OwnedHandle,
    thread: OwnedHandle,
    is_wanted: bool,
}

impl Suspended {
    fn create(
        command: &command_line::CommandLine,
        env: &[u16],
        cwd: &str,
        priority: u32,
        std: &[OwnedHandle],
    ) -> io::Result<Self> {
        let handles: Vec<HANDLE> = std.iter().map(AsRawHandle::as_raw_handle).collect();
        let at = |index: usize| handles.get(index).copied().unwrap_or(ptr::null_mut());
        let mut attributes = Attributes::inheriting(&handles)?;
        let startup = STARTUPINFOEXW {
            StartupInfo: STARTUPINFOW {
                cb: u32::try_from(size_of::<STARTUPINFOEXW>()).expect("small"),
                dwFlags: STARTF_USESTDHANDLES,
                hStdInput: at(0),
                hStdOutput: at(1),
                hStdError: at(2),
                ..Default::default()
            },
            lpAttributeList: attributes.list(),
        };
        let flags = CREATE_SUSPENDED
            | CREATE_NEW_PROCESS_GROUP
            | CREATE_NO_WINDOW
            | CREATE_UNICODE_ENVIRONMENT
            | EXTENDED_STARTUPINFO_PRESENT
            | priority;
        let (program, mut line, cwd) = (wide(&command.program), wide(&command.line), wide(cwd));
        let mut made = PROCESS_INFORMATION::default();
        // SAFETY: all strings end with 0, the environment with two; the line is owned here and may be written to; the
        // attributes and the handles they name outlive the call. The results are owned here.
        unsafe {
            let nothing = ptr::null();
            done(CreateProcessW(
                program.as_ptr(),
                line.as_mut_ptr(),
                nothing,
                nothing,
                1,
                flags,
                env.as_ptr().cast(),
                cwd.as_ptr(),
                &raw const startup.StartupInfo,
                &raw mut made,
            ))?;
            let (process, thread) = (own(made.hProcess)?, own(made.hThread)?);
            Ok(Self { pid: made.dwProcessId, process, thread, is_wanted: false })
        }
    }

    fn resume(mut self) -> io::Result<OwnedHandle> {
        let process = self.process.try_clone()?;
        // SAFETY: the handle is open.
        if unsafe { ResumeThread(self.thread.as_raw_handle()) } == u32::MAX {
            return Err(io::Error::last_os_error());
        }
        self.is_wanted = true;
        Ok(process)
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        if !self.is_wanted {
            // SAFETY: the handle is open.
            unsafe { TerminateProcess(self.process.as_raw_handle(), KILLED) };
        }
    }
}

/// The list of handles that a new process inherits: these and no others.
struct Attributes {
    memory: Vec<usize>,
}

impl Attributes {
    fn inheriting(handles: &[HANDLE]) -> io::Result<Self> {
        let mut size = 0;
        // SAFETY: the first call only returns the length that it needs; the second gets that much. The handles outlive
        // the list, as both are used by a single call of the caller.
        unsafe {
            InitializeProcThreadAttributeList(ptr::null_mut(), 1, 0, &raw mut size);
            let mut memory = vec![0_usize; size.div_ceil(size_of::<usize>())];
            let list = memory.as_mut_ptr().cast();
            done(InitializeProcThreadAttributeList(list, 1, 0, &raw mut size))?;
            let mut attributes = Self { memory };
            if !handles.is_empty() {
                let (which, length) = (PROC_THREAD_ATTRIBUTE_HANDLE_LIST as usize, size_of_val(handles));
                let (list, nothing) = (attributes.list(), ptr::null_mut());
                done(UpdateProcThreadAttribute(
                    list,
                    0,
                    which,
                    handles.as_ptr().cast(),
                    length,
                    nothing,
                    ptr::null(),
                ))?;
            }
            Ok(attributes)
        }
    }

    fn list(&mut self) -> *mut std::ffi::c_void {
        self.memory.as_mut_ptr().cast()
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialized by `inheriting`.
        unsafe { DeleteProcThreadAttributeList(self.list()) };
    }
}

fn text(string: &CStr) -> io::Result<&str> {
    string.to_str().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// Returns the environment sorted by name, as the system requires, each entry with a final 0, and another 0 at the end.
fn environment(env: &[CString]) -> io::Result<Vec<u16>> {
    const ROOT: &str = "SYSTEMROOT";
    let mut entries: Vec<(String, String)> = Vec::with_capacity(env.len() + 1);
    for entry in env {
        let entry = text(entry)?;
        // The first character may be a `=`: cmd stores the current folder of each drive that way.
        let end = entry.char_indices().skip(1).find(|(_, c)| *c == '=').map_or(entry.len(), |(at, _)| at);
        entries.push((entry[..end].to_uppercase(), entry.into()));
    }
    if !entries.iter().any(|(name, _)| name == ROOT)
        && let Ok(root) = std::env::var(ROOT)
    {
        // Without it a program cannot even open sockets.
        entries.push((ROOT.into(), format!("{ROOT}={root}")));
    }
    entries.sort();
    let mut block: Vec<u16> = entries.iter().flat_map(|(_, entry)| wide(entry)).collect();
    block.extend([0, 0]);
    Ok(block)
}

/// Returns instance and service from the mark that every process of a service carries.
fn mark(env: &[CString]) -> Option<(&str, &str)> {
    let mark =
        env.iter().rev().find_map(|entry| entry.to_str().ok()?.strip_prefix(MARK)?.strip_prefix('='))?;
    let (of, _incarnation) = mark.rsplit_once('/')?;
    of.split_once('/')
}

/// Returns whether it is a daemon that starts a supervisor when there is none.
fn is_monitor(env: &[CString]) -> bool {
    env.iter().any(|entry| entry.to_bytes().starts_with(b"SERENO_MONITOR="))
}

fn priority(nice: Option<i32>) -> u32 {
    match nice.unwrap_or(0) {
        ..=-10 => HIGH_PRIORITY_CLASS,
        -9..=-1 => ABOVE_NORMAL_PRIORITY_CLASS,
        0 => 0,
        1..=9 => BELOW_NORMAL_PRIORITY_CLASS,
        10.. => IDLE_PRIORITY_CLASS,
    }
}
