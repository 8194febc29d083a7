//! Pure: whether a writer floods, and how soon its pipe is to be seen to then.
//!
//! Whoever waits for a pipe is woken by each write, and it is the writer who pays for that. One that floods is not waited
//! for: its pipe is made large, and emptied now and then, before it is full. So the writer gets as far as if nobody read,
//! and the reader moves much at a time.

use std::time::Duration;

use crate::lifecycle::BootInstant;

/// A move so soon after the one before found bytes that came while it was under way …
const AT_ONCE: Duration = Duration::from_micros(20);
/// … and one of so many bytes found its pipe nearly full.
const MUCH: usize = 48 * 1024;
/// So many such moves in a row are a flood.
const FLOODS_AFTER: u32 = 16;

/// So little at a visit is no flood …
const LITTLE: usize = 512;
/// … after so many such visits in a row.
const CALM_AFTER: u32 = 8;

/// A pipe of this size is seen to before it is half full, and not long before.
pub(super) const LARGE_PIPE: usize = 1024 * 1024;
const MORE_THAN_WANTED: usize = LARGE_PIPE / 2;
const LESS_THAN_WANTED: usize = LARGE_PIPE / 4;

const SHORTEST: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(1);

/// How one writer writes.
#[derive(Debug)]
pub(super) struct Flood {
    last: BootInstant,
    /// Moves in a row that look like a flood; while it floods, visits in a row that do not.
    in_a_row: u32,
    /// How long its pipe is left alone, if it floods.
    pause: Option<Duration>,
}

impl Flood {
    pub(super) fn none() -> Self {
        Self { last: BootInstant::default(), in_a_row: 0, pause: None }
    }

    /// One that may be over: it is told again in a while.
    pub(super) fn ebbing(now: BootInstant) -> Self {
        Self { last: now, in_a_row: 0, pause: Some(LONGEST) }
    }

    /// A move at this moment found so many bytes.
    pub(super) fn moved(&mut self, now: BootInstant, bytes: usize) {
        let since = now.since(self.last);
        self.last = now;
        let Some(pause) = self.pause else {
            let looks_like_one = bytes > 0 && (since <= AT_ONCE || bytes >= MUCH);
            self.in_a_row = if looks_like_one { self.in_a_row + 1 } else { 0 };
            if self.in_a_row >= FLOODS_AFTER {
                *self = Self { in_a_row: 0, pause: Some(SHORTEST), ..*self };
            }
            return;
        };
        self.in_a_row = if bytes <= LITTLE { self.in_a_row + 1 } else { 0 };
        self.pause = if self.in_a_row >= CALM_AFTER {
            self.in_a_row = 0;
            None
        } else if bytes > MORE_THAN_WANTED {
            Some((pause / 2).max(SHORTEST))
        } else if bytes < LESS_THAN_WANTED {
            Some((pause * 2).min(LONGEST))
        } else {
            Some(pause)
        };
    }

    /// When its pipe is to be seen to; `None`: it is waited for.
    pub(super) fn visit(&self) -> Option<BootInstant> {
        self.pause.map(|pause| self.last + pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> BootInstant {
        BootInstant::since_boot(Duration::from_micros(micros))
    }

    /// The moments of the moves after which a writer of so many bytes a microsecond is done, and what each moved.
    fn play(bytes_per_micro: usize, visits: usize) -> (Flood, Vec<(u64, usize)>) {
        let (mut flood, mut now, mut moves) = (Flood::none(), 0_u64, Vec::new());
        for _ in 0..visits {
            let next = flood
                .visit()
                .map_or(now + 5, |visit| u64::try_from(visit.elapsed().as_micros()).expect("a small number"));
            let bytes = bytes_per_micro * usize::try_from(next - now).expect("a small number");
            now = next;
            flood.moved(at(now), bytes.min(LARGE_PIPE));
            moves.push((now, bytes));
        }
        (flood, moves)
    }

    #[test]
    fn lines_now_and_then_are_no_flood() {
        let mut flood = Flood::none();
        for line in 0..1_000 {
            flood.moved(at(line * 50), 4_000);
            assert_eq!(flood.visit(), None);
        }
        // Nor are long ones.
        for line in 0..1_000 {
            flood.moved(at(60_000 + line * 1_000), 32 * 1024);
            assert_eq!(flood.visit(), None);
        }
        // A burst of a few lines neither.
        for line in 0..u64::from(FLOODS_AFTER) - 1 {
            flood.moved(at(2_000_000 + line), 100);
        }
        flood.moved(at(2_010_000), 100);
        assert_eq!(flood.visit(), None);
    }

    #[test]
    fn a_flood_is_seen_to_before_its_pipe_is_full_and_not_all_the_time() {
        // From 10 MB/s to 2 GB/s.
        for bytes_per_micro in [10, 100, 400, 1_000, 2_000] {
            let (flood, moves) = play(bytes_per_micro, 200);
            assert!(flood.visit().is_some(), "{bytes_per_micro} MB/s is a flood");
            for pair in moves[100..].windows(2) {
                let [(before, _), (now, bytes)] = pair else { unreachable!("pairs") };
                assert!(*bytes < LARGE_PIPE, "{bytes_per_micro} MB/s: {bytes} bytes did not fit");
                let longest = now - before >= 1_000;
                assert!(longest || *bytes >= LESS_THAN_WANTED, "{bytes_per_micro} MB/s: {bytes} at a time");
            }
        }
    }

    #[test]
    fn full_pipes_are_a_flood_however_long_they_took() {
        let mut flood = Flood::none();
        (1..=u64::from(FLOODS_AFTER)).for_each(|turn| flood.moved(at(turn * 10_000), 65_536));
        assert!(flood.visit().is_some());
    }

    #[test]
    fn when_it_is_over_its_pipe_is_waited_for_again() {
        let (mut flood, moves) = play(400, 100);
        let (last, _) = moves[99];
        for visit in 1..u64::from(CALM_AFTER) {
            flood.moved(at(last + visit * 1_000), 0);
            assert!(flood.visit().is_some(), "not for one silence");
        }
        flood.moved(at(last + 9_000), 0);
        assert_eq!(flood.visit(), None);
    }
}
