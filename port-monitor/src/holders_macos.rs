//! Finds the process that holds a listener, by the kernel's socket table, which names the last process to
//! use each socket.
//!
//! Nothing here fails: unreadable data (a process that ended meanwhile, the environment of an Apple
//! program) counts as absent.

use sereno_sockets::{Holder, users};

use crate::sockets::{Owner, Run};

/// Maximum number of characters of a command to show.
const MAX_COMMAND: usize = 100;
/// Maximum number of generations: a table that changes while it is read may contain a cycle.
const GENERATIONS: usize = 64;

/// Returns the owner of these listeners.
pub(crate) fn owner(inodes: &[u64], run: &Run) -> Owner {
    let holders: Vec<Holder> = users(inodes).into_iter().filter_map(Holder::of).collect();
    let words = |holder: &Holder| holder.command_and("SERENO_UNIT");
    if holders.iter().any(|holder| belongs(holder, run, words(holder).1.as_deref(), &Holder::of)) {
        return Owner::Own;
    }
    match (run.pid, holders.first()) {
        (Some(_), Some(holder)) => {
            let command = words(holder).0.chars().take(MAX_COMMAND).collect();
            Owner::Foreign { pid: holder.pid, command }
        }
        // Without the service's pid, no process can be called foreign.
        _ => Owner::Unknown,
    }
}

/// Whether a process belongs to the service: by descent at any depth, by its process group, or by its mark.
/// The ancestors of the service also count: the supervisor holds a socket for it.
fn belongs(holder: &Holder, run: &Run, mark: Option<&str>, of: &dyn Fn(u32) -> Option<Holder>) -> bool {
    let end = format!("/{}/{}", run.service, run.incarnation);
    if mark.is_some_and(|mark| mark.ends_with(&end)) {
        return true;
    }
    let Some(leader) = run.pid else { return false };
    let holds_for_it = || holder.pid != 1 && line(leader, of).contains(&holder.pid);
    holder.group == leader || line(holder.pid, of).contains(&leader) || holds_for_it()
}

/// Returns a process and its ancestors.
fn line(pid: u32, of: &dyn Fn(u32) -> Option<Holder>) -> Vec<u32> {
    let parent = |pid: &u32| of(*pid).map(|holder| holder.parent).filter(|parent| *parent != 0);
    std::iter::successors(Some(pid), parent).take(GENERATIONS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_the_services_by_descent_group_mark_or_for_it() {
        // launchd 1 ─ supervisor 10 ─ leader 20 ─ shell 21 ─ server 22; an orphan 30; a stranger 40.
        let all =
            [(1, 0, 1), (10, 1, 10), (20, 10, 20), (21, 20, 20), (22, 21, 22), (30, 1, 20), (40, 1, 40)];
        let of = |wanted: u32| {
            let found = all.iter().find(|(pid, ..)| *pid == wanted);
            found.map(|(pid, parent, group)| Holder { pid: *pid, parent: *parent, group: *group })
        };
        let run = Run { pid: Some(20), service: "web".into(), incarnation: 7 };
        let is_own = |pid: u32, mark| belongs(&of(pid).expect("there"), &run, mark, &of);
        for (pid, own) in [(20, true), (22, true), (30, true), (10, true), (40, false), (1, false)] {
            assert_eq!(is_own(pid, None), own, "{pid}");
        }
        assert!(is_own(40, Some("home/web/7")) && !is_own(40, Some("home/web/6")));
    }
}
