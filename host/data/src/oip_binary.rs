//! The binary tensor extension of the Open Inference Protocol.
//!
//! The body is the JSON of a request, as long as the header `Inference-Header-Content-Length` says,
//! and behind it the tensors of the inputs with `"parameters": {"binary_data_size": …}`, in the
//! order of the inputs. Without any JSON the body is the tensor of the only input: [`decode_raw`]. A tensor is its elements in row-major order: numbers little-endian, `BOOL`
//! one byte of 0 or 1, `BYTES` four bytes of length (little-endian) and as many bytes. `FP16` and
//! `BF16` are two bytes. Every bit is kept, those of NaN too. A binary tensor can't say missing.
//!
//! The gRPC form of the protocol has the same tensors in `raw_input_contents`: [`read_tensor`] and
//! [`write_tensor`] serve both.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::batch::{Batch, Column, Values, VarLen};
use crate::builder::{BatchBuilder, Destination};
use crate::codec::{DecodeError, DecodeLimits, code, refuse};
use crate::oip::{BINARY_DATA_OUTPUT, InferRequest, decode_with_tensors};
use crate::schema::{DataType, Field, Schema};

/// Bytes before an element of `BYTES`: its length.
const LENGTH_BYTES: usize = size_of::<u32>();

/// Read a request whose JSON is the first `json_bytes` bytes of the body.
///
/// # Errors
///
/// What [`oip::decode_request`](crate::oip::decode_request) refuses; a JSON part longer than the
/// body; tensors whose sizes disagree with their shapes, with what is there, or leave something
/// over.
pub fn decode_request(
    schema: &Arc<Schema>,
    body: &[u8],
    json_bytes: usize,
    limits: &DecodeLimits,
) -> Result<InferRequest, DecodeError> {
    limits.check_body(body)?;
    match body.split_at_checked(json_bytes) {
        Some((json, tensors)) => decode_with_tensors(schema, json, Some(tensors), limits),
        None => refuse(
            code::BAD_TENSOR,
            format!(
                "the JSON part should have {json_bytes} bytes and the body has {}",
                body.len()
            ),
        ),
    }
}

/// Read a body that is the tensor of the only input and nothing else, which clients say with a JSON
/// part of 0 bytes (Triton's raw binary request). The rows follow from its length; a body for a
/// `BYTES` input is one element, without its length before it. The answer is binary, as it is there.
///
/// # Errors
///
/// The schema has not exactly one input, the body isn't a whole number of rows, or what
/// [`read_tensor`] refuses.
pub fn decode_raw(
    schema: &Arc<Schema>,
    body: &[u8],
    limits: &DecodeLimits,
) -> Result<InferRequest, DecodeError> {
    limits.check_body(body)?;
    let [field] = schema.fields() else {
        return refuse(
            code::BAD_REQUEST,
            format!(
                "a body that is one raw tensor needs a model with one input, and this one has {}",
                schema.len()
            ),
        );
    };
    let raw = |rows: usize| -> Result<Batch, DecodeError> {
        limits.check_rows(rows, schema.row_bytes())?;
        let mut builder = BatchBuilder::new(Arc::clone(schema), rows)?;
        match builder.destination(0, None) {
            Some((_, Destination::Texts(list))) => put_element(list, field, body)?,
            _ => read_tensor(&mut builder, 0, body)?,
        }
        Ok(builder.finish()?)
    };
    let batch = match field.data_type.width() {
        Some(width) => {
            let row_bytes = width * field.row_elements();
            if row_bytes == 0 || !body.len().is_multiple_of(row_bytes) {
                return refuse(
                    code::BAD_TENSOR,
                    format!("the body has {} bytes and a row has {row_bytes}", body.len()),
                )
                .map_err(|e: DecodeError| e.in_column(&field.name));
            }
            raw(body.len() / row_bytes)
        }
        None if field.row_elements() == 1 => raw(1),
        None => refuse(
            code::BAD_TENSOR,
            format!(
                "a raw body is one element, and a row of the input has {}",
                field.row_elements()
            ),
        ),
    };
    Ok(InferRequest {
        id: None,
        parameters: Map::from_iter([(BINARY_DATA_OUTPUT.to_owned(), Value::Bool(true))]),
        batch: batch.map_err(|e| e.in_column(&field.name))?,
        outputs: Vec::new(),
    })
}

/// Read one tensor into the column at `index`, for all rows of the builder.
///
/// # Errors
///
/// The tensor hasn't the size that the rows need, or holds a boolean other than 0 and 1, or text
/// that isn't UTF-8.
pub fn read_tensor(builder: &mut BatchBuilder, index: usize, tensor: &[u8]) -> Result<(), DecodeError> {
    let rows = builder.rows();
    let Some((field, destination)) = builder.destination(index, None) else {
        return refuse(code::UNKNOWN_COLUMN, format!("there is no column {index}"));
    };
    let elements = rows * field.row_elements();
    match destination {
        Destination::Texts(list) => read_elements(list, field, elements, tensor),
        Destination::Numbers { values, range } => {
            let width = field.data_type.width().unwrap_or(1);
            let row_elements = field.row_elements();
            if tensor.len() != elements * width {
                return refuse(
                    code::BAD_TENSOR,
                    format!(
                        "the tensor has {} bytes where {elements} elements need {}",
                        tensor.len(),
                        elements * width
                    ),
                );
            }
            macro_rules! read {
                ($($variant:ident: $type:ty),*) => {
                    match values {
                        Values::Boolean(list) => {
                            if let Some(at) = tensor.iter().position(|&byte| byte > 1) {
                                return refuse(code::WRONG_TYPE, "a BOOL is neither 0 nor 1")
                                    .map_err(|e: DecodeError| e.in_element(at, row_elements));
                            }
                            if let Some(own) = list.get_mut(range) {
                                own.copy_from_slice(tensor);
                            }
                        }
                        $(Values::$variant(list) => {
                            let own = list.get_mut(range).unwrap_or_default();
                            for (element, bytes) in own.iter_mut().zip(tensor.as_chunks().0) {
                                *element = <$type>::from_le_bytes(*bytes);
                            }
                        })*
                        Values::Text(_) | Values::Bytes(_) => {}
                    }
                };
            }
            read!(
                Uint8: u8, Uint16: u16, Uint32: u32, Uint64: u64, Int8: i8, Int16: i16, Int32: i32,
                Int64: i64, Fp16: u16, Bf16: u16, Fp32: f32, Fp64: f64
            );
            Ok(())
        }
    }
}

fn read_elements(
    list: &mut VarLen,
    field: &Field,
    elements: usize,
    tensor: &[u8],
) -> Result<(), DecodeError> {
    let row_elements = field.row_elements().max(1);
    let mut rest = tensor;
    list.offsets.reserve(elements.min(tensor.len() / LENGTH_BYTES));
    list.data
        .reserve(tensor.len().saturating_sub(elements * LENGTH_BYTES));
    for element in 0..elements {
        let row = element / row_elements;
        let next = rest
            .split_first_chunk()
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize));
        let Some((bytes, after)) = next else {
            return refuse(
                code::BAD_TENSOR,
                format!("the tensor ends in element {element} of {elements}"),
            )
            .map_err(|e: DecodeError| e.in_row(row));
        };
        put_element(list, field, bytes).map_err(|e| e.in_element(element, row_elements))?;
        rest = after;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        refuse(
            code::BAD_TENSOR,
            format!("{} bytes lie behind the last of {elements} elements", rest.len()),
        )
    }
}

/// Append an element of `BYTES` to a column.
pub(crate) fn put_element(list: &mut VarLen, field: &Field, bytes: &[u8]) -> Result<(), DecodeError> {
    if field.data_type == DataType::Text && std::str::from_utf8(bytes).is_err() {
        return refuse(
            code::INVALID_UTF8,
            "the column is text and the bytes are not UTF-8",
        );
    }
    if list.push(bytes).is_none() {
        return refuse(code::TOO_LARGE, "more than 4 GiB of text or bytes");
    }
    Ok(())
}

/// Bytes of the tensor of a column.
pub fn tensor_size(column: &Column<'_>) -> usize {
    match column.block_range() {
        (Values::Text(list) | Values::Bytes(list), range) => {
            let data = match (list.offsets.get(range.start), list.offsets.get(range.end)) {
                (Some(&start), Some(&end)) => (end - start) as usize,
                _ => 0,
            };
            range.len() * LENGTH_BYTES + data
        }
        (values, range) => range.len() * values.data_type().width().unwrap_or(1),
    }
}

/// Append the tensor of a column, elements of missing rows included.
pub fn write_tensor(column: &Column<'_>, out: &mut Vec<u8>) {
    let (values, range) = column.block_range();
    macro_rules! write {
        ($($variant:ident),*) => {
            match values {
                Values::Boolean(list) => out.extend_from_slice(list.get(range).unwrap_or_default()),
                $(Values::$variant(list) => {
                    let elements = list.get(range).unwrap_or_default();
                    if cfg!(target_endian = "little") {
                        out.extend_from_slice(bytemuck::cast_slice(elements));
                    } else {
                        out.extend(elements.iter().flat_map(|element| element.to_le_bytes()));
                    }
                })*
                Values::Text(list) | Values::Bytes(list) => {
                    for element in range.filter_map(|at| list.get(at)) {
                        // Offsets are u32, so no element is longer.
                        out.extend_from_slice(&(element.len() as u32).to_le_bytes());
                        out.extend_from_slice(element);
                    }
                }
            }
        };
    }
    write!(
        Uint8,
        Uint16,
        Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64
    );
}
