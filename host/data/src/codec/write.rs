//! Elements as JSON text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use half::{bf16, f16};
use serde::Serialize;

use crate::batch::{Column, Values};

/// How NaN and infinities are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloatForm {
    /// `"NaN"`, `"Infinity"`, `"-Infinity"`.
    Quoted,
    /// `NaN`, `Infinity`, `-Infinity`, which is not JSON.
    Bare,
    /// `null`.
    Null,
}

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BytesForm {
    /// In base64.
    Base64,
    /// As text. Only for bytes that are UTF-8.
    Utf8,
}

/// Writes the elements of one column.
#[derive(Clone, Copy)]
pub(crate) struct ElementWriter<'a> {
    values: &'a Values,
    start: usize,
    floats: FloatForm,
    bytes: BytesForm,
}

impl<'a> ElementWriter<'a> {
    pub(crate) fn new(column: &Column<'a>, floats: FloatForm, bytes: BytesForm) -> Self {
        let (values, range) = column.block_range();
        Self {
            values,
            start: range.start,
            floats,
            bytes,
        }
    }

    /// Write element `index` of the column.
    pub(crate) fn write(&self, out: &mut Vec<u8>, index: usize) {
        let at = self.start + index;
        macro_rules! each {
            ($list:expr, $value:ident => $write:expr) => {
                if let Some(&$value) = $list.get(at) {
                    $write
                }
            };
        }
        match self.values {
            Values::Boolean(list) => each!(list, v => json(out, &(v != 0))),
            Values::Uint8(list) => each!(list, v => json(out, &v)),
            Values::Uint16(list) => each!(list, v => json(out, &v)),
            Values::Uint32(list) => each!(list, v => json(out, &v)),
            Values::Uint64(list) => each!(list, v => json(out, &v)),
            Values::Int8(list) => each!(list, v => json(out, &v)),
            Values::Int16(list) => each!(list, v => json(out, &v)),
            Values::Int32(list) => each!(list, v => json(out, &v)),
            Values::Int64(list) => each!(list, v => json(out, &v)),
            Values::Fp16(list) => each!(list, v => self.float(out, f16::from_bits(v).to_f32())),
            Values::Bf16(list) => each!(list, v => self.float(out, bf16::from_bits(v).to_f32())),
            Values::Fp32(list) => each!(list, v => self.float(out, v)),
            Values::Fp64(list) => each!(list, v => self.float(out, v)),
            Values::Text(list) => {
                if let Some(text) = list.get(at).and_then(|b| std::str::from_utf8(b).ok()) {
                    write_json_string(out, text);
                }
            }
            Values::Bytes(list) => {
                let Some(bytes) = list.get(at) else { return };
                match (self.bytes, std::str::from_utf8(bytes)) {
                    (BytesForm::Utf8, Ok(text)) => write_json_string(out, text),
                    _ => {
                        out.push(b'"');
                        write_base64(out, bytes);
                        out.push(b'"');
                    }
                }
            }
        }
    }

    fn float<T: Into<f64> + Copy + Serialize>(&self, out: &mut Vec<u8>, value: T) {
        let wide: f64 = value.into();
        if wide.is_finite() {
            return json(out, &value);
        }
        let word = match (wide.is_nan(), wide > 0.0) {
            (true, _) => "NaN",
            (false, true) => "Infinity",
            (false, false) => "-Infinity",
        };
        match self.floats {
            FloatForm::Null => out.extend_from_slice(b"null"),
            FloatForm::Bare => out.extend_from_slice(word.as_bytes()),
            FloatForm::Quoted => {
                out.push(b'"');
                out.extend_from_slice(word.as_bytes());
                out.push(b'"');
            }
        }
    }

    /// Write one value of this shape as lists in lists, from element `next` on; `next` then is the
    /// element after it.
    pub(crate) fn write_nested(&self, out: &mut Vec<u8>, shape: &[u32], next: &mut usize) {
        let Some((&length, inner)) = shape.split_first() else {
            self.write(out, *next);
            *next += 1;
            return;
        };
        out.push(b'[');
        for i in 0..length {
            if i > 0 {
                out.push(b',');
            }
            self.write_nested(out, inner, next);
        }
        out.push(b']');
    }
}

/// Write a number or a boolean: the shortest text that gives the same value back.
fn json<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    // A `Vec` takes every write.
    _ = serde_json::to_writer(out, value);
}

/// Write a string in quotes.
pub(crate) fn write_json_string(out: &mut Vec<u8>, text: &str) {
    _ = serde_json::to_writer(out, text);
}

/// Write bytes in base64, without quotes.
pub(crate) fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
}
