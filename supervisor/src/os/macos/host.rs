//! This process and its host: clock, limits, being started again.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use sereno_guard::launch::Launch;

use super::proc;
use crate::lifecycle::BootInstant;
use crate::os::Ids;

/// More descriptors macOS lets nobody ask for without saying how many exactly: `OPEN_MAX` of `sys/syslimits.h`.
pub(super) const MOST_DESCRIPTORS: u64 = 10_240;

/// What this process found when it began.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The limits to give services: what was there before the supervisor raised its own.
    pub limits: Vec<(u32, Option<u64>)>,
}

/// Now, on the clock of the core: as on Linux one that stands still while the machine sleeps, and the one by which timers
/// of the runtime go.
pub fn now() -> BootInstant {
    // SAFETY: a call without memory.
    BootInstant::since_boot(Duration::from_nanos(unsafe { clock_gettime_nsec_np(libc::CLOCK_UPTIME_RAW) }))
}

unsafe extern "C" {
    fn clock_gettime_nsec_np(clock: libc::clockid_t) -> u64;
    fn malloc_zone_pressure_relief(zone: *mut libc::c_void, goal: usize) -> usize;
}

/// Which boot this is: pids and times mean nothing in another.
pub fn boot_id() -> String {
    proc::sysctl_text(c"kern.bootsessionuuid").unwrap_or_else(|| "unknown".into())
}

/// A name for this home that a copy of it does not share: where it is, and a random id in it.
pub fn instance_of(home: &Path, id: &str) -> io::Result<String> {
    let meta = fs::metadata(home)?;
    Ok(format!("{:x}.{:x}.{id}", meta.dev(), meta.ino()))
}

/// A few random digits.
pub fn random_id() -> io::Result<String> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the call is told how much room there is.
    if unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// There is none here: orphans of services go to launchd, and are looked for there.
pub fn subreaper() -> io::Result<()> {
    Ok(())
}

/// Hundreds of services need thousands of descriptors here; they themselves get what was there before.
pub fn raise_descriptor_limit() -> Host {
    let before = getrlimit(Resource::Nofile);
    let most = before.maximum.map_or(MOST_DESCRIPTORS, |maximum| maximum.min(MOST_DESCRIPTORS));
    let enough = before.current.is_none_or(|current| current >= most);
    if enough || setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: before.maximum }).is_err()
    {
        return Host::default();
    }
    Host { limits: vec![(limit_number("nofile").expect("it has one"), before.current)] }
}

/// The number of a resource limit, by the name it has in the file.
pub fn limit_number(name: &str) -> Option<u32> {
    let number = match name {
        "cpu" => libc::RLIMIT_CPU,
        "fsize" => libc::RLIMIT_FSIZE,
        "data" => libc::RLIMIT_DATA,
        "stack" => libc::RLIMIT_STACK,
        "core" => libc::RLIMIT_CORE,
        "rss" => libc::RLIMIT_RSS,
        "nproc" => libc::RLIMIT_NPROC,
        "nofile" => libc::RLIMIT_NOFILE,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "as" => libc::RLIMIT_AS,
        _ => return None,
    };
    Some(number.cast_unsigned())
}

/// One heap for all threads: macOS has no such switch.
pub fn one_heap() {}

/// The pages of our own program are given back by the system itself, where it needs them.
pub fn trim_text() {}

/// Gives back what reading a file, or a rush of starts, needed and nothing needs any more.
pub fn trim_heap() {
    // SAFETY: the allocator's own call, safe from any thread; no zone means all of them.
    unsafe {
        malloc_zone_pressure_relief(std::ptr::null_mut(), 0);
    }
}

/// This program. One that was replaced since it was started is found where it was.
pub fn own_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "supervisor".into())
}

/// What the system knows of how this process was started. To be called before limits are raised.
pub fn surroundings(launch: &mut Launch) {
    let mask = umask(Mode::empty());
    umask(mask);
    launch.umask = Some(mask.bits().into());
    launch.descriptors = getrlimit(Resource::Nofile).current;
}

/// Goes on as a process that is nobody's child and in nobody's group, where the first one was started; `false` in the
/// one that was called, which is to end. To be called before there are threads.
pub fn come_back(launch: &Launch) -> io::Result<bool> {
    // SAFETY: no other thread runs, so the child has a whole copy of everything.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        _ => return Ok(false),
    }
    // Fails only for one that leads a group, and that is new.
    let _ = rustix::process::setsid();
    if let Some(mask) = launch.umask.and_then(|mask| u16::try_from(mask).ok()) {
        umask(Mode::from_bits_truncate(mask));
    }
    if let Some(current) = launch.descriptors {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum });
    }
    Ok(true)
}

/// A thread has no user of its own here.
pub fn reach_files_as(_ids: &Ids) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
