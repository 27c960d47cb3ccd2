//! Guests' text made fit for logs and errors.

/// The first `bytes_max` bytes of `text`, cut at a character, with every control character escaped,
/// so that no guest can forge a log line or move a terminal's cursor.
pub(crate) fn tame(text: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes_max) + CUT.len());
    for c in text.chars() {
        if out.len() + c.len_utf8() > bytes_max {
            out.push_str(CUT);
            return out;
        }
        if is_unsafe(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// What shows that a text was cut.
const CUT: &str = "…";

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
        assert_eq!(
            tame("a\nERROR forged\r\u{1b}[2J", 100),
            "a\\nERROR forged\\r\\u{1b}[2J"
        );
        assert_eq!(tame("x\u{202e}y", 100), "x\\u{202e}y");
        assert_eq!(tame("ééé", 3), "é…");
        assert_eq!(tame("", 0), "");
    }
}
