//! From a stream to a batch.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayAccessor, ArrayRef};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema};

use super::stream::{StreamReader, StreamTable};
use super::{BFLOAT16, EXTENSION_NAME};
use crate::batch::{Batch, Values, VarLen};
use crate::builder::{BatchBuilder, Destination};
use crate::codec::{DecodeError, DecodeLimits, code, cut, refuse};
use crate::schema::{DataType, Field, Schema};

/// Read rows of this schema from a stream.
///
/// # Errors
///
/// No Arrow stream, or a part of one; a column that is absent, unknown, named twice or of another
/// type; a null where none may be; what passes a limit.
pub fn decode(schema: &Arc<Schema>, body: &[u8], limits: &DecodeLimits) -> Result<Batch, DecodeError> {
    limits.check_body(body)?;
    let mut reader = StreamReader::new(schema, limits);
    reader.feed(body.to_vec());
    let mut tables = Vec::new();
    let mut rows = 0usize;
    while let Some(table) = reader.next_table()? {
        rows = rows.saturating_add(table.rows());
        limits.check_rows(rows, schema.row_bytes())?;
        tables.push(table);
    }
    reader.finish()?;
    read_tables(schema, rows, &tables)
}

/// Read all rows of tables, which are `rows` together and within the limits.
pub(super) fn read_tables(
    schema: &Arc<Schema>,
    rows: usize,
    tables: &[StreamTable],
) -> Result<Batch, DecodeError> {
    let mut builder = BatchBuilder::new(schema.clone(), rows)?;
    for (index, field) in schema.fields().iter().enumerate() {
        let mut row = 0;
        for table in tables {
            match table.column(index) {
                None => (row..row + table.rows()).for_each(|row| builder.set_missing(index, row)),
                Some(array) => {
                    read_array(&mut builder, index, field, row, array)
                        .map_err(|e| e.in_column(&field.name))?;
                }
            }
            row += table.rows();
        }
    }
    Ok(builder.finish()?)
}

/// By field, the position of its column in the stream.
pub(super) fn find_columns(
    schema: &Schema,
    arrow_schema: &ArrowSchema,
) -> Result<Vec<Option<usize>>, DecodeError> {
    let mut sources = vec![None; schema.len()];
    for (at, arrow_field) in arrow_schema.fields().iter().enumerate() {
        let index = schema.index_of(arrow_field.name());
        let error = match index.and_then(|index| Some((schema.field(index)?, sources.get_mut(index)?))) {
            None => DecodeError::new(code::UNKNOWN_COLUMN, "the schema has no such column"),
            Some((_, Some(_))) => DecodeError::new(code::DUPLICATE_COLUMN, "the column comes twice"),
            Some((field, source)) => {
                *source = Some(at);
                if suits(field, arrow_field) {
                    continue;
                }
                wrong_type(field, arrow_field.data_type())
            }
        };
        return Err(error.in_column(arrow_field.name()));
    }
    for (field, source) in schema.fields().iter().zip(&sources) {
        if !field.nullable && source.is_none() {
            let error = DecodeError::new(code::MISSING_COLUMN, "the stream lacks the column");
            return Err(error.in_column(&field.name));
        }
    }
    Ok(sources)
}

/// Read the rows of an array into the column at `index`, from `first_row` on.
fn read_array(
    builder: &mut BatchBuilder,
    index: usize,
    field: &Field,
    first_row: usize,
    array: &ArrayRef,
) -> Result<(), DecodeError> {
    let rows = array.len();
    let row_elements = field.row_elements();
    let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    if let Some(row) = (0..rows).find(|&row| is_null(row)).filter(|_| !field.nullable) {
        return refuse(
            code::MISSING_VALUE,
            "the value is null and the column is not nullable",
        )
        .map_err(|e: DecodeError| e.in_row(first_row + row));
    }
    let Some((_, destination)) = builder.destination(index, None) else {
        return refuse(code::UNKNOWN_COLUMN, format!("there is no column {index}"));
    };
    if array.data_type().is_null() {
        if let Destination::Texts(list) = destination {
            (0..rows * row_elements)
                .try_for_each(|_| list.push(b""))
                .ok_or_else(too_much_text)?;
        }
    } else {
        let leaf = peel(array, &is_null, first_row)?;
        if leaf.len() != rows * row_elements {
            return refuse(code::BAD_ARROW, "a list hasn't the elements that its rows need");
        }
        match destination {
            Destination::Texts(list) => {
                let is_null = |element: usize| is_null(element / row_elements.max(1));
                read_texts(list, field, &leaf, &is_null)?;
            }
            Destination::Numbers { values, range } => {
                let start = range.start + first_row * row_elements;
                read_numbers(values, start, field, &leaf)?;
                for row in (0..rows).filter(|&row| is_null(row)) {
                    let start = start + row * row_elements;
                    crate::match_values!(
                        &mut *values,
                        list => list.get_mut(start..start + row_elements).unwrap_or_default().fill(Default::default()),
                        _var => {}
                    );
                }
            }
        }
    }
    for row in (0..rows).filter(|&row| is_null(row)) {
        builder.set_missing(index, first_row + row);
    }
    Ok(())
}

/// Can this column be read into this field? Decided from the types alone, before anything of the
/// sizes that they declare is made.
fn suits(field: &Field, arrow_field: &ArrowField) -> bool {
    let mut leaf = arrow_field.data_type();
    if leaf.is_null() {
        return true;
    }
    let mut lengths = Vec::new();
    while let ArrowType::FixedSizeList(item, length) = leaf {
        lengths.push(u32::try_from(*length).ok());
        leaf = item.data_type();
    }
    let is_shape = lengths.iter().copied().eq(field.shape.iter().map(|&d| Some(d)));
    let is_flat = !field.is_scalar() && lengths == [u32::try_from(field.row_elements()).ok()];
    let is_bf16 = arrow_field
        .metadata()
        .get(EXTENSION_NAME)
        .is_some_and(|name| name == BFLOAT16);
    let is_type = matches!(
        (field.data_type, leaf),
        (DataType::Boolean, ArrowType::Boolean)
            | (DataType::Uint8, ArrowType::UInt8)
            | (DataType::Uint16 | DataType::Bf16, ArrowType::UInt16)
            | (DataType::Uint32, ArrowType::UInt32)
            | (DataType::Uint64, ArrowType::UInt64)
            | (DataType::Int8, ArrowType::Int8)
            | (DataType::Int16, ArrowType::Int16)
            | (DataType::Int32, ArrowType::Int32)
            | (DataType::Int64, ArrowType::Int64)
            | (DataType::Fp16, ArrowType::Float16)
            | (DataType::Fp32, ArrowType::Float32)
            | (DataType::Fp64, ArrowType::Float64)
            | (
                DataType::Text,
                ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View
            )
            | (
                DataType::Bytes,
                ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView
            )
    );
    (is_shape || is_flat) && is_type && is_bf16 == (field.data_type == DataType::Bf16)
}

/// The elements in the lists of a column with a shape; the array itself for a scalar column.
fn peel(
    array: &ArrayRef,
    is_null: &dyn Fn(usize) -> bool,
    first_row: usize,
) -> Result<ArrayRef, DecodeError> {
    let mut leaf = array.clone();
    while let Some(list) = leaf.as_fixed_size_list_opt() {
        let values = list.values().clone();
        check_inner(&values, array.len(), is_null, first_row)?;
        leaf = values;
    }
    Ok(leaf)
}

/// No null inside a row that isn't null itself.
fn check_inner(
    values: &ArrayRef,
    rows: usize,
    is_null: &dyn Fn(usize) -> bool,
    first_row: usize,
) -> Result<(), DecodeError> {
    let Some(nulls): Option<NullBuffer> = values.logical_nulls().filter(|nulls| nulls.null_count() > 0)
    else {
        return Ok(());
    };
    let each = (values.len() / rows.max(1)).max(1);
    for element in (0..values.len()).filter(|&element| nulls.is_null(element)) {
        let row = element / each;
        if !is_null(row) {
            return refuse(
                code::WRONG_TYPE,
                "an element inside a list is null: only a whole row may be missing",
            )
            .map_err(|e: DecodeError| e.in_row(first_row + row));
        }
    }
    Ok(())
}

fn read_numbers(
    values: &mut Values,
    start: usize,
    field: &Field,
    leaf: &ArrayRef,
) -> Result<(), DecodeError> {
    macro_rules! read {
        ($($variant:ident: $arrow:ident),*) => {
            match (values, leaf.data_type()) {
                (Values::Boolean(list), ArrowType::Boolean) => {
                    let own = list.get_mut(start..).unwrap_or_default();
                    for (element, bit) in own.iter_mut().zip(leaf.as_boolean().values()) {
                        *element = u8::from(bit);
                    }
                }
                (Values::Fp16(list), ArrowType::Float16) => {
                    let halves = leaf.as_primitive::<arrow_array::types::Float16Type>().values();
                    let own = list.get_mut(start..).unwrap_or_default();
                    for (element, half) in own.iter_mut().zip(halves) {
                        *element = half.to_bits();
                    }
                }
                $((Values::$variant(list), ArrowType::$arrow) => {
                    let source = leaf.as_primitive::<arrow_type!($arrow)>().values();
                    if let Some(own) = list.get_mut(start..start + source.len()) {
                        own.copy_from_slice(source);
                    }
                })*
                (_, found) => return Err(wrong_type(field, found)),
            }
        };
    }
    macro_rules! arrow_type {
        (UInt8) => {
            arrow_array::types::UInt8Type
        };
        (UInt16) => {
            arrow_array::types::UInt16Type
        };
        (UInt32) => {
            arrow_array::types::UInt32Type
        };
        (UInt64) => {
            arrow_array::types::UInt64Type
        };
        (Int8) => {
            arrow_array::types::Int8Type
        };
        (Int16) => {
            arrow_array::types::Int16Type
        };
        (Int32) => {
            arrow_array::types::Int32Type
        };
        (Int64) => {
            arrow_array::types::Int64Type
        };
        (Float32) => {
            arrow_array::types::Float32Type
        };
        (Float64) => {
            arrow_array::types::Float64Type
        };
    }
    read!(
        Uint8: UInt8, Uint16: UInt16, Uint32: UInt32, Uint64: UInt64, Int8: Int8, Int16: Int16, Int32: Int32,
        Int64: Int64, Bf16: UInt16, Fp32: Float32, Fp64: Float64
    );
    Ok(())
}

fn read_texts(
    list: &mut VarLen,
    field: &Field,
    leaf: &ArrayRef,
    is_null: &dyn Fn(usize) -> bool,
) -> Result<(), DecodeError> {
    match (field.data_type, leaf.data_type()) {
        (DataType::Text, ArrowType::Utf8) => push_all(list, leaf.as_string::<i32>(), is_null),
        (DataType::Text, ArrowType::LargeUtf8) => push_all(list, leaf.as_string::<i64>(), is_null),
        (DataType::Text, ArrowType::Utf8View) => push_all(list, leaf.as_string_view(), is_null),
        (DataType::Bytes, ArrowType::Binary) => push_all(list, leaf.as_binary::<i32>(), is_null),
        (DataType::Bytes, ArrowType::LargeBinary) => push_all(list, leaf.as_binary::<i64>(), is_null),
        (DataType::Bytes, ArrowType::BinaryView) => push_all(list, leaf.as_binary_view(), is_null),
        (_, found) => Err(wrong_type(field, found)),
    }
}

fn push_all<A>(list: &mut VarLen, array: A, is_null: &dyn Fn(usize) -> bool) -> Result<(), DecodeError>
where
    A: ArrayAccessor<Item: AsRef<[u8]>>,
{
    for element in 0..array.len() {
        let pushed = if is_null(element) {
            list.push(b"")
        } else {
            list.push(array.value(element).as_ref())
        };
        pushed.ok_or_else(too_much_text)?;
    }
    Ok(())
}

fn too_much_text() -> DecodeError {
    DecodeError::new(code::TOO_LARGE, "more than 4 GiB of text or bytes")
}

fn wrong_type(field: &Field, found: &ArrowType) -> DecodeError {
    let found = found.to_string();
    DecodeError::new(
        code::WRONG_TYPE,
        format!("found Arrow's {} where the column is `{field}`", cut(&found)),
    )
}
