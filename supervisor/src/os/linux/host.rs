//! This process and its host: clock, limits, subreaper, memory.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::Gid;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::lifecycle::BootInstant;
use crate::os::{Host, Ids};

/// Returns the current time on the boot clock.
pub fn now() -> BootInstant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("time since boot is positive");
    let nanos = u32::try_from(time.tv_nsec).expect("a second has fewer than 2^32 nanoseconds");
    BootInstant::since_boot(Duration::new(seconds, nanos))
}

/// Returns the id of this boot: pids and times mean nothing in another boot.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".into(), |id| id.trim().into())
}

/// Returns a name for this home that a copy of it does not share: device and inode, pid namespace, and a random id in
/// it.
pub fn instance_of(home: &Path, id: &str) -> io::Result<String> {
    let meta = fs::metadata(home)?;
    let namespace = fs::metadata("/proc/self/ns/pid").map_or(0, |meta| meta.ino());
    Ok(format!("{:x}.{:x}.{namespace:x}.{id}", meta.dev(), meta.ino()))
}

/// Returns a random id of 16 hexadecimal digits.
pub fn random_id() -> io::Result<String> {
    let mut bytes = [0_u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// Makes orphans of services children of this process instead of init.
pub fn subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Raises the descriptor limit, as hundreds of services need thousands of descriptors here. Services get the previous
/// limit.
pub fn raise_descriptor_limit() -> Host {
    let before = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    if raised.is_err() || before.current == before.maximum {
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
        "locks" => libc::RLIMIT_LOCKS,
        "sigpending" => libc::RLIMIT_SIGPENDING,
        "msgqueue" => libc::RLIMIT_MSGQUEUE,
        "nice" => libc::RLIMIT_NICE,
        "rtprio" => libc::RLIMIT_RTPRIO,
        "rttime" => libc::RLIMIT_RTTIME,
        _ => return None,
    };
    Some(number)
}

/// Uses a single heap for all threads: they allocate little, and each additional heap would keep unused pages.
pub fn one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a parameter of the allocator, before other threads exist.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Drops pages of this program's code that only the start needed: pages in use come back from the page cache by
/// themselves.
pub fn trim_text() {
    let Ok(own) = std::env::current_exe() else { return };
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines().filter(|line| line.contains(" r-xp ") && line.ends_with(&*own.to_string_lossy()))
    {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text: &str| usize::from_str_radix(text, 16).ok();
        if let Some((Some(from), Some(to))) = range.map(|(from, to)| (number(from), number(to))) {
            // SAFETY: program code, mapped from its file, never written to: dropped pages are read again.
            unsafe {
                libc::madvise(std::ptr::with_exposed_provenance_mut(from), to - from, libc::MADV_DONTNEED);
            }
        }
    }
}

/// Limits this thread, and the threads that it starts, to the file access of these ids: links that their user makes
/// cannot lead to other files.
pub fn reach_files_as(ids: &Ids) -> io::Result<()> {
    let groups: Vec<Gid> = ids.groups.iter().copied().map(Gid::from_raw).collect();
    rustix::thread::set_thread_groups(&groups)?;
    // SAFETY: calls without pointers. They return the previous user and group, and fail silently.
    let set = unsafe {
        libc::setfsgid(ids.gid);
        libc::setfsuid(ids.uid);
        // No user has this number, so the call changes nothing.
        [(libc::setfsgid(u32::MAX), ids.gid), (libc::setfsuid(u32::MAX), ids.uid)]
    };
    let is_set = set.iter().all(|(now, wanted)| u32::try_from(*now) == Ok(*wanted));
    if is_set { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Returns memory to the system that only reading a file, or many starts at once, needed.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the allocator's own call, safe from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Returns whether a socket accepts connections.
pub fn listens(socket: &std::os::fd::OwnedFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false)
}
