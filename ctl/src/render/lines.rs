//! Assembles arbitrary pieces of several outputs into whole lines, and prefixes them with names. Bytes are not changed.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use anstyle::{AnsiColor, Style};
use regex::bytes::Regex;

use super::{BAD, DIM, Look};

/// Maximum length of a line in bytes: a line without an end must not fill the memory.
const LONGEST: usize = 64 * 1024;

/// Colours that are readable on dark and on light backgrounds.
const COLOURS: [AnsiColor; 10] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightYellow,
    AnsiColor::BrightGreen,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightBlue,
];

/// The incomplete last line of every output of every service.
#[derive(Default)]
pub(crate) struct Lines {
    begun: BTreeMap<String, BTreeMap<i32, Vec<u8>>>,
}

impl Lines {
    /// Takes bytes and emits each line that is now complete, including its line end.
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

    /// Emits every incomplete line, with a line end added.
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

/// Service names before lines, padded to the same width, neighbours in different colours.
pub(crate) struct Prefixes {
    look: Look,
    width: usize,
    colours: BTreeMap<String, Style>,
}

impl Prefixes {
    /// Creates prefixes wide enough for these names.
    pub(crate) fn new(names: &[String], look: Look) -> Self {
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let mut prefixes = Self { look, width, colours: BTreeMap::new() };
        for name in names {
            prefixes.colour(name);
        }
        prefixes
    }

    /// Returns `name | ` in the colour of that name; the bar marks stderr.
    pub(crate) fn of(&mut self, name: &str, is_error: bool) -> String {
        self.width = self.width.max(name.chars().count());
        let style = self.colour(name);
        let name = self.look.paint(style, &format!("{name:<width$}", width = self.width));
        let bar = self.look.paint(if is_error { BAD } else { DIM }, "|");
        format!("{name} {bar} ")
    }

    fn colour(&mut self, name: &str) -> Style {
        if let Some(style) = self.colours.get(name) {
            return *style;
        }
        let style = COLOURS[self.colours.len() % COLOURS.len()].on_default();
        self.colours.insert(name.into(), style);
        style
    }
}

/// A pattern that is not a regular expression. Its text is a single line.
#[derive(Debug, thiserror::Error)]
#[error("{}", last_line(.0))]
pub(crate) struct BadPattern(#[from] regex::Error);

/// Returns the last line of the library's message, which draws an arrow over several lines.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// A filter for lines.
pub(crate) struct Matches {
    pattern: Regex,
    marks: bool,
}

impl Matches {
    /// Matches lines that contain the pattern; with `marks`, highlights the match.
    pub(crate) fn new(pattern: &str, marks: bool) -> Result<Self, BadPattern> {
        Ok(Self { pattern: Regex::new(pattern)?, marks })
    }

    /// Returns the line if it matches.
    pub(crate) fn find<'a>(&self, line: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if !self.pattern.is_match(text) {
            return None;
        }
        if !self.marks {
            return Some(Cow::Borrowed(line));
        }
        let mark = BAD.bold();
        let mut marked = Vec::with_capacity(line.len() + 16);
        let mut at = 0;
        for found in self.pattern.find_iter(text).filter(|found| !found.is_empty()) {
            marked.extend_from_slice(&text[at..found.start()]);
            marked.extend_from_slice(mark.render().to_string().as_bytes());
            marked.extend_from_slice(found.as_bytes());
            marked.extend_from_slice(mark.render_reset().to_string().as_bytes());
            at = found.end();
        }
        marked.extend_from_slice(&line[at..]);
        Some(Cow::Owned(marked))
    }
}

/// The last items of every output, at most `most` of each, in order of arrival.
pub(crate) struct Last<T> {
    most: usize,
    kept: VecDeque<(String, i32, T)>,
    counts: BTreeMap<(String, i32), usize>,
}

impl<T> Last<T> {
    pub(crate) fn new(most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self { most, kept: VecDeque::new(), counts: BTreeMap::new() }
    }

    pub(crate) fn push(&mut self, service: &str, stream: i32, thing: T) {
        let count = self.counts.entry((service.into(), stream)).or_default();
        if *count < self.most {
            *count += 1;
        } else {
            let is_it = |(of, which, _): &(String, i32, T)| of == service && *which == stream;
            let Some(oldest) = self.kept.iter().position(is_it) else { return };
            self.kept.remove(oldest);
        }
        self.kept.push_back((service.into(), stream, thing));
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = T> {
        self.kept.into_iter().map(|(_, _, thing)| thing)
    }
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
        let mut prefixes = Prefixes::new(&["db".into(), "web".into()], Look { colour: false, width: 80 });
        assert_eq!(prefixes.of("db", false), "db  | ");
        assert_eq!(prefixes.of("queue", true), "queue | ");
        assert_eq!(prefixes.of("db", false), "db    | ");
    }

    #[test]
    fn every_service_has_a_colour_of_its_own_and_keeps_it() {
        let names: Vec<String> = (0..COLOURS.len()).map(|number| format!("s{number}")).collect();
        let mut prefixes = Prefixes::new(&names, Look { colour: true, width: 80 });
        let begin = |text: String| text.split('s').next().map(str::to_owned);
        let colours: std::collections::BTreeSet<_> =
            names.iter().rev().map(|name| begin(prefixes.of(name, false))).collect();
        assert_eq!(colours.len(), names.len());
        assert_ne!(prefixes.of("s1", false), prefixes.of("s1", true), "stderr is told apart");
    }

    #[test]
    fn what_matches_is_found_and_marked() {
        let plain = Matches::new("b+", false).expect("a pattern");
        assert_eq!(plain.find(b"abba\n").as_deref(), Some(&b"abba\n"[..]));
        assert_eq!(plain.find(b"xyz\n"), None);
        let marked = Matches::new("b+|$", true).expect("a pattern").find(b"abba\n").expect("found");
        assert_eq!(marked.escape_ascii().to_string(), r"a\x1b[1m\x1b[31mbb\x1b[0ma\n");
        assert!(Matches::new("end$", false).expect("a pattern").find(b"the end\n").is_some());
        let error = Matches::new("a(", false).err().expect("refused");
        assert_eq!(error.to_string(), "unclosed group");
    }

    #[test]
    fn the_last_of_each_are_kept_in_the_order_they_came() {
        let mut last = Last::new(2);
        for (service, line) in [("a", 1), ("a", 2), ("b", 3), ("a", 4), ("b", 5), ("a", 6)] {
            last.push(service, 1, line);
        }
        assert_eq!(last.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
        let mut none = Last::new(0);
        none.push("a", 1, 1);
        assert_eq!(none.into_iter().count(), 0);
    }
}
