//! This process and its host: clock, limits, subreaper, memory.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::Gid;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::lifecycle::BootInstant;
use crate::os::Ids;

/// What this process found when it began.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The limits to give services: what was there before the supervisor raised its own.
    pub limits: Vec<(u32, Option<u64>)>,
}

/// Now, on the clock of the core.
pub fn now() -> BootInstant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("time since boot is positive");
    let nanos = u32::try_from(time.tv_nsec).expect("a second has fewer than 2^32 nanoseconds");
    BootInstant::since_boot(Duration::new(seconds, nanos))
}

/// Which boot this is: pids and times mean nothing in another.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".into(), |id| id.trim().into())
}

/// A name for this home that a copy of it does not share: where it is, in which pid namespace, and a random id in it.
pub fn instance_of(home: &Path, id: &str) -> io::Result<String> {
    let meta = fs::metadata(home)?;
    let namespace = fs::metadata("/proc/self/ns/pid").map_or(0, |meta| meta.ino());
    Ok(format!("{:x}.{:x}.{namespace:x}.{id}", meta.dev(), meta.ino()))
}

/// A few random digits.
pub fn random_id() -> io::Result<String> {
    let mut bytes = [0_u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// Orphans of services come to us, not to init.
pub fn subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Hundreds of services need thousands of descriptors here; they themselves get what was there before.
pub fn raise_descriptor_limit() -> Host {
    let before = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    if raised.is_err() || before.current == before.maximum {
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

/// One heap for all threads: they allocate little, and each heap of their own keeps pages that nobody needs.
pub fn one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a parameter of the allocator, before other threads exist.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back the pages of our own program that only a start needs: those that are used come back by themselves, from
/// the page cache.
pub fn trim_text() {
    let Ok(own) = std::env::current_exe() else { return };
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines().filter(|line| line.contains(" r-xp ") && line.ends_with(&*own.to_string_lossy()))
    {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text: &str| usize::from_str_radix(text, 16).ok();
        if let Some((Some(from), Some(to))) = range.map(|(from, to)| (number(from), number(to))) {
            // SAFETY: program text, mapped from its file, never written to: what is dropped is read again.
            unsafe {
                libc::madvise(std::ptr::with_exposed_provenance_mut(from), to - from, libc::MADV_DONTNEED);
            }
        }
    }
}

/// From now on this thread, and those that it starts, reach the files that these may reach, and no others: links that their
/// user puts somewhere lead nowhere else.
pub fn reach_files_as(ids: &Ids) -> io::Result<()> {
    let groups: Vec<Gid> = ids.groups.iter().copied().map(Gid::from_raw).collect();
    rustix::thread::set_thread_groups(&groups)?;
    // SAFETY: calls without pointers. They say which user and group were set before, and fail without a word.
    let set = unsafe {
        libc::setfsgid(ids.gid);
        libc::setfsuid(ids.uid);
        // Nobody has this number: it changes nothing.
        [(libc::setfsgid(u32::MAX), ids.gid), (libc::setfsuid(u32::MAX), ids.uid)]
    };
    let is_set = set.iter().all(|(now, wanted)| u32::try_from(*now) == Ok(*wanted));
    if is_set { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Gives back what reading a file, or a rush of starts, needed and nothing needs any more.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the allocator's own call, safe from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
