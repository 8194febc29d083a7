//! Which service a process belongs to, as far as that is the same on every Unix.

use std::collections::{BTreeMap, HashSet};

use super::MOST_INCARNATIONS;
use crate::os::{MARK, system};

/// The service of each FIFO, by device and inode.
pub(in crate::os) type Fifos = BTreeMap<(u64, u64), String>;

/// Returns the mark in an entry of an environment.
pub(in crate::os) fn mark_in(entry: &[u8]) -> Option<&[u8]> {
    entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=")
}

/// Returns service and incarnation of a mark, if it is one of this instance.
pub(in crate::os) fn parse_mark(mark: &[u8], instance: &str) -> Option<(String, u64)> {
    let rest = std::str::from_utf8(mark).ok()?.strip_prefix(instance)?.strip_prefix('/')?;
    let (service, incarnation) = rest.rsplit_once('/')?;
    Some((service.into(), incarnation.parse().ok().filter(|number| *number <= MOST_INCARNATIONS)?))
}

/// Returns a process and all its ancestors.
pub(in crate::os) fn ancestors(pid: u32) -> HashSet<u32> {
    let mut line = HashSet::from([pid]);
    let mut current = pid;
    while let Some(parent) = system::proc::parent(current).filter(|parent| *parent != 0) {
        if !line.insert(parent) {
            break;
        }
        current = parent;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_service_and_incarnation_of_this_instance_only() {
        assert_eq!(mark_in(b"SERENO_UNIT=abc/web:0/17"), Some(&b"abc/web:0/17"[..]));
        assert_eq!(mark_in(b"SERENO_UNITS=1"), None);
        assert_eq!(mark_in(b"XSERENO_UNIT=1"), None);
        assert_eq!(parse_mark(b"abc/web:0/17", "abc"), Some(("web:0".into(), 17)));
        assert_eq!(parse_mark(b"abc/web:0/17", "ab"), None);
        assert_eq!(parse_mark(b"abc/web/x", "abc"), None);
    }

    #[test]
    fn the_parent_is_an_ancestor() {
        let me = std::process::id();
        assert!(ancestors(me).contains(&me) && ancestors(me).len() > 1);
    }
}
