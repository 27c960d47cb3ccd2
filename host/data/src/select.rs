//! Choose, join and compare rows of batches.

use std::borrow::Borrow;
use std::ops::Range;

use crate::batch::{Batch, BatchError, Block, Column, Values};
use crate::schema::BlockLayout;

impl Batch {
    /// The rows at these positions, in this order; a position may come more than once.
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchPlace`] for a position past the end; more positions than `u32` counts.
    pub fn select_rows(&self, positions: &[usize]) -> Result<Self, BatchError> {
        if let Some(&row) = positions.iter().find(|&&row| row >= self.rows()) {
            return Err(BatchError::NoSuchPlace {
                row,
                column: 0,
                rows: self.rows(),
                columns: self.schema().len(),
            });
        }
        let runs = positions.iter().map(|&row| (self, row..row + 1));
        join(self, positions.len(), runs)
    }

    /// A run of consecutive rows.
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchPlace`] when the range ends past the last row or before it starts.
    pub fn slice_rows(&self, range: Range<usize>) -> Result<Self, BatchError> {
        if range.end > self.rows() || range.start > range.end {
            return Err(BatchError::NoSuchPlace {
                row: range.end,
                column: 0,
                rows: self.rows(),
                columns: self.schema().len(),
            });
        }
        join(self, range.len(), [(self, range)].into_iter())
    }

    /// The rows of all batches, one batch after the other.
    ///
    /// # Errors
    ///
    /// No batch at all, batches of different schemas, or a sum that is too large.
    pub fn concat<B: Borrow<Self>>(batches: &[B]) -> Result<Self, BatchError> {
        let first = batches.first().ok_or(BatchError::NothingToJoin)?.borrow();
        let mut rows = 0usize;
        for batch in batches.iter().map(Borrow::borrow) {
            if batch.schema() != first.schema() {
                return Err(BatchError::OtherSchema {
                    expected: first.schema().to_string(),
                    found: batch.schema().to_string(),
                });
            }
            rows = rows.saturating_add(batch.rows());
        }
        let runs = batches.iter().map(|b| (b.borrow(), 0..b.borrow().rows()));
        join(first, rows, runs)
    }

    /// Do both batches say the same? Same schema and rows, the same values missing, and every
    /// other element equal bit for bit, so NaN is the same as NaN of the same bits, and −0 isn't
    /// the same as 0. Elements under a missing value and padding bits don't count, which is the
    /// difference to `==`.
    pub fn is_same(&self, other: &Self) -> bool {
        self.schema() == other.schema()
            && self.rows() == other.rows()
            && (0..self.schema().len()).all(|index| match (self.column(index), other.column(index)) {
                (Some(a), Some(b)) => same_column(&a, &b),
                _ => false,
            })
    }
}

/// Rows from runs of rows of batches that all have the schema of `like`.
fn join<'a>(
    like: &Batch,
    rows: usize,
    runs: impl Iterator<Item = (&'a Batch, Range<usize>)> + Clone,
) -> Result<Batch, BatchError> {
    let schema = like.schema();
    if u32::try_from(rows).is_err() {
        return Err(BatchError::TooManyRows(rows));
    }
    let mut blocks = Vec::with_capacity(schema.blocks().len());
    for (index, layout) in schema.blocks().iter().enumerate() {
        let runs = runs
            .clone()
            .filter_map(|(batch, run)| Some((batch.blocks().get(index)?, batch.rows(), run)));
        let block = join_block(layout, rows, runs).ok_or_else(|| BatchError::TooMuchText {
            block: index,
            column: layout
                .fields
                .first()
                .and_then(|&f| schema.field(f))
                .map(|f| f.name.clone())
                .unwrap_or_default(),
        })?;
        blocks.push(block);
    }
    Batch::new(schema.clone(), rows, blocks)
}

/// `None` where text passes 4 GiB.
fn join_block<'a>(
    layout: &BlockLayout,
    rows: usize,
    runs: impl Iterator<Item = (&'a Block, usize, Range<usize>)> + Clone,
) -> Option<Block> {
    let mut values = Values::empty(layout.data_type);
    for column in 0..layout.fields.len() {
        for (block, block_rows, run) in runs.clone() {
            let start = (column * block_rows + run.start) * layout.row_elements;
            values.extend_from(&block.values, start..start + run.len() * layout.row_elements)?;
        }
    }
    let mut joined = Block::new(values);
    if runs.clone().any(|(block, ..)| block.validity.is_some()) {
        let mut bits = vec![0; layout.validity_bytes(rows)];
        let own_bytes = rows.div_ceil(8).max(1);
        for (column, own) in bits.chunks_exact_mut(own_bytes).enumerate() {
            let mut at = 0;
            for (block, block_rows, run) in runs.clone() {
                let validity = block.column_validity(column, block_rows);
                for row in run {
                    if let Some(byte) = own.get_mut(at / 8).filter(|_| validity.is_present(row)) {
                        *byte |= 1 << (at % 8);
                    }
                    at += 1;
                }
            }
        }
        joined.validity = Some(bits);
    }
    Some(joined)
}

fn same_column(a: &Column<'_>, b: &Column<'_>) -> bool {
    let row_elements = a.field().row_elements();
    let (a_values, a_range) = a.block_range();
    let (b_values, b_range) = b.block_range();
    (0..a.rows()).all(|row| {
        let present = a.validity().is_present(row);
        present == b.validity().is_present(row)
            && (!present
                || (row * row_elements..(row + 1) * row_elements)
                    .all(|i| same_element(a_values, a_range.start + i, b_values, b_range.start + i)))
    })
}

fn same_element(a: &Values, i: usize, b: &Values, j: usize) -> bool {
    match (a, b) {
        (Values::Fp32(a), Values::Fp32(b)) => bits32(a.get(i)) == bits32(b.get(j)),
        (Values::Fp64(a), Values::Fp64(b)) => bits64(a.get(i)) == bits64(b.get(j)),
        (Values::Boolean(a), Values::Boolean(b)) | (Values::Uint8(a), Values::Uint8(b)) => {
            a.get(i) == b.get(j)
        }
        (Values::Uint16(a), Values::Uint16(b))
        | (Values::Fp16(a), Values::Fp16(b))
        | (Values::Bf16(a), Values::Bf16(b)) => a.get(i) == b.get(j),
        (Values::Uint32(a), Values::Uint32(b)) => a.get(i) == b.get(j),
        (Values::Uint64(a), Values::Uint64(b)) => a.get(i) == b.get(j),
        (Values::Int8(a), Values::Int8(b)) => a.get(i) == b.get(j),
        (Values::Int16(a), Values::Int16(b)) => a.get(i) == b.get(j),
        (Values::Int32(a), Values::Int32(b)) => a.get(i) == b.get(j),
        (Values::Int64(a), Values::Int64(b)) => a.get(i) == b.get(j),
        (Values::Text(a), Values::Text(b)) | (Values::Bytes(a), Values::Bytes(b)) => a.get(i) == b.get(j),
        _ => false,
    }
}

fn bits32(value: Option<&f32>) -> Option<u32> {
    value.map(|v| v.to_bits())
}

fn bits64(value: Option<&f64>) -> Option<u64> {
    value.map(|v| v.to_bits())
}
