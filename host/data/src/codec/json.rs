//! A pull reader of JSON text that hands out tokens instead of values.
//!
//! serde_json's `Deserializer` decides how to parse a number before it is known what the number is
//! for: an `fp32` next to `"NaN"` needs `deserialize_any`, which parses binary64 and rounds twice
//! (7.038531e-26 comes out one bit off). Here a number stays text until its column's type parses
//! it, so every integer keeps its bits and every float is rounded once; and the bare `NaN` that
//! Python clients write is just one more token. Escaped strings and free-form members go through
//! serde_json all the same.
//!
//! Nothing recurses, and nothing allocates but escaped strings.

use std::borrow::Cow;

use super::element::Token;
use super::error::{DecodeError, code, cut, refuse};
use super::number::Decimal;

/// Depth of free-form members: below serde_json's own limit of 128, far above any use.
const DEPTH_MAX: usize = 100;

/// Where in a JSON text we are.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Are bare `NaN`, `Infinity` and `-Infinity` numbers?
    bare_nan: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8], bare_nan: bool) -> Result<Self, DecodeError> {
        match std::str::from_utf8(body) {
            Ok(text) => Ok(Self {
                text,
                at: 0,
                bare_nan,
            }),
            Err(error) => refuse(
                code::INVALID_UTF8,
                format!("invalid UTF-8 at byte {}", error.valid_up_to()),
            ),
        }
    }

    /// A reader of a value that [`Reader::skip`] gave; bare NaN is a number there.
    pub(crate) fn of_value(text: &'a str) -> Self {
        let bare_nan = true;
        Self {
            text,
            at: 0,
            bare_nan,
        }
    }

    /// Bytes not yet read: an upper bound of what may still come.
    pub(crate) fn bytes_left(&self) -> usize {
        self.text.len() - self.at
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The first byte of the next token.
    pub(crate) fn peek(&mut self) -> Result<u8, DecodeError> {
        while let Some(byte) = self.byte() {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(byte);
            }
            self.at += 1;
        }
        refuse(code::BAD_JSON, "the JSON text ends too early")
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T, DecodeError> {
        let before = self.text.get(..self.at).unwrap_or_default();
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => format!("found {found:?}"),
            None => "the text ends".to_owned(),
        };
        refuse(
            code::BAD_JSON,
            format!("expected {wanted} at line {line} column {column}, {found}"),
        )
    }

    /// Read `{` or `[`, if it comes next.
    pub(crate) fn opens(&mut self, open: u8) -> Result<bool, DecodeError> {
        let yes = self.peek()? == open;
        self.at += usize::from(yes);
        Ok(yes)
    }

    /// Is there one more member or element? Reads the comma before it, or the closing bracket.
    /// `first` starts as true.
    pub(crate) fn more(&mut self, close: u8, first: &mut bool) -> Result<bool, DecodeError> {
        let next = self.peek()?;
        if next == close {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::replace(first, false) {
            if next != b',' {
                return self.unexpected(if close == b']' { "`,` or `]`" } else { "`,` or `}`" });
            }
            self.at += 1;
            if self.peek()? == close {
                return self.unexpected("a value");
            }
        }
        Ok(true)
    }

    /// The name of a member, and the colon after it.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        if self.peek()? != b'"' {
            return self.unexpected("a name in quotes");
        }
        let key = self.string()?;
        if self.peek()? != b':' {
            return self.unexpected("`:`");
        }
        self.at += 1;
        Ok(key)
    }

    /// Read `null`, if it comes next.
    pub(crate) fn null(&mut self) -> Result<bool, DecodeError> {
        Ok(self.peek()? == b'n' && self.word()? == Token::Null)
    }

    /// The next value, if it is no list or object: those are only announced.
    pub(crate) fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        match self.peek()? {
            b'"' => self.string().map(Token::String),
            b'[' => Ok(Token::List),
            b'{' => Ok(Token::Object),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Token<'a>, DecodeError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest
            .bytes()
            .position(|b| !b.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let token = match rest.get(..end).unwrap_or_default() {
            "null" => Token::Null,
            "true" => Token::Bool(true),
            "false" => Token::Bool(false),
            "NaN" if self.bare_nan => Token::Special(f64::NAN),
            "Infinity" if self.bare_nan => Token::Special(f64::INFINITY),
            _ => return self.unexpected("a value"),
        };
        self.at += end;
        Ok(token)
    }

    fn number(&mut self) -> Result<Token<'a>, DecodeError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if self.bare_nan && rest.starts_with("-Infinity") {
            self.at += "-Infinity".len();
            return Ok(Token::Special(f64::NEG_INFINITY));
        }
        let (length, whole) = number_length(rest.as_bytes());
        self.at += length;
        if !whole {
            return self.unexpected("a digit");
        }
        match self.byte() {
            // `01`, `1x`: whoever reads on would find it too, with a poorer message.
            Some(b) if b.is_ascii_alphanumeric() => self.unexpected("the end of a number"),
            _ => Ok(Token::Number(rest.get(..length).unwrap_or_default())),
        }
    }

    /// A plain number that comes next just so. It is not read before [`Reader::advance`].
    #[inline]
    pub(crate) fn plain_number(&self) -> Option<Decimal> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let number = Decimal::read(rest)?;
        matches!(
            rest.get(number.length),
            Some(b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t')
        )
        .then_some(number)
    }

    /// The number that [`Reader::plain_number`] gave is read.
    #[inline]
    pub(crate) fn advance(&mut self, number: &Decimal) {
        self.at += number.length;
    }

    /// Read `"name":` of this very name, if it comes next just so. Only for names that JSON writes
    /// without escapes.
    pub(crate) fn plain_key(&mut self, name: &str) -> Result<bool, DecodeError> {
        self.peek()?;
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let found = rest
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.starts_with(b"\":"));
        if found {
            self.at += name.len() + 3;
        }
        Ok(found)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = start;
        let mut escaped = false;
        loop {
            let rest = bytes.get(end..).unwrap_or_default();
            match rest.iter().position(|&b| ends_plain_text(b)) {
                Some(length) => end += length,
                None => return refuse(code::BAD_JSON, "the JSON text ends in a string"),
            }
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    end += 2;
                }
                _ => {
                    self.at = end;
                    return self.unexpected("no control character in a string");
                }
            }
        }
        self.at = end + 1;
        if !escaped {
            return Ok(Cow::Borrowed(self.text.get(start..end).unwrap_or_default()));
        }
        let quoted = self.text.get(start - 1..=end).unwrap_or_default();
        match serde_json::from_str(quoted) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(error) => refuse(code::BAD_JSON, format!("in the string {}: {error}", cut(quoted))),
        }
    }

    /// Go past a list that is read later, and give its text. A list of lists, or with texts in it, is
    /// checked on the way; one without is taken to end at its first bracket, and checked when it is read.
    pub(crate) fn skip_list(&mut self) -> Result<&'a str, DecodeError> {
        if self.peek()? == b'[' {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let inside = rest.as_bytes().get(1..).unwrap_or_default();
            let end = memchr::memchr3(b'[', b']', b'"', inside).map(|at| at + 1);
            if let Some(end) = end.filter(|&end| rest.as_bytes().get(end) == Some(&b']')) {
                self.at += end + 1;
                return Ok(rest.get(..=end).unwrap_or_default());
            }
        }
        self.skip()
    }

    /// Read a value of any kind and give its text. Checks the JSON but for the names of members.
    pub(crate) fn skip(&mut self) -> Result<&'a str, DecodeError> {
        self.peek()?;
        let start = self.at;
        let mut open: Vec<u8> = Vec::new();
        let mut first = true;
        loop {
            match self.token()? {
                Token::List | Token::Object if open.len() == DEPTH_MAX => {
                    return refuse(
                        code::TOO_DEEP,
                        format!("lists and objects nest deeper than {DEPTH_MAX}"),
                    );
                }
                Token::List => {
                    self.at += 1;
                    open.push(b']');
                    first = true;
                }
                Token::Object => {
                    self.at += 1;
                    open.push(b'}');
                    first = true;
                }
                _ => {}
            }
            // Close what ends here; stop before the next element, or after the outermost bracket.
            loop {
                let Some(&close) = open.last() else {
                    return Ok(self.text.get(start..self.at).unwrap_or_default());
                };
                if self.more(close, &mut first)? {
                    if close == b'}' {
                        self.key()?;
                    }
                    break;
                }
                open.pop();
                first = false;
            }
        }
    }

    /// A free-form object, or null.
    pub(crate) fn object(
        &mut self,
        what: &str,
        bytes_max: usize,
    ) -> Result<Option<serde_json::Map<String, serde_json::Value>>, DecodeError> {
        let text = self.skip()?;
        if text.len() > bytes_max {
            return refuse(
                code::TOO_LARGE,
                format!(
                    "`{what}` has {} bytes; at most {bytes_max} are allowed",
                    text.len()
                ),
            );
        }
        match serde_json::from_str(text) {
            Ok(object) => Ok(object),
            Err(error) if error.is_data() => {
                refuse(code::BAD_REQUEST, format!("`{what}` must be an object: {error}"))
            }
            Err(error) => refuse(code::BAD_JSON, format!("in `{what}`: {error}")),
        }
    }

    /// Nothing but white space may be left.
    pub(crate) fn end(&mut self) -> Result<(), DecodeError> {
        match self.peek() {
            Err(_) => Ok(()),
            Ok(_) => self.unexpected("the end of the text"),
        }
    }
}

/// Does JSON write this text in quotes just as it is?
pub(crate) fn is_plain(text: &str) -> bool {
    !text.bytes().any(ends_plain_text)
}

fn ends_plain_text(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// How far a number reaches, and whether it is whole: `1.` and `-` lack a digit.
fn number_length(bytes: &[u8]) -> (usize, bool) {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let digits = |mut at: usize| {
        while byte(at).is_ascii_digit() {
            at += 1;
        }
        at
    };
    let start = usize::from(byte(0) == b'-');
    let mut at = if byte(start) == b'0' {
        start + 1
    } else {
        digits(start)
    };
    let mut whole = at > start;
    if whole && byte(at) == b'.' {
        let fraction = at + 1;
        at = digits(fraction);
        whole = at > fraction;
    }
    if whole && matches!(byte(at), b'e' | b'E') {
        let sign = usize::from(matches!(byte(at + 1), b'+' | b'-'));
        let exponent = at + 1 + sign;
        at = digits(exponent);
        whole = at > exponent;
    }
    (at, whole)
}
