//! From a batch to a stream.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeListArray, GenericByteArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions, types,
};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::writer::StreamWriter as IpcWriter;
use arrow_schema::{ArrowError, Field as ArrowField, Schema as ArrowSchema, SchemaRef};
use half::f16;

use super::{BFLOAT16, EXTENSION_NAME};
use crate::batch::{Batch, Column, Values, VarLen};
use crate::schema::{DataType, Schema};

/// Arrow refused what should be a stream.
#[derive(Debug, thiserror::Error)]
#[error("the batch can't be written as an Arrow stream: {0}")]
pub struct EncodeError(#[from] ArrowError);

/// Write a stream of one record batch. Decoding it with the same schema gives the same batch.
///
/// # Errors
///
/// For a batch that [`Batch::new`] checked, only a dimension past `i32` beside one of 0, for which
/// Arrow has no type.
pub fn encode(batch: &Batch) -> Result<Vec<u8>, EncodeError> {
    let record_batch = record_batch(batch)?;
    let mut writer = IpcWriter::try_new(Vec::with_capacity(batch.byte_len()), record_batch.schema_ref())?;
    writer.write(&record_batch)?;
    Ok(writer.into_inner()?)
}

/// Writes a stream of many record batches.
pub struct StreamWriter(IpcWriter<Vec<u8>>);

impl std::fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("arrow::StreamWriter")
    }
}

impl StreamWriter {
    /// A writer of batches of this schema.
    ///
    /// # Errors
    ///
    /// As [`encode`].
    pub fn new(schema: &Arc<Schema>) -> Result<Self, EncodeError> {
        let schema = arrow_schema(schema)?;
        Ok(Self(IpcWriter::try_new(Vec::new(), &schema)?))
    }

    /// What is to be sent for a batch; at the first call the stream's beginning too.
    ///
    /// # Errors
    ///
    /// As [`encode`]; a batch of another schema, or with 2 GiB of text in one column.
    pub fn write(&mut self, batch: &Batch) -> Result<Vec<u8>, EncodeError> {
        self.0.write(&record_batch(batch)?)?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    /// What is to be sent last.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub fn finish(self) -> Result<Vec<u8>, EncodeError> {
        Ok(self.0.into_inner()?)
    }
}

/// The Arrow schema that batches of this schema are written with.
pub(crate) fn arrow_schema(schema: &Arc<Schema>) -> Result<SchemaRef, EncodeError> {
    Ok(record_batch(&Batch::empty(Arc::clone(schema)))?.schema())
}

/// A batch as Arrow has it, for who puts other columns beside its own.
///
/// # Errors
///
/// As [`encode`]; 2 GiB of text in one column.
pub fn record_batch(batch: &Batch) -> Result<RecordBatch, EncodeError> {
    let columns: Vec<_> = (0..batch.schema().len())
        .filter_map(|index| batch.column(index))
        .collect();
    let arrays = columns.iter().map(array).collect::<Result<Vec<_>, _>>()?;
    let fields: Vec<_> = columns
        .iter()
        .zip(&arrays)
        .map(|(column, array)| field(column, array))
        .collect();
    let schema = Arc::new(ArrowSchema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
    Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
}

fn field(column: &Column<'_>, array: &ArrayRef) -> ArrowField {
    let own = column.field();
    let field = ArrowField::new(&own.name, array.data_type().clone(), own.nullable);
    match own.data_type {
        DataType::Bf16 => {
            field.with_metadata(HashMap::from([(EXTENSION_NAME.to_owned(), BFLOAT16.to_owned())]))
        }
        _ => field,
    }
}

/// Elements in lists, the nulls on the outside.
fn array(column: &Column<'_>) -> Result<ArrayRef, ArrowError> {
    let field = column.field();
    let nulls = column
        .validity()
        .bits()
        .map(|bits| NullBuffer::new(BooleanBuffer::new(Buffer::from(bits), 0, column.rows())));
    let mut array = elements(column, nulls.clone().filter(|_| field.is_scalar()))?;
    for level in (0..field.shape.len()).rev() {
        let outer = field.shape.get(..level).unwrap_or_default();
        let lists = outer.iter().fold(column.rows(), |n, &d| n * d as usize);
        let length = field
            .shape
            .get(level)
            .map_or(-1, |&d| i32::try_from(d).unwrap_or(-1));
        let item = Arc::new(ArrowField::new("item", array.data_type().clone(), false));
        let nulls = nulls.clone().filter(|_| level == 0);
        array = Arc::new(FixedSizeListArray::try_new_with_length(
            item, length, array, nulls, lists,
        )?);
    }
    Ok(array)
}

fn elements(column: &Column<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
    let (values, range) = column.block_range();
    Ok(match values {
        Values::Boolean(list) => {
            let bits = list.get(range).unwrap_or_default().iter().map(|&byte| byte != 0);
            let bits: BooleanBuffer = bits.collect();
            match nulls {
                Some(nulls) if nulls.len() != bits.len() => return Err(wrong_length()),
                nulls => Arc::new(BooleanArray::new(bits, nulls)),
            }
        }
        Values::Uint8(list) => numbers::<UInt8Type>(list, range, nulls)?,
        Values::Uint16(list) | Values::Bf16(list) => numbers::<UInt16Type>(list, range, nulls)?,
        Values::Uint32(list) => numbers::<UInt32Type>(list, range, nulls)?,
        Values::Uint64(list) => numbers::<UInt64Type>(list, range, nulls)?,
        Values::Int8(list) => numbers::<Int8Type>(list, range, nulls)?,
        Values::Int16(list) => numbers::<Int16Type>(list, range, nulls)?,
        Values::Int32(list) => numbers::<Int32Type>(list, range, nulls)?,
        Values::Int64(list) => numbers::<Int64Type>(list, range, nulls)?,
        Values::Fp32(list) => numbers::<Float32Type>(list, range, nulls)?,
        Values::Fp64(list) => numbers::<Float64Type>(list, range, nulls)?,
        Values::Fp16(list) => {
            let halves: Vec<f16> = list
                .get(range)
                .unwrap_or_default()
                .iter()
                .map(|&b| f16::from_bits(b))
                .collect();
            let all = 0..halves.len();
            numbers::<Float16Type>(&halves, all, nulls)?
        }
        Values::Text(list) if is_small(list) => texts::<types::Utf8Type>(list, range, nulls)?,
        Values::Text(list) => texts::<types::LargeUtf8Type>(list, range, nulls)?,
        Values::Bytes(list) if is_small(list) => texts::<types::BinaryType>(list, range, nulls)?,
        Values::Bytes(list) => texts::<types::LargeBinaryType>(list, range, nulls)?,
    })
}

fn numbers<T: ArrowPrimitiveType>(
    list: &[T::Native],
    range: Range<usize>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    let own = list.get(range).unwrap_or_default().to_vec();
    Ok(Arc::new(PrimitiveArray::<T>::try_new(
        ScalarBuffer::from(own),
        nulls,
    )?))
}

fn is_small(list: &VarLen) -> bool {
    i32::try_from(list.data.len()).is_ok()
}

fn texts<T: types::ByteArrayType>(
    list: &VarLen,
    range: Range<usize>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    let offsets = list
        .offsets
        .get(range.start..range.end + 1)
        .ok_or_else(wrong_length)?;
    let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else {
        return Err(wrong_length());
    };
    let data = list
        .data
        .get(first as usize..last as usize)
        .ok_or_else(wrong_length)?;
    let offsets = offsets
        .iter()
        .map(|&offset| T::Offset::from_usize((offset - first) as usize));
    let offsets: Vec<T::Offset> = offsets.collect::<Option<_>>().ok_or_else(wrong_length)?;
    // They never decrease, which is what `OffsetBuffer::new` asks: the batch was checked.
    if !offsets.is_sorted() {
        return Err(wrong_length());
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(GenericByteArray::<T>::try_new(
        offsets,
        Buffer::from(data),
        nulls,
    )?))
}

fn wrong_length() -> ArrowError {
    ArrowError::InvalidArgumentError("a column hasn't the length that its rows need".to_owned())
}
