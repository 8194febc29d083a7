//! Does an accept queue drain? A frozen process still completes handshakes, the kernel does that for it; what it does
//! not do is take connections out of the queue. Pure: lengths of the queue go in.
//!
//! Every check puts a connection of its own into the queue, so that one waiting connection says nothing: it may be ours,
//! just now. But what was waiting at the end of one check and is still there at the next was not accepted in between.

/// The queue of one target's listeners, from check to check.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Which listeners, and how many waited in them when they were last looked at.
    last: Option<(Vec<u64>, u32)>,
}

impl Queue {
    /// What waits before this check connects. True: nothing seems to have been accepted since the check before, and a
    /// closer look is called for.
    pub(crate) fn suspicious(&self, inodes: &[u64], waiting: u32) -> bool {
        match &self.last {
            Some((known, then)) => known == inodes && *then > 0 && waiting >= *then,
            None => false,
        }
    }

    /// What waits at the end of this check.
    pub(crate) fn note(&mut self, inodes: Vec<u64>, waiting: u32) {
        self.last = Some((inodes, waiting));
    }

    /// Nobody listens, or nobody knows.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }
}

/// Whether lengths seen one after the other show that somebody accepts: a busy queue is never empty, but it shrinks.
pub(crate) fn drains(seen: &[u32]) -> bool {
    seen.contains(&0) || seen.windows(2).any(|pair| pair[1] < pair[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays checks: what waits before and after each; says after which it was suspicious.
    fn play(checks: &[(u32, u32)]) -> Vec<bool> {
        let mut queue = Queue::default();
        checks
            .iter()
            .map(|(before, after)| {
                let suspicious = queue.suspicious(&[7], *before);
                queue.note(vec![7], *after);
                suspicious
            })
            .collect()
    }

    #[test]
    fn table() {
        for (what, checks, suspicious) in [
            ("idle", &[(0, 0), (0, 0), (0, 0)][..], &[false, false, false][..]),
            ("ours is accepted a moment later", &[(0, 1), (0, 1), (0, 1)], &[false, false, false]),
            ("frozen: only ours wait", &[(0, 1), (1, 2), (2, 3)], &[false, true, true]),
            ("frozen and full", &[(129, 129), (129, 129)], &[false, true]),
            ("frozen with other clients", &[(5, 6), (9, 10)], &[false, true]),
            ("slow, but it takes some", &[(5, 6), (4, 5), (4, 5)], &[false, false, false]),
            ("woken up", &[(0, 1), (1, 2), (0, 1), (0, 0)], &[false, true, false, false]),
        ] {
            assert_eq!(play(checks), suspicious, "{what}");
        }
    }

    #[test]
    fn another_listener_begins_anew() {
        let mut queue = Queue::default();
        queue.note(vec![7], 3);
        assert!(queue.suspicious(&[7], 3));
        assert!(!queue.suspicious(&[8], 3));
        queue.forget();
        assert!(!queue.suspicious(&[7], 3));
    }

    #[test]
    fn a_queue_drains_when_it_shrinks() {
        for (seen, expected) in
            [(&[3, 4, 4][..], false), (&[3, 4, 3], true), (&[1, 0], true), (&[129, 129], false)]
        {
            assert_eq!(drains(seen), expected, "{seen:?}");
        }
    }
}
