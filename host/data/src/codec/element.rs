//! From what was written to one element of a column, without loss or with an error.
//!
//! - Integers: exact, also where written `12.0` or `1.2e1`; a fraction is the wrong type, and what
//!   the type can't hold is out of range. Nothing wraps.
//! - Floats: rounded once to the nearest `fp32` or `fp64`; `fp16` and `bf16` by way of `fp64`. A
//!   finite number that would become infinite is out of range. `"NaN"`, `"Infinity"` and
//!   `"-Infinity"` are values.
//! - Text is text, bytes are base64 (RFC 4648 section 4, padded) or, where the format says so,
//!   the UTF-8 of a text.

use std::borrow::Cow;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use half::{bf16, f16};

use super::error::{DecodeError, code, cut, refuse};
use super::json::Reader;
use crate::batch::{Values, VarLen};
use crate::builder::Destination;
use crate::schema::DataType;

/// One written value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    Null,
    Bool(bool),
    /// A number as it is written.
    Number(&'a str),
    /// NaN or an infinity written bare.
    Special(f64),
    String(Cow<'a, str>),
    /// The start of a list.
    List,
    /// The start of an object.
    Object,
}

/// How a format writes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BytesAs {
    Base64,
    Utf8,
}

/// Where the elements of one column go, one after the other.
pub(crate) struct Elements<'b> {
    data_type: DataType,
    destination: Destination<'b>,
    bytes_as: BytesAs,
}

impl<'b> Elements<'b> {
    pub(crate) fn new(data_type: DataType, destination: Destination<'b>, bytes_as: BytesAs) -> Self {
        Self {
            data_type,
            destination,
            bytes_as,
        }
    }

    /// The next element.
    pub(crate) fn put(&mut self, token: &Token<'_>) -> Result<(), DecodeError> {
        let bytes_as = match self.data_type {
            DataType::Text => BytesAs::Utf8,
            _ => self.bytes_as,
        };
        match &mut self.destination {
            Destination::Numbers { values, range } => {
                let at = range.next().ok_or_else(|| no_room(self.data_type))?;
                put_number(values, at, token)
            }
            Destination::Texts(list) => put_text(list, self.data_type, bytes_as, token),
        }
    }

    /// Read the next element if it is a plain number of a column of `fp32` or `fp64`. Whatever else comes
    /// next, `false`, and nothing is read.
    #[inline]
    pub(crate) fn put_plain(&mut self, reader: &mut Reader<'_>) -> bool {
        let Destination::Numbers { values, range } = &mut self.destination else {
            return false;
        };
        if range.start >= range.end || !matches!(values, Values::Fp32(_) | Values::Fp64(_)) {
            return false;
        }
        let Some(number) = reader.plain_number() else {
            return false;
        };
        let put = match values {
            Values::Fp32(list) => place(list, range.start, number.to_f32()),
            Values::Fp64(list) => place(list, range.start, number.to_f64()),
            _ => false,
        };
        if put {
            range.start += 1;
            reader.advance(&number);
        }
        put
    }

    /// Put a number over the one that came `back` elements before the next.
    pub(crate) fn put_back(&mut self, back: usize, token: &Token<'_>) -> Result<(), DecodeError> {
        match &mut self.destination {
            Destination::Numbers { values, range } => {
                let at = range
                    .start
                    .checked_sub(back)
                    .ok_or_else(|| no_room(self.data_type))?;
                put_number(values, at, token)
            }
            Destination::Texts(_) => Err(wrong_type(self.data_type, token)),
        }
    }

    /// Leave out elements of a missing value: zero, false or the empty string.
    pub(crate) fn skip(&mut self, elements: usize) -> Result<(), DecodeError> {
        match &mut self.destination {
            Destination::Numbers { range, .. } => {
                if range.len() < elements {
                    return Err(no_room(self.data_type));
                }
                range.start += elements;
            }
            Destination::Texts(list) => {
                let end = list.offsets.last().copied().unwrap_or(0);
                list.offsets.resize(list.offsets.len() + elements, end);
            }
        }
        Ok(())
    }
}

#[inline]
fn place<T>(list: &mut [T], at: usize, value: Option<T>) -> bool {
    match (list.get_mut(at), value) {
        (Some(place), Some(value)) => {
            *place = value;
            true
        }
        _ => false,
    }
}

fn no_room(data_type: DataType) -> DecodeError {
    DecodeError::new(
        code::WRONG_SHAPE,
        format!("more {data_type} elements than the shape has"),
    )
}

fn put_number(values: &mut Values, at: usize, token: &Token<'_>) -> Result<(), DecodeError> {
    let data_type = values.data_type();
    macro_rules! put {
        ($list:expr, $value:expr) => {{
            let value = $value;
            *$list.get_mut(at).ok_or_else(|| no_room(data_type))? = value;
        }};
    }
    match values {
        Values::Boolean(list) => match token {
            Token::Bool(value) => put!(list, u8::from(*value)),
            other => return Err(wrong_type(data_type, other)),
        },
        Values::Uint8(list) => put!(list, integer(data_type, token)?),
        Values::Uint16(list) => put!(list, integer(data_type, token)?),
        Values::Uint32(list) => put!(list, integer(data_type, token)?),
        Values::Uint64(list) => put!(list, integer(data_type, token)?),
        Values::Int8(list) => put!(list, integer(data_type, token)?),
        Values::Int16(list) => put!(list, integer(data_type, token)?),
        Values::Int32(list) => put!(list, integer(data_type, token)?),
        Values::Int64(list) => put!(list, integer(data_type, token)?),
        Values::Fp16(list) => {
            let half = |v| f16::from_f64(v);
            put!(
                list,
                float(data_type, token, half, |v| v.is_infinite())?.to_bits()
            );
        }
        Values::Bf16(list) => {
            let half = |v| bf16::from_f64(v);
            put!(
                list,
                float(data_type, token, half, |v| v.is_infinite())?.to_bits()
            );
        }
        Values::Fp32(list) => match token {
            // Straight to fp32: by way of fp64 it would be rounded twice.
            Token::Number(text) => put!(list, finite(data_type, text, text.parse::<f32>().ok())?),
            other => put!(list, special(data_type, other)? as f32),
        },
        Values::Fp64(list) => put!(list, float(data_type, token, |v| v, |v| v.is_infinite())?),
        Values::Text(_) | Values::Bytes(_) => return Err(no_room(data_type)),
    }
    Ok(())
}

fn finite(data_type: DataType, text: &str, parsed: Option<f32>) -> Result<f32, DecodeError> {
    match parsed {
        Some(value) if value.is_finite() => Ok(value),
        Some(_) => Err(out_of_range(data_type, text)),
        None => Err(wrong_type(data_type, &Token::Number(text))),
    }
}

fn float<T>(
    data_type: DataType,
    token: &Token<'_>,
    round: impl Fn(f64) -> T,
    is_infinite: impl Fn(&T) -> bool,
) -> Result<T, DecodeError> {
    let Token::Number(text) = token else {
        return special(data_type, token).map(round);
    };
    match text.parse::<f64>().map(round) {
        Ok(value) if is_infinite(&value) => Err(out_of_range(data_type, text)),
        Ok(value) => Ok(value),
        Err(_) => Err(wrong_type(data_type, token)),
    }
}

fn special(data_type: DataType, token: &Token<'_>) -> Result<f64, DecodeError> {
    match token {
        Token::Special(value) => Ok(*value),
        Token::String(text) => match text.as_ref() {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(wrong_type(data_type, token)),
        },
        other => Err(wrong_type(data_type, other)),
    }
}

fn integer<T>(data_type: DataType, token: &Token<'_>) -> Result<T, DecodeError>
where
    T: FromStr + TryFrom<i128>,
{
    let Token::Number(text) = token else {
        return Err(wrong_type(data_type, token));
    };
    if let Ok(value) = text.parse() {
        return Ok(value);
    }
    match exact_integer(text) {
        Written::Integer(value) => T::try_from(value).map_err(|_| out_of_range(data_type, text)),
        Written::Huge => Err(out_of_range(data_type, text)),
        Written::Fraction => refuse(
            code::WRONG_TYPE,
            format!("{} has a fraction and the column is {data_type}", cut(text)),
        ),
        Written::Nothing => Err(wrong_type(data_type, token)),
    }
}

/// What a decimal number is, without rounding it.
enum Written {
    Integer(i128),
    /// An integer far beyond 64 bits.
    Huge,
    Fraction,
    /// No number at all.
    Nothing,
}

fn exact_integer(text: &str) -> Written {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        None => (unsigned, 0),
        Some((mantissa, exponent)) => {
            let digits = exponent.trim_start_matches(['+', '-']);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Written::Nothing;
            }
            // An exponent past 64 bits is as good as one at their end.
            let end = if exponent.starts_with('-') {
                i64::MIN / 2
            } else {
                i64::MAX / 2
            };
            (
                mantissa,
                exponent
                    .parse::<i64>()
                    .unwrap_or(end)
                    .clamp(i64::MIN / 2, i64::MAX / 2),
            )
        }
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction_digits = fraction.len() as i64;
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() && fraction.is_empty() || !digits().all(|b| b.is_ascii_digit()) {
        return Written::Nothing;
    }
    let Some(last) = digits()
        .enumerate()
        .filter(|&(_, b)| b != b'0')
        .map(|(i, _)| i)
        .last()
    else {
        return Written::Integer(0);
    };
    let significant = last + 1;
    let trailing_zeros = (whole.len() + fraction.len() - significant) as i64;
    let scale = exponent - fraction_digits + trailing_zeros;
    if scale < 0 {
        return Written::Fraction;
    }
    let mut value: i128 = 0;
    let zeros = std::iter::repeat_n(b'0', usize::try_from(scale).unwrap_or(usize::MAX).min(64));
    for digit in digits().take(significant).chain(zeros) {
        match value
            .checked_mul(10)
            .and_then(|v| v.checked_add(i128::from(digit - b'0')))
        {
            Some(next) => value = next,
            None => return Written::Huge,
        }
    }
    Written::Integer(if negative { -value } else { value })
}

fn put_text(
    list: &mut VarLen,
    data_type: DataType,
    bytes_as: BytesAs,
    token: &Token<'_>,
) -> Result<(), DecodeError> {
    let Token::String(text) = token else {
        return Err(wrong_type(data_type, token));
    };
    let too_large = || DecodeError::new(code::TOO_LARGE, "more than 4 GiB of text or bytes");
    match bytes_as {
        BytesAs::Utf8 => list.push(text.as_bytes()).ok_or_else(too_large),
        BytesAs::Base64 => {
            let start = list.data.len();
            let decoded = BASE64.decode_vec(text.as_bytes(), &mut list.data);
            let end = u32::try_from(list.data.len()).map_err(|_| too_large());
            match (decoded, end) {
                (Ok(()), Ok(end)) => {
                    list.offsets.push(end);
                    Ok(())
                }
                (decoded, end) => {
                    list.data.truncate(start);
                    decoded.map_err(|error| {
                        DecodeError::new(code::WRONG_TYPE, format!("bytes must be base64: {error}"))
                    })?;
                    end.map(drop)
                }
            }
        }
    }
}

pub(crate) fn out_of_range(data_type: DataType, text: &str) -> DecodeError {
    DecodeError::new(
        code::OUT_OF_RANGE,
        format!("{} is out of range for {data_type}", cut(text)),
    )
}

fn wrong_type(data_type: DataType, token: &Token<'_>) -> DecodeError {
    let wanted = match data_type {
        DataType::Boolean => "true or false",
        DataType::Text => "a string",
        DataType::Bytes => "a string of bytes",
        t if t.is_float() => "a number, \"NaN\", \"Infinity\" or \"-Infinity\"",
        _ => "an integer",
    };
    let found = match token {
        Token::Null => "null".to_owned(),
        Token::Bool(value) => value.to_string(),
        Token::Number(text) => cut(text).to_owned(),
        Token::Special(value) => value.to_string(),
        Token::String(text) => format!("{:?}", cut(text)),
        Token::List => "a list".to_owned(),
        Token::Object => "an object".to_owned(),
    };
    DecodeError::new(
        code::WRONG_TYPE,
        format!("found {found}; the column is {data_type}, which needs {wanted}"),
    )
}
