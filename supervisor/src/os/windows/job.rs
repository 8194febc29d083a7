//! The job object of a service: every process that it starts is in it, at any depth, and a single call ends them all.
//! The counterpart of a cgroup on Linux.
//!
//! The job does not end with its last handle, so services outlive the supervisor. Its name exists as long as a process
//! has it open: so each process of the service inherits a handle, and the next supervisor finds the job.

use std::collections::BTreeMap;
use std::io;
use std::mem::offset_of;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use windows_sys::Win32::Foundation::{ERROR_ALREADY_EXISTS, ERROR_MORE_DATA, GetLastError};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, IsProcessInJob, JOB_OBJECT_LIMIT_BREAKAWAY_OK,
    JOB_OBJECT_LIMIT_JOB_MEMORY, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION, JOBOBJECT_BASIC_PROCESS_ID_LIST,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicAccountingInformation, JobObjectBasicProcessIdList,
    JobObjectExtendedLimitInformation, OpenJobObjectW, QueryInformationJobObject, SetInformationJobObject,
    TerminateJobObject,
};
use windows_sys::Win32::System::SystemServices::{
    JOB_OBJECT_ASSIGN_PROCESS, JOB_OBJECT_QUERY, JOB_OBJECT_SET_ATTRIBUTES, JOB_OBJECT_TERMINATE,
};

use super::handle::{done, give, own, wide};
use super::process::KILLED;

/// How long to wait before a start until the processes of an earlier supervisor have ended.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// The jobs that this supervisor has open, by name.
static OPEN: Mutex<BTreeMap<String, Weak<Job>>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
pub(super) struct Job(OwnedHandle);

impl Job {
    /// Returns the job of a service, if a process of it lives.
    pub(super) fn find(instance: &str, service: &str) -> Option<Arc<Self>> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let name = name(instance, service);
        if let Some(job) = open.get(&name).and_then(Weak::upgrade) {
            return Some(job);
        }
        let access =
            JOB_OBJECT_ASSIGN_PROCESS | JOB_OBJECT_QUERY | JOB_OBJECT_SET_ATTRIBUTES | JOB_OBJECT_TERMINATE;
        // SAFETY: the name ends with 0, and the handle is new.
        let handle = unsafe { own(OpenJobObjectW(access, 0, wide(&name).as_ptr())) };
        let job = Arc::new(Self(handle.ok()?));
        open.retain(|_, job| job.strong_count() > 0);
        open.insert(name, Arc::downgrade(&job));
        Some(job)
    }

    /// Returns the job to start a process in, creating it if needed.
    ///
    /// Processes in an existing job that this supervisor does not know were left by an earlier supervisor that was
    /// killed before it could write them down: they are ended, so that nothing runs twice.
    pub(super) fn make(instance: &str, service: &str) -> io::Result<Arc<Self>> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let name = name(instance, service);
        if let Some(job) = open.get(&name).and_then(Weak::upgrade) {
            return Ok(job);
        }
        // SAFETY: as above; the error, which no other call can overwrite in between, tells whether the job existed.
        let (handle, was_there) = unsafe {
            let handle = CreateJobObjectW(ptr::null(), wide(&name).as_ptr());
            (handle, GetLastError() == ERROR_ALREADY_EXISTS)
        };
        // SAFETY: the handle has no other owner.
        let job = Arc::new(Self(unsafe { own(handle) }?));
        if was_there {
            job.empty()?;
        }
        open.retain(|_, job| job.strong_count() > 0);
        open.insert(name, Arc::downgrade(&job));
        Ok(job)
    }

    /// Returns the service of this home that a process belongs to, among the jobs that this supervisor has open.
    pub(super) fn owner(instance: &str, pid: u32) -> Option<String> {
        let open: Vec<(String, Arc<Self>)> = {
            let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            open.iter().filter_map(|(name, job)| Some((name.clone(), job.upgrade()?))).collect()
        };
        let ours = name(instance, "");
        let holds = |(name, job): (String, Arc<Self>)| {
            let service = name.strip_prefix(&ours)?.to_owned();
            job.pids().contains(&pid).then_some(service)
        };
        open.into_iter().find_map(holds)
    }

    /// Returns the job that a process is in, among the jobs that this supervisor has open.
    pub(super) fn of(process: &OwnedHandle) -> Option<Arc<Self>> {
        let open: Vec<Arc<Self>> = {
            let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            open.values().filter_map(Weak::upgrade).collect()
        };
        open.into_iter().find(|job| {
            let mut is_in = 0;
            // SAFETY: both handles are open, and the call fills a single number.
            let (process, job) = (process.as_raw_handle(), job.0.as_raw_handle());
            let asked = done(unsafe { IsProcessInJob(process, job, &raw mut is_in) });
            asked.is_ok() && is_in != 0
        })
    }

    /// Returns the CPU time of all its present and past processes, in units of 100 ns; also 0 where it is not counted
    /// (wine).
    pub(super) fn cpu(&self) -> u64 {
        self.accounting().map_or(0, |info| {
            let time = |time: i64| u64::try_from(time).unwrap_or(0);
            time(info.TotalUserTime) + time(info.TotalKernelTime)
        })
    }

    /// Creates a job for a process that belongs to no service: without a name, so that it cannot be found.
    pub(super) fn unnamed() -> io::Result<Arc<Self>> {
        // SAFETY: no memory; the handle is new.
        let handle = unsafe { own(CreateJobObjectW(ptr::null(), ptr::null())) }?;
        Ok(Arc::new(Self(handle)))
    }

    fn empty(&self) -> io::Result<()> {
        let until = super::now() + GONE_WITHIN;
        while self.count() > 0 {
            self.terminate();
            if super::now() > until {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "what an earlier supervisor started does not go",
                ));
            }
            super::pipe::pause(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Puts a process into the job, and gives it a handle that keeps the name alive.
    pub(super) fn take_in(&self, process: &OwnedHandle) -> io::Result<()> {
        // SAFETY: both handles are open.
        done(unsafe { AssignProcessToJobObject(self.0.as_raw_handle(), process.as_raw_handle()) })?;
        give(&self.0, process, true).map(drop)
    }

    /// Lets its processes start others outside of it: a monitor may start a supervisor that must not end with the
    /// monitor.
    pub(super) fn allow_leaving(&self) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_BREAKAWAY_OK;
        // SAFETY: the structure has the given class and size.
        done(unsafe {
            let (job, class, size) =
                (self.0.as_raw_handle(), JobObjectExtendedLimitInformation, size(&limits));
            SetInformationJobObject(job, class, (&raw const limits).cast(), size)
        })
    }

    /// Sets the memory limit of all its processes together; `None` removes it.
    pub(super) fn limit_memory(&self, most: Option<u64>) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        // SAFETY: the structure has the given class and size; read first, so that nothing else is changed.
        unsafe {
            let (job, class, size) =
                (self.0.as_raw_handle(), JobObjectExtendedLimitInformation, size(&limits));
            let place = (&raw mut limits).cast();
            done(QueryInformationJobObject(job, class, place, size, ptr::null_mut()))?;
            let flags = limits.BasicLimitInformation.LimitFlags;
            if most.is_none() && flags & JOB_OBJECT_LIMIT_JOB_MEMORY == 0 {
                return Ok(());
            }
            limits.BasicLimitInformation.LimitFlags = match most {
                Some(_) => flags | JOB_OBJECT_LIMIT_JOB_MEMORY,
                None => flags & !JOB_OBJECT_LIMIT_JOB_MEMORY,
            };
            limits.JobMemoryLimit = most.map_or(0, |most| usize::try_from(most).unwrap_or(usize::MAX));
            done(SetInformationJobObject(job, class, (&raw const limits).cast(), size))
        }
    }

    /// Returns how many living processes are in it.
    pub(super) fn count(&self) -> usize {
        let info = self.accounting();
        info.map_or(0, |info| usize::try_from(info.ActiveProcesses).unwrap_or(usize::MAX))
    }

    /// Returns the system's counters. Fails only for an invalid handle.
    fn accounting(&self) -> io::Result<JOBOBJECT_BASIC_ACCOUNTING_INFORMATION> {
        let mut info = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        // SAFETY: the structure has the given class and size.
        done(unsafe {
            let (job, size) = (self.0.as_raw_handle(), size(&info));
            QueryInformationJobObject(
                job,
                JobObjectBasicAccountingInformation,
                (&raw mut info).cast(),
                size,
                ptr::null_mut(),
            )
        })?;
        Ok(info)
    }

    /// Returns the living processes in it.
    pub(super) fn pids(&self) -> Vec<u32> {
        const HEAD: usize = offset_of!(JOBOBJECT_BASIC_PROCESS_ID_LIST, ProcessIdList) / size_of::<usize>();
        let mut room = self.count() + 8;
        loop {
            let mut buffer = vec![0_usize; HEAD + room];
            // SAFETY: the buffer is aligned like the structure and has the given length.
            let asked = done(unsafe {
                let size = u32::try_from(size_of_val(buffer.as_slice())).unwrap_or(u32::MAX);
                let (job, class) = (self.0.as_raw_handle(), JobObjectBasicProcessIdList);
                QueryInformationJobObject(job, class, buffer.as_mut_ptr().cast(), size, ptr::null_mut())
            });
            match asked {
                Err(error)
                    if error.raw_os_error() == i32::try_from(ERROR_MORE_DATA).ok() && room < 1 << 20 =>
                {
                    room *= 2;
                }
                Err(_) => return Vec::new(),
                Ok(()) => {
                    // SAFETY: the head of the structure that the call has filled.
                    let count = unsafe {
                        (*buffer.as_ptr().cast::<JOBOBJECT_BASIC_PROCESS_ID_LIST>()).NumberOfProcessIdsInList
                    };
                    let count = usize::try_from(count).unwrap_or(0).min(room);
                    return buffer
                        .iter()
                        .skip(HEAD)
                        .take(count)
                        .filter_map(|pid| u32::try_from(*pid).ok())
                        .collect();
                }
            }
        }
    }

    /// Ends every process in it.
    pub(super) fn terminate(&self) {
        // SAFETY: the handle is open. After a failure the processes are still there.
        unsafe { TerminateJobObject(self.0.as_raw_handle(), KILLED) };
    }
}

/// Returns the job's name, which is visible to every session of the host, so that a later log-on finds it too.
fn name(instance: &str, service: &str) -> String {
    format!("Global\\sereno-{instance}-{service}")
}

/// Limits a run to somewhat more than its memory limit: a run over its limit is ended with the reason at the next look,
/// and a run that grows faster than that cannot exhaust the host's memory. At a limit Windows itself refuses memory,
/// without any report.
pub fn hold_memory(instance: &str, service: &str, most: Option<u64>) {
    let Some(job) = Job::find(instance, service) else { return };
    if let Err(error) = job.limit_memory(most.map(|most| most.saturating_add(most / 4))) {
        tracing::warn!(service, %error, "its job does not hold memory_max");
    }
}

fn size<T>(of: &T) -> u32 {
    u32::try_from(size_of_val(of)).expect("a structure of the system is small")
}
