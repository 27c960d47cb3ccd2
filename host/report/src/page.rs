//! Writing HTML.

use std::fmt::Write as _;

use crate::TEXT_CHARS_MAX;

/// A page that is being written. What comes from outside goes through [`Self::text`]; [`Self::markup`]
/// takes what stands in this crate's source alone.
pub(crate) struct Page {
    out: String,
}

impl Page {
    pub(crate) fn new() -> Self {
        Self {
            // A page with twenty features has about this.
            out: String::with_capacity(256 << 10),
        }
    }

    /// Markup, as it is.
    pub(crate) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.out.push_str(markup);
        self
    }

    /// Text, escaped for content and for quoted attributes; the first [`TEXT_CHARS_MAX`] characters of it.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        for (count, character) in text.chars().enumerate() {
            if count == TEXT_CHARS_MAX {
                self.out.push('…');
                break;
            }
            match character {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                // Controls, and what turns the direction of the text around it.
                '\u{0}'..='\u{1f}'
                | '\u{7f}'..='\u{9f}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' => self.out.push('\u{fffd}'),
                _ => self.out.push(character),
            }
        }
        self
    }

    /// Sentences, in which `backquotes` mark code. Where a mark has no partner, none marks anything.
    pub(crate) fn prose(&mut self, text: &str) -> &mut Self {
        if text.matches('`').count() % 2 == 1 {
            return self.text(text);
        }
        for (i, part) in text.split('`').enumerate() {
            match i % 2 {
                0 => self.text(part),
                _ => self.element("<code>", part, "</code>"),
            };
        }
        self
    }

    /// A coordinate or length of SVG.
    pub(crate) fn number(&mut self, number: f64) -> &mut Self {
        // Two digits are a hundredth of a pixel; what isn't finite has no place, and is drawn at 0.
        let number = if number.is_finite() { number } else { 0.0 };
        let _ = write!(self.out, "{}", (number * 100.0).round() / 100.0);
        self
    }

    /// An element with text alone.
    pub(crate) fn element(&mut self, open: &'static str, text: &str, close: &'static str) -> &mut Self {
        self.markup(open).text(text).markup(close)
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        let mut page = Page::new();
        page.text(text);
        page.finish()
    }

    #[test]
    fn nothing_gets_out_of_a_text() {
        assert_eq!(
            text("</p><script>alert(\"1\")</script> & 'x'"),
            "&lt;/p&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39;"
        );
        assert_eq!(text("a\u{202e}b\u{0}c\nd"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(
            text(&"x".repeat(TEXT_CHARS_MAX + 9)).chars().count(),
            TEXT_CHARS_MAX + 1
        );
    }

    #[test]
    fn backquotes_mark_code() {
        let prose = |text: &str| {
            let mut page = Page::new();
            page.prose(text);
            page.finish()
        };
        assert_eq!(prose("`a<b` is"), "<code>a&lt;b</code> is");
        assert_eq!(prose("a ` b"), "a ` b");
    }

    #[test]
    fn numbers_are_plain() {
        let mut page = Page::new();
        page.number(1.0 / 3.0)
            .markup(" ")
            .number(f64::NAN)
            .markup(" ")
            .number(-2.0);
        assert_eq!(page.finish(), "0.33 0 -2");
    }
}
