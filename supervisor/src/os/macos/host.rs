//! This process and its host: clock, limits, starting again.

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
use crate::os::{Host, Ids};

/// The most descriptors that macOS gives to a process that does not ask for an exact number: `OPEN_MAX` of
/// `sys/syslimits.h`.
pub(super) const MOST_DESCRIPTORS: u64 = 10_240;

/// Returns the current time on the boot clock. As on Linux it stands still while the machine sleeps, and the runtime's
/// timers use the same clock.
pub fn now() -> BootInstant {
    // SAFETY: a call without memory.
    BootInstant::since_boot(Duration::from_nanos(unsafe { clock_gettime_nsec_np(libc::CLOCK_UPTIME_RAW) }))
}

unsafe extern "C" {
    fn clock_gettime_nsec_np(clock: libc::clockid_t) -> u64;
    fn malloc_zone_pressure_relief(zone: *mut libc::c_void, goal: usize) -> usize;
}

/// Returns the id of this boot: pids and times mean nothing in another boot.
pub fn boot_id() -> String {
    proc::sysctl_text(c"kern.bootsessionuuid").unwrap_or_else(|| "unknown".into())
}

/// Returns a name for this home that a copy of it does not share: device and inode, and a random id in it.
pub fn instance_of(home: &Path, id: &str) -> io::Result<String> {
    let meta = fs::metadata(home)?;
    Ok(format!("{:x}.{:x}.{id}", meta.dev(), meta.ino()))
}

/// Returns a random id of 16 hexadecimal digits.
pub fn random_id() -> io::Result<String> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the call is given the length of the buffer.
    if unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// Does nothing: macOS has no subreaper. Orphans of services go to launchd, and are looked for there.
pub fn subreaper() -> io::Result<()> {
    Ok(())
}

/// Raises the descriptor limit, as hundreds of services need thousands of descriptors here. Services get the previous
/// limit.
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

/// Returns the number of a resource limit by its name in the file.
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

/// Does nothing: macOS has no setting for a single heap.
pub fn one_heap() {}

/// Does nothing: the system itself takes unused pages of the program when it needs them.
pub fn trim_text() {}

/// Returns memory to the system that only reading a file, or many starts at once, needed.
pub fn trim_heap() {
    // SAFETY: the allocator's own call, safe from any thread; no zone means all of them.
    unsafe {
        malloc_zone_pressure_relief(std::ptr::null_mut(), 0);
    }
}

/// Returns this program's path. If the file was replaced since the start, this is the new file's path.
pub fn own_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "supervisor".into())
}

/// Records what the system knows of how this process was started. Must be called before limits are raised.
pub fn surroundings(launch: &mut Launch) {
    let mask = umask(Mode::empty());
    umask(mask);
    launch.umask = Some(mask.bits().into());
    launch.descriptors = getrlimit(Resource::Nofile).current;
}

/// Continues as a child in a new session, with the umask and limits of the first start. Returns `false` in the calling
/// process, which must end then. Must be called before there are threads.
pub fn come_back(launch: &Launch) -> io::Result<bool> {
    // SAFETY: no other thread runs, so the child has a whole copy of everything.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        _ => return Ok(false),
    }
    // Fails only for a group leader, and the child is new.
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

/// Always fails: a thread cannot have its own user on macOS.
pub fn reach_files_as(_ids: &Ids) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// No killer picks processes here when memory runs out.
pub fn spare_from_oom() {}

/// Does nothing: memory is sampled.
pub fn hold_memory(_instance: &str, _service: &str, _most: Option<u64>) {}

/// Always `true`: not asked here.
pub fn listens(_socket: &std::os::fd::OwnedFd) -> bool {
    true
}
