//! Renders the model as text. Everything here is pure: facts about the environment are arguments.
//!
//! | module | from | to |
//! |---|---|---|
//! | [`table`] | the whole view | the table of `status` |
//! | [`json`] | the whole view | the JSON of `status` |
//! | [`describe`] | everything about one service | lines under headings |
//! | [`check`] | one check | its words and its colour, for `status`, `describe` and `top` |
//! | [`settings`] | one service of the file | names and values |
//! | [`explain`] | one service | why it is not in its wanted state |
//! | [`incidents`] | incidents | a table, JSON, the first line of `why` |
//! | [`why`] | events | the chain of causes, the journal |
//! | [`lines`] | bytes of several services | whole lines, each with its service's name |
//! | [`secret`] | settings | the same with hidden secrets |
//! | [`time`] | times | text for display |

pub(crate) mod check;
pub(crate) mod describe;
pub(crate) mod explain;
pub(crate) mod incidents;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod secret;
pub(crate) mod settings;
pub(crate) mod table;
pub(crate) mod terminal;
pub(crate) mod time;
pub(crate) mod why;

use anstyle::{AnsiColor, Style};
use proto::v1::ServiceState;

/// Properties of the output that affect rendering.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Whether colour is wanted.
    pub(crate) colour: bool,
    /// Width of the output in columns.
    pub(crate) width: usize,
}

impl Look {
    /// Returns the text in a style, if colour is wanted.
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

/// Returns the style for the state of a service.
pub(crate) fn state_style(state: ServiceState) -> Style {
    match state {
        ServiceState::Running => GOOD,
        ServiceState::Waiting | ServiceState::Starting | ServiceState::Stopping => BUSY,
        ServiceState::Backoff | ServiceState::Failed => BAD,
        ServiceState::Stopped | ServiceState::Completed | ServiceState::Unspecified => DIM,
    }
}

/// Returns one line that is safe for a terminal: text from a service or a file is not trusted.
pub(crate) fn one_line(text: &str) -> String {
    text.trim_end().chars().map(proto::text::printable).collect()
}

/// Cuts the text to a width, with a mark if something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.into();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Wraps the text to a width, at spaces where possible. The first line is indented by `first`, the others
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
                // A word longer than a line is broken at the line's end.
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
