//! Makes a service's output safe for a terminal: keeps its colours and text, and removes everything that
//! could control the terminal.

use proto::text::printable;

/// Maximum length of an escape sequence that is accepted as a colour.
const LONGEST: usize = 64;

/// Makes bytes that come in pieces safe; a piece may end anywhere.
#[derive(Debug, Default)]
pub(crate) struct SafeText {
    /// The beginning of an incomplete character.
    bytes: Vec<u8>,
    /// An incomplete escape sequence, or a carriage return whose next character is unknown.
    pending: String,
}

impl SafeText {
    /// Returns the safe text of this piece and of what was pending before it.
    pub(crate) fn next(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(piece);
        let mut safe = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            chunk.valid().chars().for_each(|c| self.take(c, &mut safe));
            let rest = chunk.invalid();
            if chunks.peek().is_none()
                && std::str::from_utf8(rest).is_err_and(|error| error.error_len().is_none())
            {
                self.bytes = rest.to_vec();
            } else if !rest.is_empty() {
                self.take(char::REPLACEMENT_CHARACTER, &mut safe);
            }
        }
        safe
    }

    fn take(&mut self, c: char, safe: &mut String) {
        let is_colour = self.pending.starts_with("\x1b[");
        match c {
            '[' if self.pending == "\x1b" => self.pending.push(c),
            '0'..='9' | ';' | ':' if is_colour && self.pending.len() < LONGEST => self.pending.push(c),
            'm' if is_colour => {
                safe.push_str(&std::mem::take(&mut self.pending));
                safe.push(c);
            }
            // A CR LF line end is written as LF.
            '\n' if self.pending == "\r" => {
                self.pending.clear();
                safe.push(c);
            }
            _ => {
                // The sequence was not a colour.
                safe.extend(self.pending.drain(..).map(printable));
                match c {
                    '\x1b' | '\r' => self.pending.push(c),
                    '\n' | '\t' => safe.push(c),
                    c => safe.push(printable(c)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_text_stay_and_all_else_becomes_spaces() {
        let mut safe = SafeText::default();
        let all = safe
            .next("\x1b[1;31mred\x1b[0m é\t漢\r\nx\r50%\x1b[2J\x1b]0;own\x07\u{9b}3\u{202e}y\n".as_bytes());
        assert_eq!(all, "\x1b[1;31mred\x1b[0m é\t漢\nx 50% [2J ]0;own  3 y\n");
        assert_eq!(safe.next(b"a\xffb\n"), "a\u{fffd}b\n");
    }

    #[test]
    fn pieces_may_end_anywhere() {
        let text = "\x1b[1;31mé\x1b[0m\x1b[2J\u{202e}\r\n漢\n".as_bytes();
        let whole = SafeText::default().next(text);
        for cut in 0..text.len() {
            let mut safe = SafeText::default();
            let pieces = safe.next(&text[..cut]) + &safe.next(&text[cut..]);
            assert_eq!(pieces, whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_sequence_that_never_ends_is_text() {
        let mut safe = SafeText::default();
        let shown = safe.next(format!("\x1b[{}", "1".repeat(1000)).as_bytes());
        assert!(!shown.contains('\x1b') && shown.len() > 900, "{shown}");
    }
}
