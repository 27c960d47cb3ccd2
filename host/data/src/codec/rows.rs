//! Fill a batch row by row, from a source that doesn't say how many rows it has.

use std::sync::Arc;

use super::element::{BytesAs, Elements};
use super::error::{DecodeError, code, refuse};
use super::limits::DecodeLimits;
use crate::batch::Batch;
use crate::builder::BatchBuilder;
use crate::schema::Schema;

/// Rows to make room for at the first one. Most requests have fewer, and a row of thirty numbers
/// costs 2 KiB here.
const FIRST_ROWS: usize = 16;

/// A batch that grows by whole rows. Each row sets each column once, or leaves it out.
pub(crate) struct RowFiller {
    builder: BatchBuilder,
    limits: DecodeLimits,
    /// Rows begun.
    rows: usize,
    /// By column, the number of the row (from 1) that set it last.
    set_in: Vec<usize>,
}

impl RowFiller {
    pub(crate) fn new(schema: &Arc<Schema>, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        Ok(Self {
            builder: BatchBuilder::new(schema.clone(), 0)?,
            limits: *limits,
            rows: 0,
            set_in: vec![0; schema.len()],
        })
    }

    /// The row being filled, from 0.
    pub(crate) fn row(&self) -> usize {
        self.rows.saturating_sub(1)
    }

    /// Begin a row.
    pub(crate) fn begin(&mut self) -> Result<(), DecodeError> {
        let room = self.builder.rows();
        if self.rows == room {
            let row_bytes = self.builder.schema().row_bytes();
            self.limits.check_rows(room + 1, row_bytes)?;
            let wanted = if row_bytes > 4096 {
                (room * 2).max(1)
            } else {
                (room * 2).max(FIRST_ROWS)
            };
            self.builder
                .resize_rows(wanted.min(self.limits.rows_that_fit(row_bytes)))?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Where the elements of this column go in this row. An error where the row has set it already.
    pub(crate) fn elements(&mut self, index: usize, bytes_as: BytesAs) -> Result<Elements<'_>, DecodeError> {
        self.mark(index)?;
        let row = self.row();
        match self.builder.destination(index, Some(row)) {
            Some((field, destination)) => Ok(Elements::new(field.data_type, destination, bytes_as)),
            None => refuse(code::UNKNOWN_COLUMN, format!("there is no column {index}")),
        }
    }

    /// This column has no value in this row.
    pub(crate) fn set_missing(&mut self, index: usize) -> Result<(), DecodeError> {
        self.mark(index)?;
        self.leave_out(index, code::MISSING_VALUE)
    }

    fn mark(&mut self, index: usize) -> Result<(), DecodeError> {
        match self.set_in.get_mut(index) {
            Some(set_in) if *set_in == self.rows => refuse(code::DUPLICATE_COLUMN, "the column comes twice"),
            Some(set_in) => {
                *set_in = self.rows;
                Ok(())
            }
            None => refuse(code::UNKNOWN_COLUMN, format!("there is no column {index}")),
        }
    }

    fn leave_out(&mut self, index: usize, code: &'static str) -> Result<(), DecodeError> {
        let row = self.row();
        if self.builder.schema().field(index).is_none_or(|f| !f.nullable) {
            return refuse(code, "the value is missing and the column is not nullable");
        }
        if let Some((field, destination)) = self.builder.destination(index, Some(row)) {
            Elements::new(field.data_type, destination, BytesAs::Utf8).skip(field.row_elements())?;
        }
        self.builder.set_missing(index, row);
        Ok(())
    }

    /// End a row: columns that it didn't set are missing.
    pub(crate) fn end(&mut self) -> Result<(), DecodeError> {
        for index in 0..self.set_in.len() {
            if self.set_in.get(index) != Some(&self.rows) {
                self.leave_out(index, code::MISSING_COLUMN)
                    .map_err(|e| e.in_column(&self.column_name(index)))?;
            }
        }
        Ok(())
    }

    /// Take back the row being filled, as if it had not begun.
    pub(crate) fn undo(&mut self) -> Result<(), DecodeError> {
        let Some(rows) = self.rows.checked_sub(1) else {
            return Ok(());
        };
        for set_in in self.set_in.iter_mut().filter(|set_in| **set_in == self.rows) {
            *set_in = 0;
        }
        self.rows = rows;
        Ok(self.builder.resize_rows(rows)?)
    }

    fn column_name(&self, index: usize) -> String {
        self.builder
            .schema()
            .field(index)
            .map(|f| f.name.clone())
            .unwrap_or_default()
    }

    pub(crate) fn finish(mut self) -> Result<Batch, DecodeError> {
        self.builder.resize_rows(self.rows)?;
        Ok(self.builder.finish()?)
    }
}
