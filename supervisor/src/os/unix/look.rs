//! A look at the processes of a service: whether they make progress, how much memory they use, and which are stuck.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::os::system::look::{stuck_in, used};
use crate::os::system::proc::children;
use crate::os::{Cgroup, Look, descendants};

/// Looks at the processes of a run. `stuck` also looks for stuck processes.
pub fn look(leader: u32, cgroup: Option<&Cgroup>, stuck: bool) -> Look {
    let pids = cgroup.map_or_else(|| descendants(leader), Cgroup::pids);
    let mut look = Look::default();
    let mut all = DefaultHasher::new();
    for pid in &pids {
        if let Some((time, bytes)) = used(*pid) {
            (pid, time).hash(&mut all);
            look.memory += bytes;
        }
        if stuck {
            look.stuck.extend(in_words(*pid));
            let dead = children(*pid).into_iter().filter(|child| !pids.contains(child));
            look.stuck.extend(dead.filter_map(in_words));
        }
    }
    look.used = all.finish();
    look
}

fn in_words(pid: u32) -> Option<String> {
    let (name, meaning) = stuck_in(pid)?;
    Some(format!("pid {pid} {name} is in state {meaning}"))
}
