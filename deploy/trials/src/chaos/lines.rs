//! Pure: compares written lines with the logs. Each line names its writer and number, so that a lost,
//! duplicated, torn or misplaced line is detected.

use std::collections::BTreeMap;

/// Maximum number of complaints: one fault causes thousands.
const COMPLAINTS: usize = 20;

/// Maximum padding. Lines have different lengths, so that a cut may fall anywhere in a line.
const PADDING: u64 = 48;

/// Name and incarnation of a line's writer.
pub type Writer = (String, u64);

/// Returns line `number` of a writer, including its line end.
pub fn line(name: &str, incarnation: u64, number: u64) -> String {
    let padding = usize::try_from(number % PADDING).unwrap_or(0);
    format!("{name} {incarnation} {number} {}\n", ".".repeat(padding))
}

/// Findings in the logs.
#[derive(Debug, Default)]
pub struct Kept {
    last: BTreeMap<Writer, u64>,
    lines: u64,
    wrong: Vec<String>,
}

impl Kept {
    /// Checks all log text of one output, oldest first.
    pub fn read(&mut self, log: &str, text: &[u8]) {
        let mut newest = BTreeMap::new();
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            self.lines += 1;
            let Some((writer, number)) = parse(piece) else {
                let shown = String::from_utf8_lossy(&piece[..piece.len().min(120)]);
                self.complain(format!("{log}: not a line that anybody wrote: {:?}", shown.trim_end()));
                continue;
            };
            let (name, incarnation) = &writer;
            let before = self.last.get(&writer).copied().unwrap_or(0);
            if number != before + 1 {
                self.complain(format!("{log}: {name} {incarnation}: line {number} follows line {before}"));
            }
            let newest = newest.entry(name.clone()).or_insert(0);
            if incarnation < newest {
                self.complain(format!("{log}: {name} {incarnation}: line {number} follows run {newest}"));
            }
            *newest = (*newest).max(*incarnation);
            self.last.insert(writer, number);
        }
    }

    /// Returns the total number of lines.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Returns the number of lines of a writer.
    pub fn of(&self, writer: &Writer) -> u64 {
        self.last.get(writer).copied().unwrap_or(0)
    }

    /// Returns the errors found.
    pub fn wrong(self) -> Vec<String> {
        self.wrong
    }

    fn complain(&mut self, complaint: String) {
        if self.wrong.len() < COMPLAINTS {
            self.wrong.push(complaint);
        }
    }
}

/// Parses a line in the exact form that [`line`] produces.
fn parse(piece: &[u8]) -> Option<(Writer, u64)> {
    let text = std::str::from_utf8(piece).ok()?;
    let mut words = text.split(' ');
    let (name, incarnation, number) =
        (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (line(name, incarnation, number) == text).then(|| ((name.into(), incarnation), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[(u64, u64)]) -> String {
        lines.iter().map(|(incarnation, number)| line("s", *incarnation, *number)).collect()
    }

    fn wrong(text: &str) -> Vec<String> {
        let mut kept = Kept::default();
        kept.read("log", text.as_bytes());
        kept.wrong()
    }

    #[test]
    fn what_was_written_is_right() {
        let mut kept = Kept::default();
        kept.read("log", text(&[(1, 1), (1, 2), (3, 1), (3, 2), (3, 3)]).as_bytes());
        assert_eq!((kept.lines(), kept.of(&("s".into(), 3)), kept.of(&("s".into(), 2))), (5, 3, 0));
        assert_eq!(kept.wrong(), [""; 0]);
    }

    #[test]
    fn lost_doubled_and_misplaced_lines_are_seen() {
        assert_eq!(wrong(&text(&[(1, 1), (1, 3)])), ["log: s 1: line 3 follows line 1"]);
        assert_eq!(wrong(&text(&[(1, 1), (1, 1)])), ["log: s 1: line 1 follows line 1"]);
        assert_eq!(wrong(&text(&[(1, 2)])), ["log: s 1: line 2 follows line 0"]);
        assert_eq!(wrong(&text(&[(2, 1), (1, 1)])), ["log: s 1: line 1 follows run 2"]);
    }

    #[test]
    fn torn_and_foreign_lines_are_seen() {
        for torn in
            ["s 1 1", "s 1 1 .", "s 1 47 .....\n", "s 1 1 ..\n", "\n", "[sereno: 5 bytes]\n", "s 1 1 .\n\n"]
        {
            assert!(!wrong(torn).is_empty(), "{torn:?}");
        }
        let two = text(&[(1, 1), (1, 2)]);
        assert!(!wrong(&format!("{}{}", &two[..3], &two[5..])).is_empty());
    }
}
