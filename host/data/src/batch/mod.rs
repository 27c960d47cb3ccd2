//! Rows of a schema, packed into blocks.
//!
//! [`Batch::new`] checks every block against the schema's layout, so whoever holds a batch may rely
//! on: one block a layout, of its type, with exactly the elements that the rows need; offsets that
//! are monotonic and end at the data; text that is UTF-8; validity bitmaps of the right length;
//! no missing value in a field that isn't nullable; booleans of 0 or 1.

mod column;
mod values;

use std::sync::Arc;

pub use column::{Column, Validity};
pub use values::{Values, VarLen};

use crate::schema::{BlockLayout, DataType, Schema};

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
        let bits = self.validity.as_deref();
        // Out of reach means missing, never present.
        Validity::of(bits.map(|bits| bits.get(column * bytes..(column + 1) * bytes).unwrap_or_default()))
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

/// Rows of a schema. They never change, so a clone shares them.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    schema: Arc<Schema>,
    rows: usize,
    blocks: Arc<Vec<Block>>,
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
        Ok(Self::trusted(schema, rows, blocks))
    }

    /// A batch of blocks that a checked peer made, without checking them again: what a plugin gets
    /// from the host, whose batches went through [`Batch::new`].
    ///
    /// Blocks that don't fit the schema are no danger to memory (every view of them is checked),
    /// but columns read as absent or as the wrong values.
    pub fn trusted(schema: Arc<Schema>, rows: usize, blocks: Vec<Block>) -> Self {
        Self {
            schema,
            rows,
            blocks: Arc::new(blocks),
        }
    }

    /// A batch with no rows.
    pub fn empty(schema: Arc<Schema>) -> Self {
        let layouts = schema.blocks().iter();
        let blocks = layouts.map(|l| Block::new(Values::empty(l.data_type))).collect();
        Self::trusted(schema, 0, blocks)
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

    /// Take the blocks out; a copy of them, where a clone of the batch lives on.
    pub fn into_blocks(self) -> Vec<Block> {
        Arc::unwrap_or_clone(self.blocks)
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
