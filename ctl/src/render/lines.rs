//! Bytes of several outputs, cut anywhere, to whole lines, and the names that stand before them. Bytes stay bytes.

use std::collections::BTreeMap;

use anstyle::{AnsiColor, Style};

use super::Look;

/// A line is cut here, so that one without an end can not fill the memory.
const LONGEST: usize = 64 * 1024;

/// Colours that can be told apart on dark and on light.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightRed,
];

/// The begun line of every output of every service.
#[derive(Default)]
pub(crate) struct Lines {
    begun: BTreeMap<String, BTreeMap<i32, Vec<u8>>>,
}

impl Lines {
    /// Takes some bytes and gives each line that is now whole, its end included.
    pub(crate) fn take<E>(
        &mut self,
        service: &str,
        stream: i32,
        mut data: &[u8],
        mut emit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.begun.contains_key(service) {
            self.begun.insert(service.into(), BTreeMap::new());
        }
        let begun = self.begun.get_mut(service).expect("has just been put there").entry(stream).or_default();
        while !data.is_empty() {
            let room = &data[..data.len().min(LONGEST - begun.len())];
            let end = room.iter().position(|byte| *byte == b'\n');
            let (now, later) = data.split_at(end.map_or(room.len(), |end| end + 1));
            data = later;
            if begun.is_empty() && end.is_some() {
                emit(now)?;
                continue;
            }
            begun.extend_from_slice(now);
            if end.is_none() {
                if begun.len() < LONGEST {
                    return Ok(());
                }
                begun.push(b'\n');
            }
            emit(begun)?;
            begun.clear();
        }
        Ok(())
    }

    /// Gives every line that never got its end, with one.
    pub(crate) fn finish<E>(
        &mut self,
        mut emit: impl FnMut(&str, i32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (service, streams) in std::mem::take(&mut self.begun) {
            for (stream, mut line) in streams {
                if !line.is_empty() {
                    line.push(b'\n');
                    emit(&service, stream, &line)?;
                }
            }
        }
        Ok(())
    }
}

/// Names before lines, equally wide.
pub(crate) struct Prefixes {
    look: Look,
    width: usize,
}

impl Prefixes {
    /// Wide enough for these.
    pub(crate) fn new(names: &[String], look: Look) -> Self {
        Self { look, width: names.iter().map(|name| name.chars().count()).max().unwrap_or(0) }
    }

    /// `name | `, in a colour that is always the same one for a name.
    pub(crate) fn of(&mut self, name: &str) -> String {
        self.width = self.width.max(name.chars().count());
        self.look.paint(colour(name), &format!("{name:<width$} | ", width = self.width))
    }
}

fn colour(name: &str) -> Style {
    let sum = name.bytes().fold(7usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    COLOURS[sum % COLOURS.len()].on_default()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn assembled(pieces: &[(&str, i32, &[u8])]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut whole = Vec::new();
        for (service, stream, data) in pieces {
            let Ok(()) = lines.take(service, *stream, data, |line| {
                whole.push(format!("{service} {}", line.escape_ascii()));
                Ok::<(), Infallible>(())
            });
        }
        let Ok(()) = lines.finish(|service, _, line| {
            whole.push(format!("{service} {}", line.escape_ascii()));
            Ok::<(), Infallible>(())
        });
        whole
    }

    #[test]
    fn outputs_never_mix_within_a_line() {
        let whole = assembled(&[
            ("web", 1, b"he"),
            ("db", 1, b"one\ntwo\nth"),
            ("web", 2, b"err\n"),
            ("web", 1, b"llo\n"),
        ]);
        assert_eq!(whole, [r"db one\n", r"db two\n", r"web err\n", r"web hello\n", r"db th\n"]);
    }

    #[test]
    fn bytes_that_are_no_text_pass() {
        assert_eq!(assembled(&[("a", 1, b"\xff\x00"), ("a", 1, b"\xfe\n")]), [r"a \xff\x00\xfe\n"]);
    }

    #[test]
    fn a_line_without_an_end_is_cut_and_no_byte_is_lost() {
        let long = vec![b'x'; LONGEST * 2 + 5];
        for cut in [10, LONGEST, LONGEST + 1] {
            let whole = assembled(&[("a", 1, &long[..cut]), ("a", 1, &long[cut..])]);
            assert_eq!(whole.len(), 3);
            assert!(whole.iter().all(|line| line.ends_with(r"\n")));
            let count: usize = whole.iter().map(|line| line.matches('x').count()).sum();
            assert_eq!(count, long.len());
        }
    }

    #[test]
    fn prefixes_line_up_and_grow() {
        let mut prefixes = Prefixes::new(&["web".into(), "db".into()], Look { colour: false, width: 80 });
        assert_eq!(prefixes.of("db"), "db  | ");
        assert_eq!(prefixes.of("queue"), "queue | ");
        assert_eq!(prefixes.of("db"), "db    | ");
        let mut coloured = Prefixes::new(&[], Look { colour: true, width: 80 });
        assert!(coloured.of("db").starts_with("\x1b["));
    }
}
