//! Runs for `wasi:nn` guests, which hand tensors over as bytes: the same sessions as every other run.

use std::time::Instant;

use bytemuck::{AnyBitPattern, NoUninit};
use caisson_data::{DataType, Values};

use crate::error::{InferenceError, tidy};
use crate::model::{Model, Payer, Selection};
use crate::signature::list;
use crate::tensor::{Input, InputValues, ValuesRef};

// Guests are little-endian, and their bytes are read in place.
const _: () = assert!(
    cfg!(target_endian = "little"),
    "Caisson runs on little-endian machines"
);

/// `tensor-type` of `wasi:nn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the WIT")]
pub enum WasiTensorType {
    Fp16,
    Fp32,
    Fp64,
    Bf16,
    U8,
    I32,
    I64,
}

impl WasiTensorType {
    /// Bytes of one element.
    pub const fn width(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::Fp16 | Self::Bf16 => 2,
            Self::Fp32 | Self::I32 => 4,
            Self::Fp64 | Self::I64 => 8,
        }
    }

    /// The element type that it stands for.
    pub const fn data_type(self) -> DataType {
        match self {
            Self::Fp16 => DataType::Fp16,
            Self::Fp32 => DataType::Fp32,
            Self::Fp64 => DataType::Fp64,
            Self::Bf16 => DataType::Bf16,
            Self::U8 => DataType::Uint8,
            Self::I32 => DataType::Int32,
            Self::I64 => DataType::Int64,
        }
    }

    /// The `wasi:nn` type that carries elements of this type; booleans go as bytes of 0 or 1. `None`
    /// for the types that `wasi:nn` doesn't have.
    pub const fn carrying(data_type: DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Fp16 => Self::Fp16,
            DataType::Fp32 => Self::Fp32,
            DataType::Fp64 => Self::Fp64,
            DataType::Bf16 => Self::Bf16,
            DataType::Uint8 | DataType::Boolean => Self::U8,
            DataType::Int32 => Self::I32,
            DataType::Int64 => Self::I64,
            _ => return None,
        })
    }
}

/// A tensor from a guest.
#[derive(Debug, Clone, Copy)]
pub struct ByteInput<'a> {
    /// Name of the model's input.
    pub name: &'a str,
    /// Element type.
    pub data_type: WasiTensorType,
    /// Sizes of the dimensions.
    pub dimensions: &'a [u32],
    /// Little-endian elements, at any address.
    pub data: &'a [u8],
}

/// A tensor for a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteTensor {
    /// Name of the model's output.
    pub name: String,
    /// Element type.
    pub data_type: WasiTensorType,
    /// Sizes of the dimensions.
    pub dimensions: Vec<u32>,
    /// Little-endian elements.
    pub data: Vec<u8>,
}

impl Model {
    /// Run the model on a guest's bytes. A `u8` tensor serves boolean inputs too. Gives every output
    /// whose element type `wasi:nn` has; the others (text, the small and unsigned integers) are not
    /// computed.
    ///
    /// # Errors
    ///
    /// As [`Model::run`]; and bytes that are not as many as dimensions and type say, or a model none of
    /// whose outputs `wasi:nn` can carry.
    pub async fn run_bytes(
        &self,
        inputs: &[ByteInput<'_>],
        deadline: Instant,
    ) -> Result<Vec<ByteTensor>, InferenceError> {
        let carried: Vec<&str> = self
            .signature()
            .outputs
            .iter()
            .filter(|spec| WasiTensorType::carrying(spec.data_type).is_some())
            .map(|spec| spec.name.as_str())
            .collect();
        if carried.is_empty() {
            return Err(InferenceError::Run(format!(
                "wasi:nn has no tensor type for any of the model's outputs: {}",
                list(&self.signature().outputs)
            )));
        }
        let outputs = Selection::of(self.signature(), &carried)?;
        let shapes: Vec<Vec<usize>> = inputs
            .iter()
            .map(|input| input.dimensions.iter().map(|&d| d as usize).collect())
            .collect();
        let tensors = inputs
            .iter()
            .zip(&shapes)
            .map(|(input, shape)| self.typed(input, shape))
            .collect::<Result<Vec<_>, _>>()?;
        let given = self.run_for(Payer::Caller, tensors, &outputs, deadline).await?;
        given
            .into_iter()
            .map(|tensor| untyped(&tensor.name, &tensor.shape, &tensor.values))
            .collect()
    }

    fn typed<'a>(&self, input: &ByteInput<'a>, shape: &'a [usize]) -> Result<Input<'a>, InferenceError> {
        let Some(spec) = self.signature().input(input.name) else {
            return Err(InferenceError::Inputs {
                what: "unknown",
                name: tidy(input.name),
                expected: list(&self.signature().inputs),
            });
        };
        let needed = shape
            .iter()
            .try_fold(input.data_type.width(), |bytes, &dimension| {
                bytes.checked_mul(dimension)
            });
        if needed != Some(input.data.len()) {
            return Err(InferenceError::Length {
                input: input.name.to_owned(),
                shape: shape.to_vec(),
                needed: needed.map_or("more bytes than there can be".into(), |n| format!("{n} bytes")),
                found: format!("{} bytes", input.data.len()),
            });
        }
        let values = match input.data_type {
            WasiTensorType::U8 if spec.data_type == DataType::Boolean => {
                InputValues::Borrowed(ValuesRef::Boolean(input.data))
            }
            WasiTensorType::U8 => InputValues::Borrowed(ValuesRef::Uint8(input.data)),
            WasiTensorType::Fp16 => elements(input.data, ValuesRef::Fp16, Values::Fp16),
            WasiTensorType::Bf16 => elements(input.data, ValuesRef::Bf16, Values::Bf16),
            WasiTensorType::Fp32 => elements(input.data, ValuesRef::Fp32, Values::Fp32),
            WasiTensorType::Fp64 => elements(input.data, ValuesRef::Fp64, Values::Fp64),
            WasiTensorType::I32 => elements(input.data, ValuesRef::Int32, Values::Int32),
            WasiTensorType::I64 => elements(input.data, ValuesRef::Int64, Values::Int64),
        };
        Ok(Input {
            name: input.name.into(),
            shape: shape.into(),
            values,
        })
    }
}

/// The elements where they lie, or a copy where the address isn't one for their type. The length is a
/// whole number of elements.
fn elements<'a, T: AnyBitPattern + NoUninit>(
    bytes: &'a [u8],
    borrowed: fn(&'a [T]) -> ValuesRef<'a>,
    owned: fn(Vec<T>) -> Values,
) -> InputValues<'a> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(list) => InputValues::Borrowed(borrowed(list)),
        Err(_) => InputValues::Owned(owned(bytemuck::pod_collect_to_vec(bytes))),
    }
}

fn untyped(name: &str, shape: &[usize], values: &Values) -> Result<ByteTensor, InferenceError> {
    let fail = |message: String| InferenceError::Output {
        output: name.to_owned(),
        message,
    };
    let data: &[u8] = match values {
        Values::Boolean(list) | Values::Uint8(list) => list,
        Values::Fp16(list) | Values::Bf16(list) => bytemuck::cast_slice(list),
        Values::Fp32(list) => bytemuck::cast_slice(list),
        Values::Fp64(list) => bytemuck::cast_slice(list),
        Values::Int32(list) => bytemuck::cast_slice(list),
        Values::Int64(list) => bytemuck::cast_slice(list),
        other => {
            return Err(fail(format!(
                "is {}, which wasi:nn doesn't have",
                other.data_type()
            )));
        }
    };
    let data_type = WasiTensorType::carrying(values.data_type());
    let dimensions = shape.iter().map(|&d| u32::try_from(d)).collect::<Result<_, _>>();
    Ok(ByteTensor {
        name: name.to_owned(),
        data_type: data_type.ok_or_else(|| fail(format!("is {}", values.data_type())))?,
        dimensions: dimensions
            .map_err(|_| fail(format!("has the shape {shape:?}; wasi:nn counts to 2^32")))?,
        data: data.to_vec(),
    })
}
