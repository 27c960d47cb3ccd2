//! Rows of a schema, packed into blocks.
//!
//! [`Batch::new`] checks every block against the schema's layout, so whoever holds a batch may rely
//! on: one block a layout, of its type, with exactly the elements that the rows need; offsets that
//! are monotonic and end at the data; text that is UTF-8; validity bitmaps of the right length;
//! no missing value in a field that isn't nullable; booleans of 0 or 1.

use std::ops::Range;
use std::sync::Arc;

use crate::schema::{BlockLayout, DataType, Field, Schema};

/// Elements of variable length, as in Arrow: element `i` is `data[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VarLen {
    /// One more than there are elements.
    pub offsets: Vec<u32>,
    /// All elements, end to end.
    pub data: Vec<u8>,
}

impl Default for VarLen {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            data: Vec::new(),
        }
    }
}

impl VarLen {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Is there no element?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `index`.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let start = *self.offsets.get(index)? as usize;
        let end = *self.offsets.get(index + 1)? as usize;
        self.data.get(start..end)
    }

    /// Append the elements of this range of another list. `None`, and nothing appended, when the
    /// range lies outside the other list or the data would pass 4 GiB.
    #[must_use]
    pub fn extend_from(&mut self, other: &Self, range: Range<usize>) -> Option<()> {
        let offsets = other.offsets.get(range.start..range.end.checked_add(1)?)?;
        let (&first, &last) = (offsets.first()?, offsets.last()?);
        let data = other.data.get(first as usize..last as usize)?;
        u32::try_from(self.data.len().checked_add(data.len())?).ok()?;
        let base = self.data.len() as u32;
        self.data.extend_from_slice(data);
        let ends = offsets.iter().skip(1);
        self.offsets
            .extend(ends.map(|&end| (end - first).wrapping_add(base)));
        Some(())
    }

    /// Drop the elements past the first `elements`.
    pub fn truncate(&mut self, elements: usize) {
        if let Some(&end) = self.offsets.get(elements) {
            self.offsets.truncate(elements + 1);
            self.data.truncate(end as usize);
        }
    }

    /// Append an element. `None`, and nothing appended, when the data would pass 4 GiB.
    #[must_use]
    pub fn push(&mut self, element: &[u8]) -> Option<()> {
        let end = u32::try_from(self.data.len().checked_add(element.len())?).ok()?;
        self.data.extend_from_slice(element);
        self.offsets.push(end);
        Some(())
    }

    fn is_consistent(&self) -> bool {
        self.offsets.first() == Some(&0)
            && self.offsets.is_sorted()
            && self
                .offsets
                .last()
                .is_some_and(|&end| end as usize == self.data.len())
    }

    fn is_text(&self) -> bool {
        let Ok(text) = std::str::from_utf8(&self.data) else {
            return false;
        };
        self.offsets.iter().all(|&o| text.is_char_boundary(o as usize))
    }
}

/// The elements of a block.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants are those of DataType")]
pub enum Values {
    Boolean(Vec<u8>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    /// The bits of each half.
    Fp16(Vec<u16>),
    /// The bits of each bfloat16.
    Bf16(Vec<u16>),
    Fp32(Vec<f32>),
    Fp64(Vec<f64>),
    Text(VarLen),
    Bytes(VarLen),
}

/// Run the same expression on whichever list a [`Values`] holds, numeric lists and [`VarLen`]
/// apart.
#[macro_export]
macro_rules! match_values {
    ($values:expr, $list:ident => $numeric:expr, $var:ident => $varlen:expr) => {
        match $values {
            $crate::Values::Boolean($list) => $numeric,
            $crate::Values::Uint8($list) => $numeric,
            $crate::Values::Uint16($list) => $numeric,
            $crate::Values::Uint32($list) => $numeric,
            $crate::Values::Uint64($list) => $numeric,
            $crate::Values::Int8($list) => $numeric,
            $crate::Values::Int16($list) => $numeric,
            $crate::Values::Int32($list) => $numeric,
            $crate::Values::Int64($list) => $numeric,
            $crate::Values::Fp16($list) => $numeric,
            $crate::Values::Bf16($list) => $numeric,
            $crate::Values::Fp32($list) => $numeric,
            $crate::Values::Fp64($list) => $numeric,
            $crate::Values::Text($var) | $crate::Values::Bytes($var) => $varlen,
        }
    };
}

impl Values {
    /// An empty list of this type.
    pub fn empty(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(Vec::new()),
            DataType::Uint8 => Self::Uint8(Vec::new()),
            DataType::Uint16 => Self::Uint16(Vec::new()),
            DataType::Uint32 => Self::Uint32(Vec::new()),
            DataType::Uint64 => Self::Uint64(Vec::new()),
            DataType::Int8 => Self::Int8(Vec::new()),
            DataType::Int16 => Self::Int16(Vec::new()),
            DataType::Int32 => Self::Int32(Vec::new()),
            DataType::Int64 => Self::Int64(Vec::new()),
            DataType::Fp16 => Self::Fp16(Vec::new()),
            DataType::Bf16 => Self::Bf16(Vec::new()),
            DataType::Fp32 => Self::Fp32(Vec::new()),
            DataType::Fp64 => Self::Fp64(Vec::new()),
            DataType::Text => Self::Text(VarLen::default()),
            DataType::Bytes => Self::Bytes(VarLen::default()),
        }
    }

    /// `elements` elements of zero, false or the empty string.
    pub fn zeroed(data_type: DataType, elements: usize) -> Self {
        let mut values = Self::empty(data_type);
        match_values!(
            &mut values,
            list => *list = vec![Default::default(); elements],
            var => var.offsets = vec![0; elements.saturating_add(1)]
        );
        values
    }

    /// Append the elements of this range of another list of the same type. `None`, and nothing
    /// appended, when the types differ, the range lies outside the other list, or text passes 4 GiB.
    #[must_use]
    pub fn extend_from(&mut self, other: &Self, range: Range<usize>) -> Option<()> {
        macro_rules! extend {
            ($($variant:ident),*) => {
                match (self, other) {
                    $((Self::$variant(own), Self::$variant(other)) => own.extend_from_slice(other.get(range)?),)*
                    (Self::Text(own), Self::Text(other)) | (Self::Bytes(own), Self::Bytes(other)) => {
                        own.extend_from(other, range)?;
                    }
                    _ => return None,
                }
            };
        }
        extend!(
            Boolean, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64
        );
        Some(())
    }

    /// The element type.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Boolean(_) => DataType::Boolean,
            Self::Uint8(_) => DataType::Uint8,
            Self::Uint16(_) => DataType::Uint16,
            Self::Uint32(_) => DataType::Uint32,
            Self::Uint64(_) => DataType::Uint64,
            Self::Int8(_) => DataType::Int8,
            Self::Int16(_) => DataType::Int16,
            Self::Int32(_) => DataType::Int32,
            Self::Int64(_) => DataType::Int64,
            Self::Fp16(_) => DataType::Fp16,
            Self::Bf16(_) => DataType::Bf16,
            Self::Fp32(_) => DataType::Fp32,
            Self::Fp64(_) => DataType::Fp64,
            Self::Text(_) => DataType::Text,
            Self::Bytes(_) => DataType::Bytes,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match_values!(self, list => list.len(), var => var.len())
    }

    /// Is there no element?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the elements take in memory.
    pub fn byte_len(&self) -> usize {
        match_values!(self, list => std::mem::size_of_val(list.as_slice()), var => var.data.len() + var.offsets.len() * 4)
    }
}

/// One packed block: see the contract for the order of its elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The elements.
    pub values: Values,
    /// Absent: all present. Else `ceil(rows / 8)` bytes for each field of the block, least
    /// significant bit first, 1 for present.
    pub validity: Option<Vec<u8>>,
}

impl Block {
    /// A block without missing values.
    pub fn new(values: Values) -> Self {
        Self {
            values,
            validity: None,
        }
    }

    /// Which of `rows` rows have a value in field `column` of this block.
    pub(crate) fn column_validity(&self, column: usize, rows: usize) -> Validity<'_> {
        let bytes = rows.div_ceil(8);
        Validity {
            bits: self
                .validity
                .as_deref()
                // Out of reach means missing, never present.
                .map(|bits| bits.get(column * bytes..(column + 1) * bytes).unwrap_or_default()),
        }
    }
}

/// Why blocks are no batch of a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Not one block a layout.
    #[error("there are {found} blocks where the schema packs into {expected}")]
    BlockCount {
        /// What the schema needs.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A block of another type.
    #[error("block {block} (column `{column}`) holds {found} where the schema says {expected}")]
    Type {
        /// Index of the block.
        block: usize,
        /// Its first field.
        column: String,
        /// The schema's type.
        expected: DataType,
        /// The block's type.
        found: DataType,
    },
    /// A block with too few or too many elements.
    #[error("block {block} (column `{column}`) holds {found} elements where {rows} rows need {expected}")]
    Length {
        /// Index of the block.
        block: usize,
        /// Its first field.
        column: String,
        /// Rows of the batch.
        rows: usize,
        /// What they need.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// Offsets that aren't monotonic or don't end at the data, text that isn't UTF-8, a boolean
    /// byte above 1, or a bitmap of the wrong length.
    #[error("block {block} (column `{column}`): {what}")]
    Malformed {
        /// Index of the block.
        block: usize,
        /// Its first field.
        column: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A missing value where none may be.
    #[error("row {row} of column `{column}` is missing and the column is not nullable")]
    Missing {
        /// Row, from 0.
        row: usize,
        /// The field.
        column: String,
    },
    /// More rows than `u32` counts, or more elements than memory can address.
    #[error("a batch of {0} rows is too large")]
    TooManyRows(usize),
    /// A text or bytes block past the 4 GiB that its offsets can count.
    #[error("block {block} (column `{column}`) holds more than 4 GiB of text or bytes")]
    TooMuchText {
        /// Index of the block.
        block: usize,
        /// Its first field.
        column: String,
    },
    /// A row or column that the batch doesn't have.
    #[error("there is no row {row} of column {column} in a batch of {rows} rows and {columns} columns")]
    NoSuchPlace {
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// Rows of the batch.
        rows: usize,
        /// Columns of the schema.
        columns: usize,
    },
    /// Batches of different schemas where one schema is needed.
    #[error("a batch of {found} can't be joined to one of {expected}")]
    OtherSchema {
        /// Schema of the first batch.
        expected: String,
        /// Schema of the batch that differs.
        found: String,
    },
    /// A list of batches that is empty, so no schema is known.
    #[error("there is no batch to join")]
    NothingToJoin,
}

/// Rows of a schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    schema: Arc<Schema>,
    rows: usize,
    blocks: Vec<Block>,
}

impl Batch {
    /// Check the blocks against the schema and make a batch of them.
    ///
    /// # Errors
    ///
    /// The first thing in which the blocks and the schema disagree.
    pub fn new(schema: Arc<Schema>, rows: usize, blocks: Vec<Block>) -> Result<Self, BatchError> {
        if u32::try_from(rows).is_err() {
            return Err(BatchError::TooManyRows(rows));
        }
        if blocks.len() != schema.blocks().len() {
            return Err(BatchError::BlockCount {
                expected: schema.blocks().len(),
                found: blocks.len(),
            });
        }
        for (index, (block, layout)) in blocks.iter().zip(schema.blocks()).enumerate() {
            check_block(&schema, rows, index, block, layout)?;
        }
        Ok(Self { schema, rows, blocks })
    }

    /// A batch of blocks that a checked peer made, without checking them again: what a plugin gets
    /// from the host, whose batches went through [`Batch::new`].
    ///
    /// Blocks that don't fit the schema are no danger to memory (every view of them is checked),
    /// but columns read as absent or as the wrong values.
    pub fn trusted(schema: Arc<Schema>, rows: usize, blocks: Vec<Block>) -> Self {
        Self { schema, rows, blocks }
    }

    /// A batch with no rows.
    pub fn empty(schema: Arc<Schema>) -> Self {
        let blocks = schema
            .blocks()
            .iter()
            .map(|l| Block::new(Values::empty(l.data_type)))
            .collect();
        Self {
            schema,
            rows: 0,
            blocks,
        }
    }

    /// The schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The packed blocks.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Take the blocks out.
    pub fn into_blocks(self) -> Vec<Block> {
        self.blocks
    }

    /// Bytes that all elements take in memory.
    pub fn byte_len(&self) -> usize {
        self.blocks
            .iter()
            .map(|b| b.values.byte_len() + b.validity.as_ref().map_or(0, Vec::len))
            .sum()
    }

    /// The column at a position.
    pub fn column(&self, index: usize) -> Option<Column<'_>> {
        let field = self.schema.field(index)?;
        let slot = self.schema.slot(index)?;
        let block = self.blocks.get(slot.block)?;
        let elements = self.rows * field.row_elements();
        Some(Column {
            field,
            rows: self.rows,
            values: &block.values,
            start: slot.column * elements,
            elements,
            validity: block.column_validity(slot.column, self.rows),
        })
    }

    /// The column of this name.
    pub fn column_named(&self, name: &str) -> Option<Column<'_>> {
        self.column(self.schema.index_of(name)?)
    }
}

fn check_block(
    schema: &Schema,
    rows: usize,
    index: usize,
    block: &Block,
    layout: &BlockLayout,
) -> Result<(), BatchError> {
    let name_of = |k: usize| {
        layout
            .fields
            .get(k)
            .and_then(|&f| schema.field(f))
            .map(|f| f.name.clone())
            .unwrap_or_default()
    };
    if block.values.data_type() != layout.data_type {
        return Err(BatchError::Type {
            block: index,
            column: name_of(0),
            expected: layout.data_type,
            found: block.values.data_type(),
        });
    }
    let malformed = |what| {
        Err(BatchError::Malformed {
            block: index,
            column: name_of(0),
            what,
        })
    };
    match &block.values {
        Values::Text(v) | Values::Bytes(v) if !v.is_consistent() => {
            return malformed("offsets must start at 0, never decrease and end at the data's length");
        }
        Values::Text(v) if !v.is_text() => return malformed("text is not UTF-8"),
        Values::Boolean(b) if b.iter().any(|&x| x > 1) => return malformed("a boolean is neither 0 nor 1"),
        _ => {}
    }
    let expected = layout.elements(rows).ok_or(BatchError::TooManyRows(rows))?;
    if block.values.len() != expected {
        return Err(BatchError::Length {
            block: index,
            column: name_of(0),
            rows,
            expected,
            found: block.values.len(),
        });
    }
    let Some(bits) = &block.validity else {
        return Ok(());
    };
    if bits.len() != layout.validity_bytes(rows) {
        return malformed("the validity bitmap needs ceil(rows / 8) bytes for each field of the block");
    }
    for (k, &f) in layout.fields.iter().enumerate() {
        if schema.field(f).is_none_or(|field| field.nullable) {
            continue;
        }
        if let Some(row) = block.column_validity(k, rows).first_missing(rows) {
            return Err(BatchError::Missing {
                row,
                column: name_of(k),
            });
        }
    }
    Ok(())
}

/// Which rows of a column have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity<'a> {
    bits: Option<&'a [u8]>,
}

impl<'a> Validity<'a> {
    /// Has this row a value?
    pub fn is_present(&self, row: usize) -> bool {
        match self.bits {
            None => true,
            Some(bits) => bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1),
        }
    }

    /// The bitmap, where the block has one.
    pub fn bits(&self) -> Option<&'a [u8]> {
        self.bits
    }

    /// The first row without a value.
    pub fn first_missing(&self, rows: usize) -> Option<usize> {
        let bits = self.bits?;
        let byte = bits.iter().position(|&b| b != 0xff)?;
        (byte * 8..rows).find(|&row| !self.is_present(row))
    }

    /// How many of the rows have no value.
    pub fn count_missing(&self, rows: usize) -> usize {
        (0..rows).filter(|&row| !self.is_present(row)).count()
    }
}

/// A view of one column of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    field: &'a Field,
    rows: usize,
    values: &'a Values,
    start: usize,
    elements: usize,
    validity: Validity<'a>,
}

macro_rules! typed_slices {
    ($($(#[$doc:meta])* $name:ident, $variant:ident, $ty:ty;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self) -> Option<&'a [$ty]> {
            match self.values {
                Values::$variant(list) => list.get(self.start..self.start + self.elements),
                _ => None,
            }
        }
    )*};
}

impl<'a> Column<'a> {
    /// Name, type and shape.
    pub fn field(&self) -> &'a Field {
        self.field
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of elements: rows times the product of the shape.
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// The values of the whole block and the range of them that is this column.
    pub fn block_range(&self) -> (&'a Values, std::ops::Range<usize>) {
        (self.values, self.start..self.start + self.elements)
    }

    /// Which rows have a value.
    pub fn validity(&self) -> Validity<'a> {
        self.validity
    }

    typed_slices! {
        /// The elements of a boolean column, 0 or 1 each.
        booleans, Boolean, u8;
        /// The elements of a `uint8` column.
        uint8s, Uint8, u8;
        /// The elements of a `uint16` column.
        uint16s, Uint16, u16;
        /// The elements of a `uint32` column.
        uint32s, Uint32, u32;
        /// The elements of a `uint64` column.
        uint64s, Uint64, u64;
        /// The elements of an `int8` column.
        int8s, Int8, i8;
        /// The elements of an `int16` column.
        int16s, Int16, i16;
        /// The elements of an `int32` column.
        int32s, Int32, i32;
        /// The elements of an `int64` column.
        int64s, Int64, i64;
        /// The bits of the elements of an `fp16` column.
        fp16s, Fp16, u16;
        /// The bits of the elements of a `bf16` column.
        bf16s, Bf16, u16;
        /// The elements of an `fp32` column.
        fp32s, Fp32, f32;
        /// The elements of an `fp64` column.
        fp64s, Fp64, f64;
    }

    /// Element `index` of a numeric or boolean column as the nearest `f64` (64-bit integers past
    /// 2⁵³ round). `None` for text and bytes, for an element of a missing row, and past the end.
    pub fn to_f64(&self, index: usize) -> Option<f64> {
        if index >= self.elements || !self.validity.is_present(index / self.field.row_elements().max(1)) {
            return None;
        }
        let at = self.start + index;
        Some(match self.values {
            Values::Boolean(v) | Values::Uint8(v) => f64::from(*v.get(at)?),
            Values::Uint16(v) => f64::from(*v.get(at)?),
            Values::Uint32(v) => f64::from(*v.get(at)?),
            Values::Uint64(v) => *v.get(at)? as f64,
            Values::Int8(v) => f64::from(*v.get(at)?),
            Values::Int16(v) => f64::from(*v.get(at)?),
            Values::Int32(v) => f64::from(*v.get(at)?),
            Values::Int64(v) => *v.get(at)? as f64,
            Values::Fp16(v) => half::f16::from_bits(*v.get(at)?).to_f64(),
            Values::Bf16(v) => half::bf16::from_bits(*v.get(at)?).to_f64(),
            Values::Fp32(v) => f64::from(*v.get(at)?),
            Values::Fp64(v) => *v.get(at)?,
            Values::Text(_) | Values::Bytes(_) => return None,
        })
    }

    /// Element `index` of a text column.
    pub fn text(&self, index: usize) -> Option<&'a str> {
        match self.values {
            Values::Text(v) if index < self.elements => v
                .get(self.start + index)
                .and_then(|b| std::str::from_utf8(b).ok()),
            _ => None,
        }
    }

    /// Element `index` of a text or bytes column.
    pub fn bytes(&self, index: usize) -> Option<&'a [u8]> {
        match self.values {
            Values::Text(v) | Values::Bytes(v) if index < self.elements => v.get(self.start + index),
            _ => None,
        }
    }
}
