//! Tensors that a protocol without JSON has taken apart: gRPC, whose tensors are raw bytes or typed
//! lists. What an input must be, how much there may be and what is said of one that isn't right are
//! the same as for JSON and binary requests.
//!
//! Neither form can say that one value is missing: an input that is left out is missing in every row,
//! and NaN is NaN.

use std::sync::Arc;

use super::input::Inputs;
use crate::batch::{Batch, Values};
use crate::builder::Destination;
use crate::codec::{DecodeError, DecodeLimits, code, out_of_range, refuse};
use crate::oip_binary::put_element;
use crate::schema::{DataType, Field, Schema};

/// One input.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor<'a> {
    /// The column.
    pub name: &'a str,
    /// The protocol's name of its type, such as `FP32`.
    pub datatype: &'a str,
    /// The rows, then the column's own shape.
    pub shape: &'a [i64],
    /// The elements in row-major order.
    pub data: TensorData<'a>,
}

/// The elements of an input.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData<'a> {
    /// As in a [binary tensor](crate::oip_binary).
    Raw(&'a [u8]),
    /// One by one.
    Contents(Contents<'a>),
}

/// `InferTensorContents`: the elements are in the list for their type, of which several types share
/// one, and the other lists are empty.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "the lists are those of the protocol")]
pub struct Contents<'a> {
    pub bools: &'a [bool],
    pub ints: &'a [i32],
    pub int64s: &'a [i64],
    pub uints: &'a [u32],
    pub uint64s: &'a [u64],
    pub fp32s: &'a [f32],
    pub fp64s: &'a [f64],
    pub bytes: Vec<&'a [u8]>,
}

/// Read the inputs of a request.
///
/// # Errors
///
/// What [`decode_request`](super::decode_request) and
/// [`oip_binary::decode_request`](crate::oip_binary::decode_request) refuse of inputs; elements in a
/// list that isn't the one for their type.
pub fn decode_tensors<'a>(
    schema: &Arc<Schema>,
    tensors: impl IntoIterator<Item = Tensor<'a>>,
    limits: &DecodeLimits,
) -> Result<Batch, DecodeError> {
    let mut inputs = Inputs::new(schema, limits, None);
    for tensor in tensors {
        inputs.put(&tensor)?;
    }
    inputs.finish()
}

/// Match on the type of a column, with its own elements at hand. Halves have no list, and text isn't
/// among numbers.
macro_rules! match_own {
    ($values:expr, $range:expr, { $($variant:ident($own:ident) => $body:expr),* $(,)? }) => {
        match $values {
            $(Values::$variant(list) => {
                if let Some($own) = list.get_mut($range) {
                    $body
                }
            })*
            Values::Fp16(_) | Values::Bf16(_) | Values::Text(_) | Values::Bytes(_) => {}
        }
    };
}

impl Contents<'_> {
    /// Are there as many elements as the shape says, all in the list for this type?
    pub(super) fn check(&self, data_type: DataType, shape: &[u32]) -> Result<(), DecodeError> {
        let name = data_type.oip_name();
        let Some(wanted) = list_of(data_type) else {
            return refuse(
                code::WRONG_TYPE,
                format!("{name} has no list in `contents`; send it in `raw_input_contents`"),
            );
        };
        let lists = [
            ("bool_contents", self.bools.len()),
            ("int_contents", self.ints.len()),
            ("int64_contents", self.int64s.len()),
            ("uint_contents", self.uints.len()),
            ("uint64_contents", self.uint64s.len()),
            ("fp32_contents", self.fp32s.len()),
            ("fp64_contents", self.fp64s.len()),
            ("bytes_contents", self.bytes.len()),
        ];
        let mut found = 0;
        for (list, elements) in lists {
            if list == wanted {
                found = elements;
            } else if elements > 0 {
                return refuse(
                    code::WRONG_TYPE,
                    format!("{name} belongs in `{wanted}`, and `{list}` has {elements} elements"),
                );
            }
        }
        let needed = shape.iter().fold(1usize, |n, &d| n.saturating_mul(d as usize));
        if found != needed {
            return refuse(
                code::WRONG_SHAPE,
                format!("the shape {shape:?} needs {needed} elements and `{wanted}` has {found}"),
            );
        }
        Ok(())
    }

    /// Copy the elements to a column's own place. After [`Self::check`] they fit.
    pub(super) fn copy_to(&self, destination: Destination<'_>, field: &Field) -> Result<(), DecodeError> {
        let row_elements = field.row_elements().max(1);
        let (values, range) = match destination {
            Destination::Numbers { values, range } => (values, range),
            Destination::Texts(list) => {
                list.offsets.reserve(self.bytes.len());
                list.data.reserve(self.bytes.iter().map(|e| e.len()).sum());
                for (at, element) in self.bytes.iter().enumerate() {
                    put_element(list, field, element).map_err(|e| e.in_element(at, row_elements))?;
                }
                return Ok(());
            }
        };
        macro_rules! integers {
            ($own:expr, $list:expr) => {
                for (at, (own, &element)) in $own.iter_mut().zip($list).enumerate() {
                    *own = element.try_into().map_err(|_| {
                        out_of_range(field.data_type, &element.to_string()).in_element(at, row_elements)
                    })?;
                }
            };
        }
        match_own!(values, range, {
            Boolean(own) => own.iter_mut().zip(self.bools).for_each(|(own, &e)| *own = u8::from(e)),
            Uint8(own) => integers!(own, self.uints),
            Uint16(own) => integers!(own, self.uints),
            Uint32(own) => copy(own, self.uints),
            Uint64(own) => copy(own, self.uint64s),
            Int8(own) => integers!(own, self.ints),
            Int16(own) => integers!(own, self.ints),
            Int32(own) => copy(own, self.ints),
            Int64(own) => copy(own, self.int64s),
            Fp32(own) => copy(own, self.fp32s),
            Fp64(own) => copy(own, self.fp64s),
        });
        Ok(())
    }
}

fn copy<T: Copy>(own: &mut [T], list: &[T]) {
    own.iter_mut()
        .zip(list)
        .for_each(|(own, &element)| *own = element);
}

/// The list for a type; halves have none.
fn list_of(data_type: DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Boolean => "bool_contents",
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "int_contents",
        DataType::Int64 => "int64_contents",
        DataType::Uint8 | DataType::Uint16 | DataType::Uint32 => "uint_contents",
        DataType::Uint64 => "uint64_contents",
        DataType::Fp32 => "fp32_contents",
        DataType::Fp64 => "fp64_contents",
        DataType::Text | DataType::Bytes => "bytes_contents",
        DataType::Fp16 | DataType::Bf16 => return None,
    })
}
