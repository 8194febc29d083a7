//! Which service a process belongs to: by its mark, or by a FIFO of this home that it holds. macOS hides the
//! environment of its own programs (`/bin/sh`, `/usr/bin/python3`) from every process, so they are known by the FIFO
//! that they write to.

use super::proc;
use crate::os::unix::marks::{Fifos, ancestors, mark_in, parse_mark};
use crate::os::{Identity, Marked, Scan};

/// Returns which service and run of this instance a process belongs to: by its mark, or by a FIFO it holds (with run
/// 0).
pub(super) fn owner(pid: u32, instance: &str, fifos: &Fifos) -> Option<(String, u64)> {
    let environ = proc::started(pid).unwrap_or_default().environment;
    if let Some(mark) = environ.iter().find_map(|entry| mark_in(entry)) {
        return parse_mark(mark, instance);
    }
    if is_half_born(pid) {
        return None;
    }
    proc::holds(pid, fifos).map(|service| (service.clone(), 0))
}

/// Returns whether it is a child of this process that has not become another program yet: it still holds this process's
/// descriptors, including the FIFOs of every service.
fn is_half_born(pid: u32) -> bool {
    let own = std::process::id();
    proc::facts(pid).is_some_and(|facts| facts.parent == own) && proc::program(pid) == proc::program(own)
}

/// Returns every living process on the host that belongs to a service of this instance: by its mark, or by a FIFO it
/// holds.
///
/// `fifos` maps device and inode of every FIFO of this home to its service. This supervisor, its ancestors, and
/// processes with a mark of their own are never attributed to a service by a FIFO. The last includes monitors, which
/// keep copies of FIFOs for the next supervisor.
pub fn scan(instance: &str, fifos: &Fifos) -> Scan {
    let ours = ancestors(std::process::id());
    let others = proc::all().into_iter().filter(|pid| !ours.contains(pid));
    let found = others.filter_map(|pid| belongs(pid, instance, fifos)).collect();
    Scan { found, silent: Vec::new() }
}

fn belongs(pid: u32, instance: &str, fifos: &Fifos) -> Option<Marked> {
    let facts = proc::facts(pid).filter(|facts| !facts.is_zombie)?;
    let (service, incarnation) = owner(pid, instance, fifos)?;
    let identity = Identity { pid, start: facts.start };
    Some(Marked { identity, service, incarnation, leads: facts.group == pid, user: Some(facts.user) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_a_fifo_belongs_to_its_service() {
        use std::os::unix::fs::MetadataExt;
        let file = tempfile::tempfile().expect("a file");
        let meta = file.metadata().expect("its own");
        let files = Fifos::from([((meta.dev(), meta.ino()), "web".to_string())]);
        assert_eq!(proc::holds(std::process::id(), &files).map(String::as_str), Some("web"));
        drop(file);
        assert_eq!(proc::holds(std::process::id(), &files), None);
    }
}
