//! Model to text. Everything here is pure: what it needs to know of the world is an argument.
//!
//! | module | from | to |
//! |---|---|---|
//! | [`table`] | the whole view | the table of `status` |
//! | [`json`] | the whole view | the JSON of `status` |
//! | [`describe`] | everything about one | lines under headings |
//! | [`settings`] | one service of the file | names and values |
//! | [`explain`] | one service | why it is not simply as wanted |
//! | [`why`] | events | the chain of causes, the journal |
//! | [`lines`] | bytes of several services | whole lines with names before them |
//! | [`secret`] | settings | the same with secrets hidden |
//! | [`time`] | times | what a person reads |

pub(crate) mod describe;
pub(crate) mod explain;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod secret;
pub(crate) mod settings;
pub(crate) mod table;
pub(crate) mod terminal;
pub(crate) mod time;
pub(crate) mod why;

use anstyle::{AnsiColor, Style};
use proto::v1::{CheckState, ServiceState};

/// How text may look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Whether colour is wanted.
    pub(crate) colour: bool,
    /// Columns there are.
    pub(crate) width: usize,
}

impl Look {
    /// The text in a style, if colour is wanted.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if self.colour && style != PLAIN && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.into()
        }
    }
}

pub(crate) const PLAIN: Style = Style::new();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BUSY: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// How the state of a service looks.
pub(crate) fn state_style(state: ServiceState) -> Style {
    match state {
        ServiceState::Running => GOOD,
        ServiceState::Waiting | ServiceState::Starting | ServiceState::Stopping => BUSY,
        ServiceState::Backoff | ServiceState::Failed => BAD,
        ServiceState::Stopped | ServiceState::Completed | ServiceState::Unspecified => DIM,
    }
}

/// How the state of a check looks.
pub(crate) fn check_style(state: CheckState) -> Style {
    match state {
        CheckState::Passing => PLAIN,
        CheckState::Failing => BAD,
        CheckState::Unknown | CheckState::Unspecified => DIM,
    }
}

/// One line that can do nothing to a terminal: what a service or a file says is not ours to trust.
pub(crate) fn one_line(text: &str) -> String {
    text.trim_end().chars().map(proto::text::printable).collect()
}

/// The text cut to a width, with a mark where something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.into();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The text in lines of a width, broken at spaces where there are any; the first is indented by `first`, the others
/// by `rest`.
pub(crate) fn wrap(text: &str, width: usize, first: usize, rest: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = " ".repeat(first);
    let mut room = width.saturating_sub(first).max(1);
    let mut fresh = true;
    for word in text.split(' ') {
        let mut word = word;
        loop {
            let length = word.chars().count();
            let gap = usize::from(!fresh);
            if length + gap <= room {
                line.extend((!fresh).then_some(' '));
                line.push_str(word);
                room -= length + gap;
                fresh = false;
                break;
            }
            if fresh {
                // A word longer than a line is broken wherever it has to be.
                let at = word.char_indices().nth(room).map_or(word.len(), |(at, _)| at);
                line.push_str(&word[..at]);
                word = &word[at..];
            }
            lines.push(std::mem::replace(&mut line, " ".repeat(rest)));
            room = width.saturating_sub(rest).max(1);
            fresh = true;
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_service_says_reaches_the_terminal_as_a_command() {
        assert_eq!(one_line("a\x1b[2Jb\r\nc\n"), "a [2Jb  c");
    }

    #[test]
    fn wraps_at_spaces_and_breaks_what_is_too_long() {
        assert_eq!(wrap("one two three", 9, 2, 4), ["  one two", "    three"]);
        assert_eq!(wrap("abcdefgh", 6, 2, 2), ["  abcd", "  efgh"]);
        assert_eq!(wrap("", 6, 2, 2), ["  "]);
        assert_eq!(wrap("a b", 1, 2, 2), ["  a", "  b"]);
    }

    #[test]
    fn cuts_by_characters() {
        assert_eq!(cut("ñandú", 5), "ñandú");
        assert_eq!(cut("ñandúes", 5), "ñand…");
        assert_eq!(cut("ab", 0), "…");
    }
}
