//! Tensors in a message: raw bytes, or typed lists.

use caisson_data::oip::{Contents, Tensor, TensorData};
use caisson_data::{Column, DataType, DecodeError, Values, code, oip_binary};
use prost::bytes::Bytes;

use super::proto::InferTensorContents;
use super::proto::model_infer_request::InferInputTensor;
use super::proto::model_infer_response::InferOutputTensor;

/// The bits of NaN as [`f32::NAN`] has them, in the sixteen-bit formats.
const FP16_NAN: [u8; 2] = 0x7e00_u16.to_le_bytes();
const BF16_NAN: [u8; 2] = 0x7fc0_u16.to_le_bytes();

/// The inputs of a request, none of which is copied.
///
/// # Errors
///
/// Not as many raw tensors as inputs; an input that has contents too.
pub(super) fn inputs<'a>(
    inputs: &'a [InferInputTensor],
    raw: &'a [Bytes],
) -> Result<Vec<Tensor<'a>>, DecodeError> {
    let refuse = |what: String| Err(DecodeError::new(code::BAD_REQUEST, what));
    if !raw.is_empty() && raw.len() != inputs.len() {
        return refuse(format!(
            "there are {} inputs and {} `raw_input_contents`",
            inputs.len(),
            raw.len()
        ));
    }
    let mut tensors = Vec::with_capacity(inputs.len());
    let mut raws = raw.iter();
    for input in inputs {
        let data = match (raws.next(), &input.contents) {
            (Some(_), Some(contents)) if *contents != InferTensorContents::default() => {
                return refuse("`contents` beside `raw_input_contents`: send one of them".to_owned())
                    .map_err(|e: DecodeError| e.in_column(&input.name));
            }
            (Some(raw), _) => TensorData::Raw(raw),
            (None, Some(contents)) => TensorData::Contents(lists(contents)),
            (None, None) => TensorData::Contents(Contents::default()),
        };
        tensors.push(Tensor {
            name: &input.name,
            datatype: &input.datatype,
            shape: &input.shape,
            data,
        });
    }
    Ok(tensors)
}

fn lists(contents: &InferTensorContents) -> Contents<'_> {
    Contents {
        bools: &contents.bool_contents,
        ints: &contents.int_contents,
        int64s: &contents.int64_contents,
        uints: &contents.uint_contents,
        uint64s: &contents.uint64_contents,
        fp32s: &contents.fp32_contents,
        fp64s: &contents.fp64_contents,
        bytes: contents.bytes_contents.iter().map(|b| &b[..]).collect(),
    }
}

/// Has a type no list, so that its tensors can only be raw?
pub(super) fn is_raw_only(data_type: DataType) -> bool {
    matches!(data_type, DataType::Fp16 | DataType::Bf16)
}

/// Name, type and shape of an output.
pub(super) fn head(column: &Column<'_>) -> InferOutputTensor {
    let field = column.field();
    InferOutputTensor {
        name: field.name.clone(),
        datatype: field.data_type.oip_name().to_owned(),
        shape: std::iter::once(column.rows() as i64)
            .chain(field.shape.iter().map(|&d| i64::from(d)))
            .collect(),
        ..InferOutputTensor::default()
    }
}

/// Refuse an output with values that are missing where its type has no way to say so. Floats have NaN.
///
/// # Errors
///
/// Names the first such value.
pub(super) fn check_missing(column: &Column<'_>) -> Result<(), DecodeError> {
    let field = column.field();
    match column.validity().first_missing(column.rows()) {
        Some(row) if !field.data_type.is_float() => Err(DecodeError::new(
            code::MISSING_VALUE,
            format!(
                "the output has no value here, which {} can't say: ask for it over REST in JSON, or leave it out of the outputs",
                field.data_type.oip_name()
            ),
        )
        .in_row(row)
        .in_column(&field.name)),
        _ => Ok(()),
    }
}

/// The elements of a column that are missing.
fn missing(column: &Column<'_>) -> impl Iterator<Item = std::ops::Range<usize>> {
    let each = column.field().row_elements();
    let validity = column.validity();
    let rows = match validity.first_missing(column.rows()) {
        Some(first) => first..column.rows(),
        None => 0..0,
    };
    rows.filter(move |&row| !validity.is_present(row))
        .map(move |row| row * each..(row + 1) * each)
}

/// A column as raw bytes; missing values are NaN.
pub(super) fn raw(column: &Column<'_>) -> Bytes {
    let mut out = Vec::new();
    oip_binary::write_tensor(column, &mut out);
    let nan: &[u8] = match column.field().data_type {
        DataType::Fp16 => &FP16_NAN,
        DataType::Bf16 => &BF16_NAN,
        DataType::Fp32 => &f32::NAN.to_le_bytes(),
        DataType::Fp64 => &f64::NAN.to_le_bytes(),
        _ => return out.into(),
    };
    for elements in missing(column) {
        let bytes = elements.start * nan.len()..elements.end * nan.len();
        let place = out.get_mut(bytes).unwrap_or_default();
        place
            .chunks_exact_mut(nan.len())
            .for_each(|element| element.copy_from_slice(nan));
    }
    out.into()
}

/// A column in the list for its type; missing values are NaN.
pub(super) fn typed(column: &Column<'_>) -> InferTensorContents {
    let (values, range) = column.block_range();
    let mut contents = InferTensorContents::default();
    macro_rules! lists {
        ($($variant:ident as $type:ty => $list:ident),* $(,)?) => {
            match values {
                Values::Boolean(list) => {
                    let list = list.get(range).unwrap_or_default();
                    contents.bool_contents = list.iter().map(|&e| e != 0).collect();
                }
                $(Values::$variant(list) => {
                    let list = list.get(range).unwrap_or_default();
                    contents.$list = list.iter().map(|&e| <$type>::from(e)).collect();
                })*
                Values::Text(list) | Values::Bytes(list) => {
                    let elements = range.filter_map(|at| list.get(at));
                    contents.bytes_contents = elements.map(Bytes::copy_from_slice).collect();
                }
                // Only ever raw, see `is_raw_only`.
                Values::Fp16(_) | Values::Bf16(_) => {}
            }
        };
    }
    lists!(
        Uint8 as u32 => uint_contents,
        Uint16 as u32 => uint_contents,
        Uint32 as u32 => uint_contents,
        Uint64 as u64 => uint64_contents,
        Int8 as i32 => int_contents,
        Int16 as i32 => int_contents,
        Int32 as i32 => int_contents,
        Int64 as i64 => int64_contents,
        Fp32 as f32 => fp32_contents,
        Fp64 as f64 => fp64_contents,
    );
    for elements in missing(column) {
        if let Some(list) = contents.fp32_contents.get_mut(elements.clone()) {
            list.fill(f32::NAN);
        }
        if let Some(list) = contents.fp64_contents.get_mut(elements) {
            list.fill(f64::NAN);
        }
    }
    contents
}
