//! Responses, and the requests of a client.

use std::io::Write as _;

use super::{BASE64, BINARY_DATA_SIZE, CONTENT_TYPE, NanPolicy, OutputChoice};
use crate::batch::{Batch, Column, Values};
use crate::codec::{BytesForm, ElementWriter, FloatForm, write_json_string};
use crate::oip_binary::{tensor_size, write_tensor};

/// Room for what is no data in an answer of usual size, so that it needn't grow.
const HEAD_BYTES: usize = 256;

/// What a response says besides its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// The model that answers.
    pub model_name: &'a str,
    /// Its version, where it has one.
    pub model_version: Option<&'a str>,
    /// The request's id, where it gave one.
    pub id: Option<&'a str>,
}

/// An encoded body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The JSON, and the binary tensors behind it.
    pub body: Vec<u8>,
    /// Bytes of the JSON, for the header `Inference-Header-Content-Length`; `None` where the whole
    /// body is JSON.
    pub json_bytes: Option<usize>,
}

/// Write a response with these outputs.
///
/// An output with missing values is written as JSON even where a binary tensor was chosen, for a
/// binary tensor can't say `null`.
pub fn encode_response(
    head: &ResponseHead<'_>,
    batch: &Batch,
    outputs: &[OutputChoice],
    nan: NanPolicy,
) -> Encoded {
    let mut out = Vec::with_capacity(HEAD_BYTES);
    out.extend_from_slice(b"{\"model_name\":");
    write_json_string(&mut out, head.model_name);
    for (key, value) in [("model_version", head.model_version), ("id", head.id)] {
        if let Some(value) = value {
            out.push(b',');
            write_json_string(&mut out, key);
            out.push(b':');
            write_json_string(&mut out, value);
        }
    }
    out.extend_from_slice(b",\"outputs\":");
    encode_tensors(out, batch, outputs, nan)
}

/// Write the request that asks for an answer to a batch, as a client does. `binary` chooses binary
/// tensors for all inputs without missing values, and for the answer.
pub fn encode_request(id: Option<&str>, batch: &Batch, binary: bool) -> Encoded {
    let mut out = vec![b'{'];
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        write_json_string(&mut out, id);
        out.push(b',');
    }
    if binary {
        out.extend_from_slice(b"\"parameters\":{\"binary_data_output\":true},");
    }
    out.extend_from_slice(b"\"inputs\":");
    let all: Vec<_> = (0..batch.schema().len())
        .map(|column| OutputChoice { column, binary })
        .collect();
    encode_tensors(out, batch, &all, NanPolicy::Token)
}

/// Append the list of tensors, the closing brace, and the binary part. Writing to a list of bytes can't fail.
fn encode_tensors(mut out: Vec<u8>, batch: &Batch, choices: &[OutputChoice], nan: NanPolicy) -> Encoded {
    let mut tensors = Vec::new();
    let mut tensor_bytes = 0;
    out.push(b'[');
    let columns = choices
        .iter()
        .filter_map(|c| Some((batch.column(c.column)?, c.binary)));
    for (i, (column, binary)) in columns.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let has_missing = column.validity().first_missing(column.rows()).is_some();
        write_head(&mut out, &column);
        if binary && !has_missing {
            let size = tensor_size(&column);
            let _ = write!(out, ",\"parameters\":{{\"{BINARY_DATA_SIZE}\":{size}}}");
            tensor_bytes += size;
            tensors.push(column);
        } else {
            write_data(&mut out, &column, has_missing, nan);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    let json_bytes = (!tensors.is_empty()).then_some(out.len());
    // Their sizes are known, so the tensors go straight behind the JSON, each byte copied once.
    out.reserve_exact(tensor_bytes);
    for column in &tensors {
        write_tensor(column, &mut out);
    }
    Encoded {
        body: out,
        json_bytes,
    }
}

/// Name, datatype and shape; the object stays open.
fn write_head(out: &mut Vec<u8>, column: &Column<'_>) {
    let field = column.field();
    out.extend_from_slice(b"{\"name\":");
    write_json_string(out, &field.name);
    let _ = write!(
        out,
        ",\"datatype\":\"{}\",\"shape\":[{}",
        field.data_type.oip_name(),
        column.rows()
    );
    for dimension in &field.shape {
        let _ = write!(out, ",{dimension}");
    }
    out.push(b']');
}

fn write_data(out: &mut Vec<u8>, column: &Column<'_>, has_missing: bool, nan: NanPolicy) {
    let bytes = if is_text(column) {
        BytesForm::Utf8
    } else {
        let _ = write!(out, ",\"parameters\":{{\"{CONTENT_TYPE}\":\"{BASE64}\"}}");
        BytesForm::Base64
    };
    let floats = match nan {
        NanPolicy::Token => FloatForm::Bare,
        NanPolicy::Null => FloatForm::Null,
    };
    let writer = ElementWriter::new(column, floats, bytes);
    let row_elements = column.field().row_elements();
    out.extend_from_slice(b",\"data\":[");
    out.reserve(column.elements().saturating_mul(12));
    for row in 0..column.rows() {
        let present = column.validity().is_present(row);
        if row_elements == 0 && has_missing {
            // Nothing would be there to be null, so the rows themselves are written.
            out.extend_from_slice(if row > 0 { b"," } else { b"" });
            if present {
                writer.write_nested(out, &column.field().shape, &mut 0);
            } else {
                out.extend_from_slice(b"null");
            }
        }
        for element in row * row_elements..(row + 1) * row_elements {
            if element > 0 {
                out.push(b',');
            }
            if present {
                writer.write(out, element);
            } else {
                out.extend_from_slice(b"null");
            }
        }
    }
    out.push(b']');
}

/// Can every element be written as a string? True for all but bytes that aren't UTF-8.
fn is_text(column: &Column<'_>) -> bool {
    let (Values::Bytes(list), range) = column.block_range() else {
        return true;
    };
    let mut elements = range.filter_map(|at| list.get(at));
    elements.all(|bytes| std::str::from_utf8(bytes).is_ok())
}
