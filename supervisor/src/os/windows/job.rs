//! The job object of a service: every process it starts is in it, at any depth, and one call ends them all. What a
//! cgroup is on Linux.
//!
//! It does not end with its last handle, so that services outlive the supervisor. Its name lives as long as somebody
//! has it open: therefore each process of the service inherits a handle, and the next supervisor finds the job.

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

/// How long what an earlier supervisor left may take to go before a start.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// The jobs this supervisor has open, by name.
static OPEN: Mutex<BTreeMap<String, Weak<Job>>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
pub(super) struct Job(OwnedHandle);

impl Job {
    /// The job of a service, if a process of it lives.
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

    /// The job to start a process into, made if it is not there.
    ///
    /// Whoever is in one that this supervisor knows nothing of was left by an earlier one that was killed before it
    /// could write down whom it had started: it is ended, so that nothing runs twice.
    pub(super) fn make(instance: &str, service: &str) -> io::Result<Arc<Self>> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let name = name(instance, service);
        if let Some(job) = open.get(&name).and_then(Weak::upgrade) {
            return Ok(job);
        }
        // SAFETY: as above; the error tells whether it was there before, and nothing comes between.
        let (handle, was_there) = unsafe {
            let handle = CreateJobObjectW(ptr::null(), wide(&name).as_ptr());
            (handle, GetLastError() == ERROR_ALREADY_EXISTS)
        };
        // SAFETY: nobody else has it.
        let job = Arc::new(Self(unsafe { own(handle) }?));
        if was_there {
            job.empty()?;
        }
        open.retain(|_, job| job.strong_count() > 0);
        open.insert(name, Arc::downgrade(&job));
        Ok(job)
    }

    /// The service of this home in whose job a process is, as far as this supervisor has it open.
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

    /// The job that a process is in, as far as this supervisor has it open.
    pub(super) fn of(process: &OwnedHandle) -> Option<Arc<Self>> {
        let open: Vec<Arc<Self>> = {
            let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            open.values().filter_map(Weak::upgrade).collect()
        };
        open.into_iter().find(|job| {
            let mut is_in = 0;
            // SAFETY: both handles are open, and the call fills one number.
            let (process, job) = (process.as_raw_handle(), job.0.as_raw_handle());
            let asked = done(unsafe { IsProcessInJob(process, job, &raw mut is_in) });
            asked.is_ok() && is_in != 0
        })
    }

    /// CPU time of all that is and ever was in it, in units of 100 ns; 0 also where it is not counted (wine).
    pub(super) fn cpu(&self) -> u64 {
        self.accounting().map_or(0, |info| {
            let time = |time: i64| u64::try_from(time).unwrap_or(0);
            time(info.TotalUserTime) + time(info.TotalKernelTime)
        })
    }

    /// For a process that is no service's: without a name, so that nobody else finds it.
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

    /// Puts a process into it, and gives it a handle that keeps the name alive.
    pub(super) fn take_in(&self, process: &OwnedHandle) -> io::Result<()> {
        // SAFETY: both handles are open.
        done(unsafe { AssignProcessToJobObject(self.0.as_raw_handle(), process.as_raw_handle()) })?;
        give(&self.0, process, true).map(drop)
    }

    /// Lets its processes start others outside of it: a monitor starts a supervisor that must not end with the monitor.
    pub(super) fn allow_leaving(&self) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_BREAKAWAY_OK;
        // SAFETY: a structure of the class and size that are named.
        done(unsafe {
            let (job, class, size) =
                (self.0.as_raw_handle(), JobObjectExtendedLimitInformation, size(&limits));
            SetInformationJobObject(job, class, (&raw const limits).cast(), size)
        })
    }

    /// What all its processes together may have; `None`: no end.
    pub(super) fn limit_memory(&self, most: Option<u64>) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        // SAFETY: a structure of the class and size that are named; first as it is, so that nothing else is changed.
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

    /// How many living processes are in it.
    pub(super) fn count(&self) -> usize {
        let info = self.accounting();
        info.map_or(0, |info| usize::try_from(info.ActiveProcesses).unwrap_or(usize::MAX))
    }

    /// What the system counts. Fails only for a handle that is none.
    fn accounting(&self) -> io::Result<JOBOBJECT_BASIC_ACCOUNTING_INFORMATION> {
        let mut info = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        // SAFETY: a structure of the class and size that are named.
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

    /// The living processes in it.
    pub(super) fn pids(&self) -> Vec<u32> {
        const HEAD: usize = offset_of!(JOBOBJECT_BASIC_PROCESS_ID_LIST, ProcessIdList) / size_of::<usize>();
        let mut room = self.count() + 8;
        loop {
            let mut buffer = vec![0_usize; HEAD + room];
            // SAFETY: the buffer is aligned as the structure and as long as is said.
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

    /// Ends everything in it.
    pub(super) fn terminate(&self) {
        // SAFETY: the handle is open. A failure shows as processes that are still there.
        unsafe { TerminateJobObject(self.0.as_raw_handle(), KILLED) };
    }
}

/// Known to every session of the host: who logs in again finds it too.
fn name(instance: &str, service: &str) -> String {
    format!("Global\\sereno-{instance}-{service}")
}

/// Holds a run at somewhat more than it may have: a run that is over its limit is ended with the reason when it is looked
/// at, and one that grows faster than that can not take the host with it. What Windows does at a limit is to refuse
/// memory, which says nothing to anybody.
pub fn hold_memory(instance: &str, service: &str, most: Option<u64>) {
    let Some(job) = Job::find(instance, service) else { return };
    if let Err(error) = job.limit_memory(most.map(|most| most.saturating_add(most / 4))) {
        tracing::warn!(service, %error, "its job does not hold memory_max");
    }
}

fn size<T>(of: &T) -> u32 {
    u32::try_from(size_of_val(of)).expect("a structure of the system is small")
}
