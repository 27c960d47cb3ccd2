//! Text from requests made fit for a log.

/// What shows that a text was cut.
const CUT: &str = "…";

/// `text` in at most `bytes_max` bytes, cut at a character, with every control character escaped,
/// so that no request can forge a line, move a terminal's cursor, or fill the disk.
pub(crate) fn tame(text: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes_max) + CUT.len());
    // Up to where it is kept if it must be cut.
    let mut kept = 0;
    for c in text.chars() {
        if out.len() + CUT.len() <= bytes_max {
            kept = out.len();
        }
        if is_unsafe(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        if out.len() > bytes_max {
            out.truncate(kept);
            out.push_str(CUT);
            return out;
        }
    }
    out
}

/// Control characters, line and paragraph separators, and the marks that reorder a line's display.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::tame;

    #[test]
    fn control_characters_are_escaped_and_long_text_is_cut_at_a_character() {
        assert_eq!(tame("plain ünïcode", 100), "plain ünïcode");
        assert_eq!(tame("a\nforged\r\u{1b}[2J", 100), "a\\nforged\\r\\u{1b}[2J");
        assert_eq!(tame("x\u{202e}y", 100), "x\\u{202e}y");
        assert_eq!(tame("123456", 6), "123456");
        assert_eq!(tame("1234567", 6), "123…");
        assert_eq!(tame("éééé", 6), "é…");
        assert_eq!(tame("12\u{1b}\u{1b}", 8), "12…");
        assert_eq!(tame("", 3), "");
    }
}
