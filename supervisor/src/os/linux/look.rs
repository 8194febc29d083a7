//! A look at the processes of a service: whether they make progress, how much memory they use, and which are stuck.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Cgroup, proc};
use crate::os::Look;

/// Looks at the processes of a run. `stuck` also looks for stuck processes.
pub fn look(leader: u32, cgroup: Option<&Cgroup>, stuck: bool) -> Look {
    let pids = cgroup.map_or_else(|| proc::descendants(leader), Cgroup::pids);
    let mut look = Look::default();
    let mut used = DefaultHasher::new();
    for pid in &pids {
        let Some(stat) = proc::stat(*pid) else { continue };
        (pid, stat.start, stat.ticks()).hash(&mut used);
        look.memory += stat.memory();
        if stuck {
            look.stuck.extend(in_words(*pid, &stat));
            let dead = proc::children(*pid).into_iter().filter(|child| !pids.contains(child));
            look.stuck.extend(dead.filter_map(|child| in_words(child, &proc::stat(child)?)));
        }
    }
    look.used = used.finish();
    look
}

fn in_words(pid: u32, stat: &proc::Stat) -> Option<String> {
    let meaning = match stat.state() {
        b'D' => "D (waits for the kernel)",
        b'Z' => "Z (dead, waited for by nobody)",
        b'T' | b't' => "T (stopped)",
        _ => return None,
    };
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = String::from_utf8_lossy(&name).trim_end().to_string();
    Some(format!("pid {pid} {name} is in state {meaning}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_moves_what_is_held_and_who_is_stuck() {
        let me = std::process::id();
        let mut child = child();
        let pid = child.id();
        // While it ends it may be seen in state D.
        let zombie = format!("pid {pid} true is in state Z");
        let ended = |look: &Look| look.stuck.iter().any(|line| line.starts_with(&zombie));
        let seen = (0..100_000).map(|_| look(me, None, true)).find(ended).expect("a zombie is seen");
        assert!(seen.memory > 0);
        child.wait().expect("reaped");
        assert!(look(me, None, false).stuck.is_empty(), "not asked for");
        // CPU time changes `used` sooner or later.
        let before = look(me, None, false).used;
        assert!((0..10_000_000_u64).any(|_| look(me, None, false).used != before));
    }

    #[expect(clippy::disallowed_methods, reason = "a child that is not waited for is what is looked at")]
    fn child() -> std::process::Child {
        std::process::Command::new("true").spawn().expect("spawned")
    }
}
