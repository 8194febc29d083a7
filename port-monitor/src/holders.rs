//! Finds the process that holds a listener, by `/proc`.
//!
//! Nothing here fails: unreadable entries (another user's process, a process that ended meanwhile) are skipped.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use sereno_sockets::patience;

use crate::sockets::{Owner, Run};

/// How long a process may be silent when something is read from its memory.
const PATIENCE: Duration = Duration::from_millis(100);
/// Maximum number of characters of a command to show.
const MAX_COMMAND: usize = 100;
/// Maximum number of bytes of an environment to read.
const MAX_ENVIRON: u64 = 1024 * 1024;
/// Maximum number of descriptors of a process to look at, the lowest numbers first: a process can have a million.
const MAX_DESCRIPTORS: usize = 4096;
/// Maximum number of bytes of a command to read.
const MAX_BYTES: u64 = 4096;

/// Returns the owner of these listeners. Searches the service's own processes first, and all others only if
/// none of them holds one.
pub(crate) fn owner(inodes: &[u64], run: &Run) -> Owner {
    let wanted: HashSet<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    if wanted.is_empty() {
        return Owner::Unknown;
    }
    let own = run.pid.map(tree).unwrap_or_default();
    if own.iter().any(|pid| holds(*pid, &wanted)) {
        return Owner::Own;
    }
    let holders: Vec<u32> = processes().filter(|pid| !own.contains(pid) && holds(*pid, &wanted)).collect();
    if holders.iter().any(|pid| belongs(*pid, run)) {
        return Owner::Own;
    }
    match (run.pid, holders.first()) {
        (Some(_), Some(pid)) => Owner::Foreign { pid: *pid, command: command(*pid) },
        // Without the service's pid, no process can be called foreign.
        _ => Owner::Unknown,
    }
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Returns a process and its descendants.
fn tree(root: u32) -> BTreeSet<u32> {
    let mut seen = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for task in fs::read_dir(of(pid, "task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_ascii_whitespace().filter_map(|child| child.parse().ok()) {
                if seen.insert(child) {
                    open.push(child);
                }
            }
        }
    }
    seen
}

fn holds(pid: u32, wanted: &HashSet<String>) -> bool {
    fs::read_dir(of(pid, "fd")).into_iter().flatten().flatten().take(MAX_DESCRIPTORS).any(|entry| {
        fs::read_link(entry.path()).is_ok_and(|link| link.to_str().is_some_and(|link| wanted.contains(link)))
    })
}

/// Whether a process that left the tree (a double fork) still belongs to the service. Any process can set the mark: it
/// counts only for a process of the service's user, or root's.
fn belongs(pid: u32, run: &Run) -> bool {
    let of_its_user = run.pid.is_none_or(|leader| user(pid) == user(leader) || user(pid) == Some(0));
    let mark = mark(pid).filter(|_| of_its_user);
    if let Some(leader) = run.pid {
        let (group, session) = session(pid);
        if group == Some(leader) || session == Some(leader) || (mark.is_some() && mark == self::mark(leader))
        {
            return true;
        }
    }
    let end = format!("/{}/{}", run.service, run.incarnation);
    mark.is_some_and(|mark| mark.ends_with(&end))
}

/// Returns process group and session of a process.
fn session(pid: u32) -> (Option<u32>, Option<u32>) {
    let stat = fs::read_to_string(of(pid, "stat")).unwrap_or_default();
    // The command before the last parenthesis may contain any characters.
    let mut rest = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().skip(2);
    let mut next = || rest.next().and_then(|field| field.parse().ok());
    (next(), next())
}

/// Returns the mark that the supervisor put into a process's environment.
fn mark(pid: u32) -> Option<String> {
    let environ = read(pid, "environ", MAX_ENVIRON).ok()?;
    let mark = environ.split(|byte| *byte == 0).find_map(|pair| pair.strip_prefix(b"SERENO_UNIT="))?;
    String::from_utf8(mark.to_vec()).ok()
}

fn command(pid: u32) -> String {
    let read = |what| read(pid, what, MAX_BYTES).unwrap_or_default();
    let line = Some(read("cmdline")).filter(|line| !line.is_empty()).unwrap_or_else(|| read("comm"));
    let line = String::from_utf8_lossy(&line);
    line.trim_end_matches(['\0', '\n']).replace('\0', " ").chars().take(MAX_COMMAND).collect()
}

/// Reads what a process says of itself, which it can make as long as all of its memory. Its threads can also hold up
/// such a read as long as they like, so another thread reads.
fn read(pid: u32, what: &'static str, most: u64) -> io::Result<Vec<u8>> {
    let read = move || {
        let mut bytes = Vec::new();
        fs::File::open(of(pid, what))?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    patience::within(pid, PATIENCE, read).unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

/// The user that a process runs as.
fn user(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(of(pid, "status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().next()?.parse().ok()
}

fn of(pid: u32, what: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{what}"))
}
