//! Which processes hold a socket, and what is known of them. The kernel's table names the process that last used each
//! listener, also for other users.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sereno_sockets::users;

use super::{marks, proc};
use crate::os::unix::marks::Fifos;

pub(in crate::os) use super::proc::folder;

/// Returns the processes that hold one of these sockets; `None` if one of `own` does.
pub(in crate::os) fn holders(inodes: &[u64], own: &BTreeSet<u32>) -> Option<Vec<u32>> {
    let holders: Vec<u32> = users(inodes).into_iter().filter(|pid| proc::facts(*pid).is_some()).collect();
    (!holders.iter().any(|pid| own.contains(pid))).then_some(holders)
}

/// Returns the service and run that a process's mark names.
pub(in crate::os) fn owner(pid: u32, instance: &str) -> Option<(String, u64)> {
    marks::owner(pid, instance, &Fifos::default())
}

/// Returns a process's command line, or its name if it has none.
pub(in crate::os) fn command(pid: u32) -> String {
    let arguments = proc::started(pid).unwrap_or_default().arguments;
    if arguments.is_empty() {
        proc::facts(pid).map(|facts| facts.name).unwrap_or_default()
    } else {
        String::from_utf8_lossy(&arguments.join(&b' ')).into_owned()
    }
}

/// Returns how long a process has been running.
pub(in crate::os) fn age(pid: u32) -> Option<Duration> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.saturating_sub(Duration::from_micros(proc::facts(pid)?.start)))
}
