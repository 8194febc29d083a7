//! Pure: the last lines of a run, as evidence of why it ended.

use std::collections::VecDeque;

/// How many bytes of a log are looked at.
pub(super) const TAIL: u64 = 16 * 1024;
/// How many characters of a line are kept.
const LONGEST: usize = 190;

/// Returns the last lines of these bytes. `cut` means that the bytes may begin in the middle of a line.
pub fn last_lines(bytes: &[u8], cut: bool, count: usize) -> Vec<String> {
    let begin = if cut { bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) } else { 0 };
    let mut lines = VecDeque::with_capacity(count);
    for line in String::from_utf8_lossy(&bytes[begin..]).lines().filter(|line| !line.trim().is_empty()) {
        if lines.len() == count {
            lines.pop_front();
        }
        let clean = line.trim_end().chars().map(proto::text::printable);
        lines.push_back(clean.take(LONGEST).collect());
    }
    lines.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_end_and_nothing_that_moves_a_terminal() {
        let text = b"one\ntwo\n\nthr\x1bee\n\xff";
        assert_eq!(last_lines(text, false, 9), ["one", "two", "thr ee", "\u{fffd}"]);
        assert_eq!(last_lines(text, true, 9), ["two", "thr ee", "\u{fffd}"], "half a line is none");
        assert_eq!(last_lines(text, false, 2), ["thr ee", "\u{fffd}"]);
        assert_eq!(last_lines(b"no end of a line", true, 2), ["no end of a line"], "all that there is");
        assert!(last_lines(b"", true, 2).is_empty());
        assert_eq!(last_lines("x".repeat(1000).as_bytes(), false, 1)[0].len(), LONGEST);
    }
}
