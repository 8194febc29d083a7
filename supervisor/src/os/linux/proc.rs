//! Reads `/proc`.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use sereno_sockets::patience;

use crate::os::unix::marks::{Fifos, ancestors, mark_in, parse_mark};
use crate::os::{Identity, Marked, Scan, Silent};

/// The fields of `/proc/PID/stat` that are used.
pub(super) struct Stat {
    state: u8,
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) threads: u64,
    pub(super) start: u64,
    ticks: u64,
    pages: u64,
    /// The status that `wait` will return, or the signal that stopped it; 0 if it may not be read.
    pub(super) status: Option<i32>,
}

impl Stat {
    pub(super) fn state(&self) -> u8 {
        self.state
    }

    /// Returns the CPU time, in clock ticks.
    pub(super) fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Returns the resident memory, in bytes.
    pub(super) fn memory(&self) -> u64 {
        self.pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096)
    }

    /// Returns whether the process has ended. If only its first thread has, it shows as a zombie too, but lives.
    pub(super) fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }
}

pub(super) fn stat(pid: u32) -> Option<Stat> {
    let mut buffer = [0_u8; 1024];
    let mut file = fs::File::open(format!("/proc/{pid}/stat")).ok()?;
    let length = file.read(&mut buffer).ok()?;
    parse_stat(&buffer[..length])
}

pub(super) fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The command is in parentheses and may contain anything, including parentheses and spaces.
    let after = text.iter().rposition(|byte| *byte == b')')? + 2;
    let fields: Vec<&str> = std::str::from_utf8(text.get(after..)?).ok()?.split_ascii_whitespace().collect();
    // Numbered as in proc(5), where `state` is field 3.
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |n: usize| field(n).and_then(|text| text.parse::<u64>().ok());
    Some(Stat {
        state: *field(3)?.as_bytes().first()?,
        parent: field(4)?.parse().ok()?,
        group: field(5)?.parse().ok()?,
        threads: number(20)?,
        start: number(22)?,
        ticks: number(14)? + number(15)?,
        pages: number(24)?,
        status: field(52).and_then(|text| text.parse().ok()),
    })
}

/// Returns when a process started, in clock ticks since boot.
pub(in crate::os) fn start_time(pid: u32) -> Option<u64> {
    Some(stat(pid)?.start)
}

/// Returns the parent of a process.
pub(in crate::os) fn parent(pid: u32) -> Option<u32> {
    Some(stat(pid)?.parent)
}

/// Returns the wait status of a process that has ended and was not reaped yet.
pub(super) fn zombie_status(identity: Identity) -> Option<i32> {
    let stat = stat(identity.pid)?;
    if stat.start != identity.start || !stat.is_zombie() {
        return None;
    }
    stat.status
}

/// Returns its children, from the lists of all its threads.
pub(in crate::os) fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let (mut all, mut text) = (Vec::new(), Vec::new());
    for thread in threads.flatten() {
        children_of_thread(&thread.path().join("children"), &mut text, &mut all);
    }
    all
}

/// Adds the children that a thread has started, from the list at a path.
fn children_of_thread(path: &std::path::Path, text: &mut Vec<u8>, all: &mut Vec<u32>) {
    text.clear();
    if fs::File::open(path).and_then(|file| read_whole(file, text)).is_ok() {
        let pids = text.split(u8::is_ascii_whitespace).filter_map(|pid| std::str::from_utf8(pid).ok());
        all.extend(pids.filter_map(|pid| pid.parse::<u32>().ok()));
    }
}

/// Reads a file of /proc to its end. The size of such a file is not known, so it is not asked for: most are empty.
fn read_whole(mut file: fs::File, text: &mut Vec<u8>) -> std::io::Result<()> {
    let mut buffer = [0_u8; 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => text.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns the children of this process that lead no run: orphans that it inherited.
pub fn orphans(is_leader: impl Fn(u32) -> bool) -> Vec<u32> {
    children(std::process::id()).into_iter().filter(|pid| !is_leader(*pid)).collect()
}

/// Returns a process and all its descendants, itself first, without zombies among the descendants.
pub fn descendants(root: u32) -> Vec<u32> {
    let (mut all, mut next) = (vec![root], 0);
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        all.extend(
            children(pid).into_iter().filter(|child| stat(*child).is_some_and(|stat| !stat.is_zombie())),
        );
    }
    all
}

/// Returns CPU time in seconds and resident memory in bytes of a set of processes.
pub fn usage_of(pids: &[u32]) -> (f64, u64) {
    pids.iter()
        .filter_map(|pid| stat(*pid))
        .fold((0.0, 0), |(cpu, memory), stat| (cpu + seconds(stat.ticks), memory + stat.memory()))
}

/// Returns how many processes a process and its descendants are, and their CPU time and memory as [`usage_of`] does. Each
/// is looked up once; where a process has one thread, only the list of that thread's children is read.
pub fn usage_of_tree(root: u32) -> (usize, f64, u64) {
    let (mut waiting, mut text) = (vec![root], Vec::new());
    let (mut count, mut cpu, mut memory) = (0, 0.0, 0);
    while let Some(pid) = waiting.pop() {
        let Some(stat) = stat(pid).filter(|stat| pid == root || !stat.is_zombie()) else { continue };
        (count, cpu, memory) = (count + 1, cpu + seconds(stat.ticks), memory + stat.memory());
        if stat.threads == 1 {
            let path = format!("/proc/{pid}/task/{pid}/children");
            children_of_thread(path.as_ref(), &mut text, &mut waiting);
        } else {
            waiting.extend(children(pid));
        }
    }
    (count, cpu, memory)
}

fn seconds(ticks: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "ticks of a process are far below 2^52")]
    let ticks = ticks as f64;
    #[expect(clippy::cast_precision_loss, reason = "there are a few hundred ticks in a second")]
    let in_a_second = rustix::param::clock_ticks_per_second() as f64;
    ticks / in_a_second
}

/// Returns which service and run of this instance a process belongs to: by its mark, or by a FIFO it holds (with run
/// 0).
///
/// A process of another user may carry any mark. It cannot get a FIFO of a service that did not start it, so the FIFO
/// decides. For processes of the supervisor's own user the mark decides: they include monitors, which hold copies of
/// the FIFOs of all services.
pub(super) fn owner(pid: u32, instance: &str, fifos: &Fifos) -> Option<(String, u64)> {
    let environ = environ(pid)?;
    let mark = mark_of(&environ);
    let marked = mark.and_then(|mark| parse_mark(mark, instance));
    if marked.is_some()
        && real_user(pid) != Some(rustix::process::geteuid().as_raw())
        && let Some(holder) = fifo_holder(pid, fifos)
        && marked.as_ref().is_none_or(|(service, _)| *service != holder)
    {
        return Some((holder, 0));
    }
    if marked.is_none() && (mark.is_some() || is_half_born(pid, &environ)) {
        return None;
    }
    marked.or_else(|| Some((fifo_holder(pid, fifos)?, 0)))
}

/// Returns the mark in an environment.
fn mark_of(environ: &[u8]) -> Option<&[u8]> {
    environ.split(|byte| *byte == 0).find_map(mark_in)
}

/// Returns the user that started a process. Its folder in `/proc` may belong to root in any case.
fn real_user(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().next()?.parse().ok()
}

/// Returns every living process on the host that belongs to a service of this instance: by its mark, or by a FIFO it
/// holds.
///
/// `fifos` maps device and inode of every FIFO of this home to its service. This supervisor, its ancestors, and
/// processes marked for another instance are never attributed to a service by a FIFO.
pub fn scan(instance: &str, fifos: &Fifos) -> Scan {
    let ours = ancestors(std::process::id());
    let Ok(entries) = fs::read_dir("/proc") else { return Scan::default() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    scan_these(pids.filter(|pid| !ours.contains(pid)), instance, fifos)
}

/// Looks again at processes that were silent.
pub fn scan_again(silent: &[Silent], instance: &str, fifos: &Fifos) -> Scan {
    let lives = |silent: &&Silent| start_time(silent.identity.pid) == Some(silent.identity.start);
    scan_these(silent.iter().filter(lives).map(|silent| silent.identity.pid), instance, fifos)
}

/// How long a process may be silent. Its threads can hold what a look at it waits for without a break.
const PATIENCE: Duration = Duration::from_millis(100);

fn scan_these(pids: impl Iterator<Item = u32>, instance: &str, fifos: &Fifos) -> Scan {
    let (instance, fifos) = (instance.to_owned(), fifos.clone());
    let seen = patience::each_within(pids, PATIENCE, move |pid| belongs(pid, &instance, &fifos));
    let silent = |pid: u32| {
        let start = stat(pid).filter(|stat| !stat.is_zombie())?.start;
        Some(Silent { identity: Identity { pid, start }, user: real_user(pid) })
    };
    Scan {
        found: seen.found.into_iter().flatten().collect(),
        silent: seen.silent.into_iter().filter_map(silent).collect(),
    }
}

/// Does what [`owner`] does. A process that does not answer in time belongs to nobody for now: a scan looks again.
pub(super) fn owner_in_time(pid: u32, instance: &str, fifos: &Fifos) -> Option<(String, u64)> {
    let (instance, fifos) = (instance.to_owned(), fifos.clone());
    patience::within(pid, PATIENCE, move || owner(pid, &instance, &fifos)).flatten()
}

fn belongs(pid: u32, instance: &str, fifos: &Fifos) -> Option<Marked> {
    let (service, incarnation) = owner(pid, instance, fifos)?;
    let stat = stat(pid).filter(|stat| !stat.is_zombie())?;
    let identity = Identity { pid, start: stat.start };
    Some(Marked { identity, service, incarnation, leads: stat.group == pid, user: real_user(pid) })
}

/// The most that Linux gives a program as its environment with the usual limit on the stack, 8 MiB: a quarter of it.
const MOST_ENVIRON: u64 = 2 * 1024 * 1024;

/// Reads what a process has in its memory: `environ` or `cmdline`. Any process can say that these lie anywhere in it, and
/// are as long as all of it (`PR_SET_MM`): no more than `most` bytes are read.
pub(super) fn read_memory(pid: u32, what: &str, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(format!("/proc/{pid}/{what}"))?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the environment of a living user process. During an exec it reads as empty, so it is read again.
fn environ(pid: u32) -> Option<Vec<u8>> {
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        let environ = read_memory(pid, "environ", MOST_ENVIRON).ok()?;
        // Kernel threads have neither an environment nor a program.
        if !environ.is_empty() || fs::read_link(format!("/proc/{pid}/exe")).is_err() {
            return Some(environ);
        }
    }
    Some(Vec::new())
}

/// Returns whether it is a child of this process that has not become another program yet: it still has this process's
/// memory and descriptors, including the FIFOs of every service.
fn is_half_born(pid: u32, environ: &[u8]) -> bool {
    let program =
        |who: &str| fs::metadata(format!("/proc/{who}/exe")).map(|meta| (meta.dev(), meta.ino())).ok();
    fs::read("/proc/self/environ").is_ok_and(|own| own == environ)
        && program(&pid.to_string()).is_some_and(|its| program("self") == Some(its))
}

/// Descriptors of one process that are looked at, the lowest numbers first: as many as a process may have with the usual
/// limit. With 20,000 in each of 300 processes a look took minutes.
const MOST_DESCRIPTORS: usize = 1024;

fn fifo_holder(pid: u32, fifos: &Fifos) -> Option<String> {
    if fifos.is_empty() {
        return None;
    }
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    descriptors.flatten().take(MOST_DESCRIPTORS).find_map(|entry| {
        let meta = fs::metadata(entry.path()).ok()?;
        fifos.get(&(meta.dev(), meta.ino())).cloned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_itself() {
        let me = std::process::id();
        let stat = stat(me).expect("we run");
        assert!(!stat.is_zombie() && stat.start > 0 && stat.parent > 0 && stat.group > 0);
        assert_eq!(parent(me), Some(stat.parent));
        assert_eq!(descendants(me)[0], me);
        assert!(usage_of(&[me]).1 > 0);
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_lives() {
        let line = |state: &str, threads: u32| {
            let rest = "0 -1 4194304 1 0 0 0 3 2 0 0 20 0";
            format!("7 (a) b) {state} 1 7 7 {rest} {threads} 0 900 4096 5 {}", "0 ".repeat(28))
        };
        for (state, threads, ended) in [("S", 1, false), ("Z", 1, true), ("Z", 2, false), ("X", 0, true)] {
            let stat = parse_stat(line(state, threads).as_bytes()).expect("a whole line");
            assert_eq!((stat.is_zombie(), stat.group, stat.start), (ended, 7, 900), "{state} {threads}");
        }
    }

    #[test]
    fn of_what_a_process_says_it_has_no_more_is_read_than_wanted() {
        let me = std::process::id();
        let own = fs::read("/proc/self/cmdline").expect("we run");
        assert_eq!(read_memory(me, "cmdline", 3).expect("we run"), own[..3]);
        assert_eq!(read_memory(me, "cmdline", MOST_ENVIRON).expect("we run"), own);
    }

    #[test]
    fn who_still_is_this_program_with_its_environment_is_nobodys_yet() {
        let me = std::process::id();
        let own = fs::read("/proc/self/environ").expect("we run");
        assert!(is_half_born(me, &own));
        assert!(!is_half_born(me, b"PATH=/elsewhere\0"), "one that chose its own");
        assert!(!is_half_born(1, &own), "another program");
        assert_eq!(owner(me, "abc", &Fifos::new()), None);
    }

    #[test]
    fn the_mark_of_an_environment_is_that_of_no_similar_variable() {
        let environ = b"SERENO_UNITS=1\0XSERENO_UNIT=2\0PATH=/bin\0SERENO_UNIT=abc/web:0/17\0HOME=/";
        assert_eq!(mark_of(environ), Some(&b"abc/web:0/17"[..]));
        assert_eq!(mark_of(b"SERENO_UNITS=1"), None);
    }

    #[test]
    fn a_list_that_is_longer_than_a_buffer_is_read_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("children");
        for length in [0, 1, 1024, 5000] {
            let written = vec![b'7'; length];
            fs::write(&path, &written).expect("written");
            let mut text = Vec::new();
            read_whole(fs::File::open(&path).expect("open"), &mut text).expect("read");
            assert_eq!(text, written);
        }
    }
}
