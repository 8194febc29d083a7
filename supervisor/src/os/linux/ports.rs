//! Which processes hold a socket, and what is known of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sereno_sockets::patience;

use super::proc;
use crate::os::unix::marks::Fifos;

/// How long a process may take to say its command.
const PATIENCE: Duration = Duration::from_millis(100);
/// Bytes of a command that are read.
const MAX_BYTES: u64 = 4096;
/// Maximum number of descriptors of a process to look at, the lowest numbers first: a process can have a million.
const MAX_DESCRIPTORS: usize = 4096;

/// Returns the processes that hold one of these sockets; `None` if one of `own` does.
pub(in crate::os) fn holders(inodes: &[u64], own: &BTreeSet<u32>) -> Option<Vec<u32>> {
    let sockets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    // The service's own processes come first: that is cheap, and they may listen by now.
    if own.iter().any(|pid| holds(*pid, &sockets)) {
        return None;
    }
    Some(processes().filter(|pid| !own.contains(pid) && holds(*pid, &sockets)).collect())
}

/// Returns the service and run that a process's mark names.
pub(in crate::os) fn owner(pid: u32, instance: &str) -> Option<(String, u64)> {
    proc::owner_in_time(pid, instance, &Fifos::default())
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn holds(pid: u32, sockets: &[String]) -> bool {
    fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().take(MAX_DESCRIPTORS).any(
        |entry| {
            let link = fs::read_link(entry.path());
            link.is_ok_and(|link| {
                link.to_str().is_some_and(|link| sockets.iter().any(|socket| socket == link))
            })
        },
    )
}

/// Returns a process's command line, or its name if it has none, or does not say it in time.
pub(in crate::os) fn command(pid: u32) -> String {
    let read = move |what: &str| proc::read_memory(pid, what, MAX_BYTES).unwrap_or_default();
    let line = patience::within(pid, PATIENCE, move || read("cmdline")).unwrap_or_default();
    let line = Some(line).filter(|line| !line.is_empty()).unwrap_or_else(|| read("comm"));
    String::from_utf8_lossy(&line).trim_end_matches(['\0', '\n']).replace('\0', " ")
}

/// Returns how long a process has been running.
pub(in crate::os) fn age(pid: u32) -> Option<Duration> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime = Duration::try_from_secs_f64(uptime.split(' ').next()?.parse().ok()?).ok()?;
    let began = Duration::from_secs(proc::start_time(pid)? / rustix::param::clock_ticks_per_second());
    Some(uptime.saturating_sub(began))
}

/// Returns a process's working folder.
pub(in crate::os) fn folder(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::os::stranger_on;

    #[test]
    fn who_listens_is_named_unless_it_is_one_of_us() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = [listener.local_addr().expect("bound")];
        let me = std::process::id();
        assert_eq!(stranger_on(&address, me, "home", "web"), None, "our own");
        // The child gets the listener as its stdin, and no other process keeps it.
        #[expect(clippy::disallowed_methods, reason = "a stranger is wanted here")]
        let mut other = std::process::Command::new("sleep")
            .arg("100")
            .stdin(std::os::fd::OwnedFd::from(listener))
            .current_dir("/")
            .spawn()
            .expect("it starts");
        let (port, stranger) = loop {
            if command(other.id()).starts_with("sleep") {
                break stranger_on(&address, u32::MAX, "home", "web").expect("somebody");
            }
            std::thread::yield_now();
        };
        let pid = other.id();
        other.kill().expect("it is ours");
        other.wait().expect("it is ours");
        assert_eq!((port, stranger.pid, stranger.command.as_str()), (address[0].port(), pid, "sleep 100"));
        assert_eq!(stranger.folder.as_deref(), Some(std::path::Path::new("/")));
        let words = stranger.to_string();
        assert!(words.starts_with(&format!("pid {pid} `sleep 100`, started ")), "{words}");
        assert!(words.ends_with(" in /"), "{words}");
        assert_eq!(stranger_on(&address, me, "home", "web"), None, "nobody any more");
    }
}
