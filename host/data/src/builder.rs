//! Fill a batch in place: numbers go straight into the packed blocks, text is joined at the end.
//!
//! A new [`BatchBuilder`] has every value present and zero, false or empty. Fill the columns in any
//! order, clear what is missing, and [`finish`](BatchBuilder::finish) checks the whole as
//! [`Batch::new`] does. A call that names a row or column that isn't there changes nothing and makes
//! `finish` fail with that place, so a mistake can't pass unseen.
//!
//! ```
//! use std::sync::Arc;
//! use caisson_data::{BatchBuilder, DataType, Field, Schema};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let schema = Arc::new(Schema::new(vec![
//!     Field::new("recency", DataType::Fp32),
//!     Field::new("name", DataType::Text).nullable(),
//! ])?);
//! let mut builder = BatchBuilder::new(schema, 2)?;
//! if let Some(recency) = builder.fp32s_mut(0) {
//!     recency.copy_from_slice(&[12.0, 3.5]);
//! }
//! if let Some(names) = builder.varlen_mut(1) {
//!     names.push(b"Ada").ok_or("4 GiB")?;
//!     names.push(b"").ok_or("4 GiB")?;
//! }
//! builder.set_missing(1, 1);
//! let batch = builder.finish()?;
//! assert_eq!(batch.column(1).and_then(|c| c.text(0)), Some("Ada"));
//! # Ok(())
//! # }
//! ```

use std::ops::Range;
use std::sync::Arc;

use crate::batch::{Batch, BatchError, Block, Column, Validity, Values, VarLen};
use crate::schema::{Field, Schema, Slot};

/// Where elements go.
#[cfg(feature = "codecs")]
pub(crate) enum Destination<'b> {
    /// Into this range of the block.
    Numbers {
        values: &'b mut Values,
        range: Range<usize>,
    },
    /// To the end of this list.
    Texts(&'b mut VarLen),
}

/// A batch in the making.
#[derive(Debug)]
pub struct BatchBuilder {
    schema: Arc<Schema>,
    rows: usize,
    blocks: Vec<Block>,
    /// By field; only those of text and bytes fields are ever filled.
    texts: Vec<VarLen>,
    /// The first place that a caller named and that isn't there.
    misplaced: Option<BatchError>,
}

macro_rules! typed_slices_mut {
    ($($(#[$doc:meta])* $name:ident, $variant:ident, $ty:ty;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, index: usize) -> Option<&mut [$ty]> {
            let (block, range) = self.place(index)?;
            match &mut block.values {
                Values::$variant(list) => list.get_mut(range),
                _ => None,
            }
        }
    )*};
}

impl BatchBuilder {
    /// `rows` rows of zero, false and empty, all present.
    ///
    /// # Errors
    ///
    /// [`BatchError::TooManyRows`] when the rows pass `u32` or their elements pass what memory can
    /// address. Memory for the numbers is taken here: check counts that come from outside first.
    pub fn new(schema: Arc<Schema>, rows: usize) -> Result<Self, BatchError> {
        check_size(&schema, rows)?;
        let mut blocks = Vec::with_capacity(schema.blocks().len());
        for layout in schema.blocks() {
            let elements = match layout.data_type.width() {
                Some(_) => layout.elements(rows).unwrap_or(0),
                None => 0,
            };
            blocks.push(Block::new(Values::zeroed(layout.data_type, elements)));
        }
        let has_text = schema.blocks().iter().any(|l| l.data_type.width().is_none());
        let texts = if has_text { schema.len() } else { 0 };
        Ok(Self {
            rows,
            blocks,
            texts: vec![VarLen::default(); texts],
            misplaced: None,
            schema,
        })
    }

    /// The schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    typed_slices_mut! {
        /// The elements of a boolean column, 0 or 1 each.
        booleans_mut, Boolean, u8;
        /// The elements of a `uint8` column.
        uint8s_mut, Uint8, u8;
        /// The elements of a `uint16` column.
        uint16s_mut, Uint16, u16;
        /// The elements of a `uint32` column.
        uint32s_mut, Uint32, u32;
        /// The elements of a `uint64` column.
        uint64s_mut, Uint64, u64;
        /// The elements of an `int8` column.
        int8s_mut, Int8, i8;
        /// The elements of an `int16` column.
        int16s_mut, Int16, i16;
        /// The elements of an `int32` column.
        int32s_mut, Int32, i32;
        /// The elements of an `int64` column.
        int64s_mut, Int64, i64;
        /// The bits of the elements of an `fp16` column.
        fp16s_mut, Fp16, u16;
        /// The bits of the elements of a `bf16` column.
        bf16s_mut, Bf16, u16;
        /// The elements of an `fp32` column.
        fp32s_mut, Fp32, f32;
        /// The elements of an `fp64` column.
        fp64s_mut, Fp64, f64;
    }

    /// Where the elements of a column go: all of them, or those of one row. Elements of a text column
    /// are appended either way.
    #[cfg(feature = "codecs")]
    pub(crate) fn destination(
        &mut self,
        index: usize,
        row: Option<usize>,
    ) -> Option<(&Field, Destination<'_>)> {
        let field = self.schema.field(index)?;
        if field.data_type.width().is_none() {
            return Some((field, Destination::Texts(self.texts.get_mut(index)?)));
        }
        let slot = self.schema.slot(index)?;
        let (block, mut range) = place_in(&mut self.blocks, slot, field, self.rows)?;
        if let Some(row) = row.filter(|&row| row < self.rows) {
            let elements = field.row_elements();
            let start = range.start + row * elements;
            range = start..start + elements;
        }
        let values = &mut block.values;
        Some((field, Destination::Numbers { values, range }))
    }

    /// The elements of a text or bytes column. Push one for each row (or `rows × row_elements` for
    /// a column with a shape), the empty string where a value is missing. A column into which
    /// nothing is pushed is all empty strings; any other number is an error of `finish`.
    pub fn varlen_mut(&mut self, index: usize) -> Option<&mut VarLen> {
        let field = self.schema.field(index)?;
        match field.data_type.width() {
            Some(_) => None,
            None => self.texts.get_mut(index),
        }
    }

    /// Mark one value as missing (for a column with a shape, the whole row). Its elements mean
    /// nothing from then on; leave them zero.
    pub fn set_missing(&mut self, index: usize, row: usize) {
        let rows = self.rows;
        let byte = self
            .validity_mut(index)
            .and_then(|bits| bits.get_mut(row / 8).filter(|_| row < rows));
        match byte {
            Some(byte) => *byte &= !(1 << (row % 8)),
            None => self.misplace(index, row),
        }
    }

    /// Take over which rows have a value, from a column of as many rows.
    pub fn set_validity(&mut self, index: usize, validity: Validity<'_>) {
        let rows = self.rows;
        let Some(bits) = validity.bits() else {
            // All present: that is the state of a column without bits.
            if let Some(slot) = self.schema.slot(index)
                && let Some(block) = self.blocks.get_mut(slot.block)
            {
                if let Some(own) = column_bits(block, slot, rows) {
                    own.fill(0xff);
                }
            } else {
                self.misplace(index, 0);
            }
            return;
        };
        match self.validity_mut(index) {
            Some(own) if own.len() == bits.len() => own.copy_from_slice(bits),
            _ => self.misplace(index, rows),
        }
    }

    /// Copy a column of another batch, values and missing values, into the column at `index`.
    ///
    /// # Errors
    ///
    /// The columns differ in type or in their number of rows or elements.
    pub fn copy_column(&mut self, index: usize, column: Column<'_>) -> Result<(), BatchError> {
        let rows = self.rows;
        let columns = self.schema.len();
        let (Some(field), Some(slot)) = (self.schema.field(index), self.schema.slot(index)) else {
            return Err(BatchError::NoSuchPlace {
                row: 0,
                column: index,
                rows,
                columns,
            });
        };
        let length_error = Err(BatchError::Length {
            block: slot.block,
            column: field.name.clone(),
            rows,
            expected: rows * field.row_elements(),
            found: column.elements(),
        });
        if field.data_type != column.field().data_type {
            return Err(BatchError::Type {
                block: slot.block,
                column: field.name.clone(),
                expected: field.data_type,
                found: column.field().data_type,
            });
        }
        if column.rows() != rows || column.elements() != rows * field.row_elements() {
            return length_error;
        }
        let (source, from) = column.block_range();
        let text_error = || BatchError::TooMuchText {
            block: slot.block,
            column: field.name.clone(),
        };
        let Some((block, to)) = place_in(&mut self.blocks, slot, field, rows) else {
            return length_error;
        };
        macro_rules! copy {
            ($($variant:ident),*) => {
                match (&mut block.values, source) {
                    $((Values::$variant(own), Values::$variant(other)) => {
                        match (own.get_mut(to), other.get(from)) {
                            (Some(own), Some(other)) if own.len() == other.len() => own.copy_from_slice(other),
                            _ => return length_error,
                        }
                    })*
                    (_, Values::Text(other) | Values::Bytes(other)) => {
                        let mut text = VarLen::default();
                        text.extend_from(other, from).ok_or_else(text_error)?;
                        if let Some(own) = self.texts.get_mut(index) {
                            *own = text;
                        }
                    }
                    _ => return length_error,
                }
            };
        }
        copy!(
            Boolean, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64
        );
        self.set_validity(index, column.validity());
        Ok(())
    }

    /// Change the number of rows: new rows are present and zero, false or empty; rows past the new
    /// end are dropped. For sources that don't say beforehand how many rows they have.
    ///
    /// # Errors
    ///
    /// As [`BatchBuilder::new`]; nothing has changed then.
    pub fn resize_rows(&mut self, rows: usize) -> Result<(), BatchError> {
        check_size(&self.schema, rows)?;
        for (block, layout) in self.blocks.iter_mut().zip(self.schema.blocks()) {
            let columns = layout.fields.len();
            let (from, to) = (self.rows * layout.row_elements, rows * layout.row_elements);
            crate::match_values!(
                &mut block.values,
                list => resize_columns(list, columns, from, to, Default::default()),
                var => debug_assert!(var.is_empty())
            );
            if let Some(bits) = &mut block.validity {
                if !self.rows.is_multiple_of(8) {
                    // Padding bits become rows.
                    for last in bits
                        .chunks_exact_mut(self.rows.div_ceil(8))
                        .filter_map(|own| own.last_mut())
                    {
                        *last |= 0xff << (self.rows % 8);
                    }
                }
                resize_columns(bits, columns, self.rows.div_ceil(8), rows.div_ceil(8), 0xff);
            }
        }
        for (text, field) in self.texts.iter_mut().zip(self.schema.fields()) {
            text.truncate(rows * field.row_elements());
        }
        self.rows = rows;
        Ok(())
    }

    /// Check everything and make the batch.
    ///
    /// # Errors
    ///
    /// A place that isn't there was named before, a text column holds the wrong number of elements,
    /// or what [`Batch::new`] finds: a missing value in a column that isn't nullable, text that
    /// isn't UTF-8, booleans that are neither 0 nor 1.
    pub fn finish(mut self) -> Result<Batch, BatchError> {
        if let Some(misplaced) = self.misplaced {
            return Err(misplaced);
        }
        for (index, (block, layout)) in self.blocks.iter_mut().zip(self.schema.blocks()).enumerate() {
            let (Values::Text(joined) | Values::Bytes(joined)) = &mut block.values else {
                continue;
            };
            let expected = self.rows * layout.row_elements;
            for &field in &layout.fields {
                let mut text = self.texts.get_mut(field).map(std::mem::take).unwrap_or_default();
                let column = || {
                    self.schema
                        .field(field)
                        .map(|f| f.name.clone())
                        .unwrap_or_default()
                };
                if text.is_empty() {
                    text.offsets.resize(expected + 1, 0);
                }
                if text.len() != expected {
                    return Err(BatchError::Length {
                        block: index,
                        column: column(),
                        rows: self.rows,
                        expected,
                        found: text.len(),
                    });
                }
                if layout.fields.len() == 1 {
                    *joined = text;
                } else {
                    joined
                        .extend_from(&text, 0..expected)
                        .ok_or_else(|| BatchError::TooMuchText {
                            block: index,
                            column: column(),
                        })?;
                }
            }
        }
        Batch::new(self.schema, self.rows, self.blocks)
    }

    fn misplace(&mut self, column: usize, row: usize) {
        self.misplaced.get_or_insert(BatchError::NoSuchPlace {
            row,
            column,
            rows: self.rows,
            columns: self.schema.len(),
        });
    }

    fn place(&mut self, index: usize) -> Option<(&mut Block, Range<usize>)> {
        let slot = self.schema.slot(index)?;
        let field = self.schema.field(index)?;
        place_in(&mut self.blocks, slot, field, self.rows)
    }

    /// The bits of one column; makes those of its block where it has none yet.
    fn validity_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        let slot = self.schema.slot(index)?;
        let bytes = self.schema.blocks().get(slot.block)?.validity_bytes(self.rows);
        let block = self.blocks.get_mut(slot.block)?;
        block.validity.get_or_insert_with(|| vec![0xff; bytes]);
        column_bits(block, slot, self.rows)
    }
}

fn check_size(schema: &Schema, rows: usize) -> Result<(), BatchError> {
    let bytes = rows.checked_mul(schema.row_bytes());
    if u32::try_from(rows).is_err() || bytes.is_none_or(|bytes| isize::try_from(bytes).is_err()) {
        return Err(BatchError::TooManyRows(rows));
    }
    Ok(())
}

/// Change the length of each of the columns that lie end to end in a list.
fn resize_columns<T: Copy>(list: &mut Vec<T>, columns: usize, from: usize, to: usize, fill: T) {
    if to > from {
        list.resize(columns * to, fill);
        // From the last, so that no column is overwritten before it has moved.
        for column in (0..columns).rev() {
            list.copy_within(column * from..(column + 1) * from, column * to);
            if let Some(new) = list.get_mut(column * to + from..(column + 1) * to) {
                new.fill(fill);
            }
        }
    } else {
        for column in 0..columns {
            list.copy_within(column * from..column * from + to, column * to);
        }
        list.truncate(columns * to);
    }
}

fn place_in<'a>(
    blocks: &'a mut [Block],
    slot: Slot,
    field: &Field,
    rows: usize,
) -> Option<(&'a mut Block, Range<usize>)> {
    let elements = rows * field.row_elements();
    let start = slot.column * elements;
    Some((blocks.get_mut(slot.block)?, start..start + elements))
}

fn column_bits(block: &mut Block, slot: Slot, rows: usize) -> Option<&mut [u8]> {
    let bytes = rows.div_ceil(8);
    let bits = block.validity.as_mut()?;
    bits.get_mut(slot.column * bytes..(slot.column + 1) * bytes)
}
