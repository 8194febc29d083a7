//! Pure: decides whether a writer floods, and how soon its pipe must be emptied then.
//!
//! A thread that waits for a pipe is woken by each write, and the writer pays for that. A flooding writer's pipe is not
//! waited for: it is made large and emptied periodically, before it is full. So the writer gets as far as if nothing
//! read, and the reader moves many bytes at a time.

use std::time::Duration;

use crate::lifecycle::BootInstant;

/// A move this soon after the previous one found bytes that came while that was under way.
const AT_ONCE: Duration = Duration::from_micros(20);
/// A move of this many bytes found its pipe nearly full.
const MUCH: usize = 48 * 1024;
/// This many such moves in a row are a flood.
const FLOODS_AFTER: u32 = 16;

/// A visit that finds at most this many bytes does not look like a flood.
const LITTLE: usize = 512;
/// After this many such visits in a row the flood is over.
const CALM_AFTER: u32 = 8;

/// The size of a flooding writer's pipe. It is emptied when it is between a quarter and half full.
pub(super) const LARGE_PIPE: usize = 1024 * 1024;
const MORE_THAN_WANTED: usize = LARGE_PIPE / 2;
const LESS_THAN_WANTED: usize = LARGE_PIPE / 4;

const SHORTEST: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(1);

/// How a writer writes.
#[derive(Debug)]
pub(super) struct Flood {
    last: BootInstant,
    /// While it does not flood: moves in a row that look like a flood. While it floods: visits in a row that do not.
    in_a_row: u32,
    /// How long its pipe is left alone; `None` if it does not flood.
    pause: Option<Duration>,
}

impl Flood {
    pub(super) fn none() -> Self {
        Self { last: BootInstant::default(), in_a_row: 0, pause: None }
    }

    /// Returns a flood that may be over: a few more visits decide.
    pub(super) fn ebbing(now: BootInstant) -> Self {
        Self { last: now, in_a_row: 0, pause: Some(LONGEST) }
    }

    /// Records a move of `bytes` at `now`.
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

    /// Returns when its pipe must be emptied; `None` if it does not flood and is waited for.
    pub(super) fn visit(&self) -> Option<BootInstant> {
        self.pause.map(|pause| self.last + pause)
    }
}

/// Returns how long a pipe is left alone after a move. A service can make taking from its pipe expensive, by having many
/// wait for room in it: at most a twentieth of a processor goes to that.
pub(super) fn rest_after(took: Duration, moved: usize) -> Option<Duration> {
    /// A move takes microseconds, and a busy disk about 10 ns for a byte.
    const CHEAP: Duration = Duration::from_micros(500);
    const LONGEST: Duration = Duration::from_secs(1);
    let cheap = CHEAP + Duration::from_nanos(10) * u32::try_from(moved).unwrap_or(u32::MAX);
    (took > cheap).then(|| (took * 20).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_that_is_expensive_rests_and_one_on_a_busy_disk_does_not() {
        let rest = |micros, moved| rest_after(Duration::from_micros(micros), moved);
        assert_eq!([rest(20, 100), rest(500, 0), rest(10_000, LARGE_PIPE)], [None; 3]);
        assert_eq!(rest(1_000, 100), Some(Duration::from_millis(20)));
        assert_eq!(rest(900_000, 100), Some(Duration::from_secs(1)));
    }

    fn at(micros: u64) -> BootInstant {
        BootInstant::since_boot(Duration::from_micros(micros))
    }

    /// Plays a writer of this many bytes per microsecond. Returns its flood, and the time and size of each move.
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
        // Long lines are no flood either.
        for line in 0..1_000 {
            flood.moved(at(60_000 + line * 1_000), 32 * 1024);
            assert_eq!(flood.visit(), None);
        }
        // Nor is a burst of a few lines.
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
