//! Decides whether an accept queue drains. A frozen process still completes handshakes, because the kernel
//! does that for it, but it takes no connections out of the queue. Pure: queue lengths go in.
//!
//! Every check puts its own connection into the queue, so one waiting connection says nothing: it may be
//! ours. But a connection that waited at the end of one check and is still there at the next was not
//! accepted in between.

/// Queue state of one target's listeners between checks.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// The listeners, and the number of waiting connections when last seen.
    last: Option<(Vec<u64>, u32)>,
}

impl Queue {
    /// Takes the queue length before this check connects. Returns true if nothing seems to have been
    /// accepted since the last check, so that a closer look is needed.
    pub(crate) fn suspicious(&self, inodes: &[u64], waiting: u32) -> bool {
        match &self.last {
            Some((known, then)) => known == inodes && *then > 0 && waiting >= *then,
            None => false,
        }
    }

    /// Notes the queue length at the end of this check.
    pub(crate) fn note(&mut self, inodes: Vec<u64>, waiting: u32) {
        self.last = Some((inodes, waiting));
    }

    /// Clears the state: no listener, or its queue is unknown.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }
}

/// Whether successive queue lengths show that connections are accepted: a busy queue is never empty, but it shrinks.
pub(crate) fn drains(seen: &[u32]) -> bool {
    seen.contains(&0) || seen.windows(2).any(|pair| pair[1] < pair[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays checks with queue lengths before and after each; returns which of them were suspicious.
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
