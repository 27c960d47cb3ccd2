//! Between our element lists and ONNX Runtime's values, without a copy on the way in where the
//! elements may be borrowed, and with one on the way out.

use caisson_data::{DataType, Values};
use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};
use half::vec::HalfBitsVecExt as _;
use half::{bf16, f16};
use ort::session::SessionInputValue;
use ort::value::{DynValue, Shape, Tensor, TensorRef, ValueType};

use crate::error::tidy;
use crate::signature::data_type;
use crate::tensor::{InputValues, TextRef, ValuesRef, join};

/// Address that borrowed elements must be a multiple of, else they are copied to one that is. Kernels
/// sum in another order where their 16-byte vectors don't start at such an address, and the last bits
/// of a result would depend on where in a batch a column lies. Python's arrays, and whatever the
/// allocator gives, start at one.
const ALIGNMENT: usize = 16;

/// An ONNX Runtime value of these elements. The caller has checked that the shape needs exactly as
/// many as there are.
///
/// # Errors
///
/// A boolean that is neither 0 nor 1; text with a NUL character, which ONNX Runtime's C strings can't
/// carry.
pub(crate) fn to_ort<'a>(values: InputValues<'a>, shape: &[usize]) -> Result<SessionInputValue<'a>, String> {
    match values {
        InputValues::Borrowed(values) if !values.address().is_multiple_of(ALIGNMENT) => {
            own(values.to_values(), shape)
        }
        InputValues::Borrowed(values) => borrow(values, shape),
        InputValues::Owned(values) => own(values, shape),
    }
}

fn borrow<'a>(values: ValuesRef<'a>, shape: &[usize]) -> Result<SessionInputValue<'a>, String> {
    macro_rules! view {
        ($list:expr) => {
            TensorRef::from_array_view((Shape::from(shape), $list))
                .map_err(message)?
                .into()
        };
    }
    Ok(match values {
        ValuesRef::Boolean(list) => {
            let list: &[bool] = bytemuck::checked::try_cast_slice(list).map_err(|_| not_boolean(list))?;
            view!(list)
        }
        ValuesRef::Uint8(list) => view!(list),
        ValuesRef::Uint16(list) => view!(list),
        ValuesRef::Uint32(list) => view!(list),
        ValuesRef::Uint64(list) => view!(list),
        ValuesRef::Int8(list) => view!(list),
        ValuesRef::Int16(list) => view!(list),
        ValuesRef::Int32(list) => view!(list),
        ValuesRef::Int64(list) => view!(list),
        ValuesRef::Fp16(list) => view!(list.reinterpret_cast::<f16>()),
        ValuesRef::Bf16(list) => view!(list.reinterpret_cast::<bf16>()),
        ValuesRef::Fp32(list) => view!(list),
        ValuesRef::Fp64(list) => view!(list),
        ValuesRef::Text(list) => strings(list, shape)?,
    })
}

fn own<'a>(values: Values, shape: &[usize]) -> Result<SessionInputValue<'a>, String> {
    macro_rules! give {
        ($list:expr) => {
            Tensor::from_array((Shape::from(shape), $list))
                .map_err(message)?
                .into()
        };
    }
    Ok(match values {
        Values::Boolean(list) => {
            if list.iter().any(|&b| b > 1) {
                return Err(not_boolean(&list));
            }
            give!(list.into_iter().map(|b| b == 1).collect::<Vec<bool>>())
        }
        Values::Uint8(list) => give!(list),
        Values::Uint16(list) => give!(list),
        Values::Uint32(list) => give!(list),
        Values::Uint64(list) => give!(list),
        Values::Int8(list) => give!(list),
        Values::Int16(list) => give!(list),
        Values::Int32(list) => give!(list),
        Values::Int64(list) => give!(list),
        Values::Fp16(list) => give!(list.reinterpret_into::<f16>()),
        Values::Bf16(list) => give!(list.reinterpret_into::<bf16>()),
        Values::Fp32(list) => give!(list),
        Values::Fp64(list) => give!(list),
        Values::Text(_) | Values::Bytes(_) => match ValuesRef::all(&values) {
            Some(ValuesRef::Text(list)) => strings(list, shape)?,
            _ => return Err("ONNX has no tensors of bytes".into()),
        },
    })
}

fn strings(list: TextRef<'_>, shape: &[usize]) -> Result<SessionInputValue<'static>, String> {
    // ort wants elements that borrow nothing, so each is copied twice on its way; no safe way round it.
    let mut texts = Vec::with_capacity(list.len());
    for (i, bytes) in list.iter().enumerate() {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => texts.push(text.to_owned()),
            Ok(_) => {
                return Err(format!(
                    "element {i} holds a NUL character, which ONNX Runtime can't take"
                ));
            }
            Err(_) => return Err(format!("element {i} is not UTF-8")),
        }
    }
    Ok(Tensor::from_string_array((Shape::from(shape), texts.as_slice()))
        .map_err(message)?
        .into())
}

fn not_boolean(list: &[u8]) -> String {
    let at = list.iter().position(|&b| b > 1).unwrap_or_default();
    format!("element {at} is neither 0 nor 1, so it is no boolean")
}

fn message(error: ort::Error) -> String {
    tidy(error.message())
}

/// Copy a value out.
///
/// # Errors
///
/// No tensor, an element type that no column has, or strings that aren't UTF-8.
pub(crate) fn from_ort(value: &DynValue) -> Result<(Vec<usize>, Values), String> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(format!("is a {}, which is no tensor", value.dtype()));
    };
    let kind =
        data_type(*ty).ok_or_else(|| format!("has elements of type {ty}, which no column can carry"))?;
    let shape = shape
        .iter()
        .map(|&d| usize::try_from(d).map_err(|_| format!("has the negative dimension {d}")))
        .collect::<Result<Vec<_>, _>>()?;
    macro_rules! list {
        ($ty:ty) => {
            value.try_extract_tensor::<$ty>().map_err(message)?.1
        };
    }
    let values = match kind {
        DataType::Boolean => Values::Boolean(bytemuck::cast_slice::<bool, u8>(list!(bool)).to_vec()),
        DataType::Uint8 => Values::Uint8(list!(u8).to_vec()),
        DataType::Uint16 => Values::Uint16(list!(u16).to_vec()),
        DataType::Uint32 => Values::Uint32(list!(u32).to_vec()),
        DataType::Uint64 => Values::Uint64(list!(u64).to_vec()),
        DataType::Int8 => Values::Int8(list!(i8).to_vec()),
        DataType::Int16 => Values::Int16(list!(i16).to_vec()),
        DataType::Int32 => Values::Int32(list!(i32).to_vec()),
        DataType::Int64 => Values::Int64(list!(i64).to_vec()),
        DataType::Fp16 => Values::Fp16(list!(f16).reinterpret_cast().to_vec()),
        DataType::Bf16 => Values::Bf16(list!(bf16).reinterpret_cast().to_vec()),
        DataType::Fp32 => Values::Fp32(list!(f32).to_vec()),
        DataType::Fp64 => Values::Fp64(list!(f64).to_vec()),
        DataType::Text | DataType::Bytes => {
            // ort reads string tensors into one String an element; no safe way round it.
            let (_, texts) = value.try_extract_strings().map_err(message)?;
            let joined = join(texts.iter().map(String::as_bytes));
            if joined.len() != texts.len() {
                return Err("holds more than 4 GiB of text".into());
            }
            Values::Text(joined)
        }
    };
    Ok((shape, values))
}
