//! Sanitizes text from outside for display on a terminal.

/// Returns the character, or a space in place of a character that could control a terminal or is invisible:
/// control characters, characters that change the order of the text around them, and invisible ones that
/// make two names look alike. The joiners U+200C and U+200D stay: Persian, Hindi and emoji need them.
pub fn printable(character: char) -> char {
    let reorders = matches!(
        character,
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{206F}'
    );
    // Line and paragraph separators break a table as a newline does.
    let breaks = matches!(character, '\u{2028}' | '\u{2029}');
    let invisible = matches!(
        character,
        '\u{00AD}' | '\u{180E}' | '\u{200B}' | '\u{2060}'..='\u{2065}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}'
    );
    if character.is_control() || reorders || breaks || invisible { ' ' } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_or_turns_text_around_becomes_a_space() {
        let plain: String = "a\x1b[31m\u{202E}b\u{2066}c\nd\u{2028}é 漢".chars().map(printable).collect();
        assert_eq!(plain, "a [31m b c d é 漢");
    }

    #[test]
    fn what_can_not_be_seen_becomes_a_space_and_joiners_stay() {
        let plain: String = "w\u{200B}e\u{FEFF}b\u{E0041} \u{200D}".chars().map(printable).collect();
        assert_eq!(plain, "w e b  \u{200D}");
    }
}
