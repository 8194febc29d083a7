//! Text from outside that a person will read on a terminal.

/// The character itself, or a space in place of one that could do something to a terminal: control characters, and the
/// invisible ones that change the order of the text around them.
pub fn printable(character: char) -> char {
    let reorders = matches!(
        character,
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
    );
    // Line and paragraph separators break a table as a newline does.
    let breaks = matches!(character, '\u{2028}' | '\u{2029}');
    if character.is_control() || reorders || breaks { ' ' } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_or_turns_text_around_becomes_a_space() {
        let plain: String = "a\x1b[31m\u{202E}b\u{2066}c\nd\u{2028}é 漢".chars().map(printable).collect();
        assert_eq!(plain, "a [31m b c d é 漢");
    }
}
