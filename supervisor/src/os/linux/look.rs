//! What a process uses, and whether it is stuck.

use std::fs;
use std::hash::Hash;

use super::proc;

/// Returns what changes with its CPU time, and its resident memory in bytes.
pub(in crate::os) fn used(pid: u32) -> Option<(impl Hash, u64)> {
    let stat = proc::stat(pid)?;
    Some(((stat.start, stat.ticks()), stat.memory()))
}

/// Returns the name of a stuck process, and its state in words.
pub(in crate::os) fn stuck_in(pid: u32) -> Option<(String, &'static str)> {
    let meaning = match proc::stat(pid)?.state() {
        b'D' => "D (waits for the kernel)",
        b'Z' => "Z (dead, waited for by nobody)",
        b'T' | b't' => "T (stopped)",
        _ => return None,
    };
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((String::from_utf8_lossy(&name).trim_end().to_string(), meaning))
}

#[cfg(test)]
mod tests {
    use crate::os::{Look, look};

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
