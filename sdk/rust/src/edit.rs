//! Making the output of a transform: filling a [`BatchBuilder`], or changing a batch in place.
//!
//! [`BatchEditor`] reuses the input's memory where the output has the same types and shapes in the
//! same order: nothing is allocated, nothing is copied. For anything else a builder is filled;
//! [`Output::begin`](crate::Output::begin) gives one in which the kept columns are there already.

use std::ops::Range;
use std::sync::Arc;

use caisson_data::{Batch, BatchBuilder, Block, Column, DataType, Schema, VarLen};

use crate::Error;
use crate::column::{ColumnExt, Element};

/// Access to a column by position, with an error in place of `None`.
pub trait BatchExt {
    /// The column at a position.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] past the last column.
    fn at(&self, index: usize) -> Result<Column<'_>, Error>;
}

impl BatchExt for Batch {
    fn at(&self, index: usize) -> Result<Column<'_>, Error> {
        self.column(index).ok_or_else(|| {
            Error::Internal(format!(
                "column {index} was read of a batch of {}",
                self.schema().len()
            ))
        })
    }
}

/// Filling whole columns of a [`BatchBuilder`].
pub trait BuilderExt {
    /// The elements of a column, to write.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a column that isn't there or is of another type.
    fn slice_mut<T: Element>(&mut self, index: usize) -> Result<&mut [T], Error>;

    /// Write a column, an item an element; `None` makes the row missing.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a column of another type or a number of items that isn't the
    /// column's number of elements.
    fn fill<T: Element>(
        &mut self,
        index: usize,
        items: impl IntoIterator<Item = Option<T>>,
    ) -> Result<(), Error>;

    /// Write an `fp32` or `fp64` column, whichever it is, from numbers.
    ///
    /// # Errors
    ///
    /// As [`fill`](Self::fill).
    fn fill_numbers(
        &mut self,
        index: usize,
        items: impl IntoIterator<Item = Option<f64>>,
    ) -> Result<(), Error>;

    /// Write a text column, an item an element; `None` makes the row missing.
    ///
    /// # Errors
    ///
    /// As [`fill`](Self::fill); also when a column's text passes 4 GiB.
    fn fill_text<S: AsRef<str>>(
        &mut self,
        index: usize,
        items: impl IntoIterator<Item = Option<S>>,
    ) -> Result<(), Error>;

    /// Write a column of `U` from a column of `T`, element by element; what is missing stays
    /// missing.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for columns of other types or different sizes.
    fn map<T: Element, U: Element>(
        &mut self,
        index: usize,
        from: &Column<'_>,
        f: impl FnMut(T) -> U,
    ) -> Result<(), Error>;
}

impl BuilderExt for BatchBuilder {
    fn slice_mut<T: Element>(&mut self, index: usize) -> Result<&mut [T], Error> {
        // Not `ok_or_else`: the error needs the builder that the slice borrows.
        if self
            .schema()
            .field(index)
            .is_none_or(|f| f.data_type != T::DATA_TYPE)
        {
            return Err(wrong_column(self, index, T::DATA_TYPE.name()));
        }
        T::of_mut(self, index).ok_or_else(|| Error::internal("a column is out of place"))
    }

    fn fill<T: Element>(
        &mut self,
        index: usize,
        items: impl IntoIterator<Item = Option<T>>,
    ) -> Result<(), Error> {
        let row_elements = row_elements(self, index);
        let mut missing = Vec::new();
        let mut items = items.into_iter();
        let mut short = false;
        for (i, slot) in self.slice_mut::<T>(index)?.iter_mut().enumerate() {
            match items.next() {
                Some(Some(value)) => *slot = value,
                Some(None) => missing.push(i / row_elements),
                None => {
                    short = true;
                    break;
                }
            }
        }
        if short || items.next().is_some() {
            return Err(wrong_count(self, index));
        }
        for row in missing {
            self.set_missing(index, row);
        }
        Ok(())
    }

    fn fill_numbers(
        &mut self,
        index: usize,
        items: impl IntoIterator<Item = Option<f64>>,
    ) -> Result<(), Error> {
        let items = items.into_iter();
        match self.schema().field(index).map(|f| f.data_type) {
            Some(DataType::Fp32) => self.fill(index, items.map(|x| x.map(|x| x as f32))),
            Some(DataType::Fp64) => self.fill(index, items),
            _ => Err(wrong_column(self, index, "fp32 or fp64")),
        }
    }

    fn fill_text<S: AsRef<str>>(
        &mut self,
        index: usize,
        items: impl IntoIterator<Item = Option<S>>,
    ) -> Result<(), Error> {
        let field = self.schema().field(index);
        if field.is_none_or(|f| f.data_type != DataType::Text) {
            return Err(wrong_column(self, index, "text"));
        }
        let row_elements = row_elements(self, index);
        let mut text = VarLen::default();
        let mut missing = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            let element = match &item {
                Some(element) => element.as_ref(),
                None => {
                    missing.push(i / row_elements);
                    ""
                }
            };
            text.push(element.as_bytes())
                .ok_or_else(|| Error::internal("a column's text passes 4 GiB"))?;
        }
        if text.len() != self.rows() * row_elements {
            return Err(wrong_count(self, index));
        }
        if let Some(own) = self.varlen_mut(index) {
            *own = text;
        }
        for row in missing {
            self.set_missing(index, row);
        }
        Ok(())
    }

    fn map<T: Element, U: Element>(
        &mut self,
        index: usize,
        from: &Column<'_>,
        mut f: impl FnMut(T) -> U,
    ) -> Result<(), Error> {
        let source = from.slice::<T>()?;
        let target = self.slice_mut::<U>(index)?;
        if source.len() != target.len() {
            return Err(wrong_count(self, index));
        }
        for (target, source) in target.iter_mut().zip(source) {
            *target = f(*source);
        }
        if from.validity().bits().is_some() {
            let row_elements = from.field().row_elements();
            for (row, elements) in target.chunks_mut(row_elements.max(1)).enumerate() {
                if from.is_missing(row) {
                    elements.fill(U::default());
                }
            }
            self.set_validity(index, from.validity());
        }
        Ok(())
    }
}

/// Elements in a row of a column, at least 1.
pub(crate) fn row_elements(builder: &BatchBuilder, index: usize) -> usize {
    builder
        .schema()
        .field(index)
        .map_or(1, |f| f.row_elements().max(1))
}

fn wrong_column(builder: &BatchBuilder, index: usize, needed: &str) -> Error {
    Error::Internal(match builder.schema().field(index) {
        Some(field) => format!("column `{field}` was written as {needed}"),
        None => format!(
            "column {index} was written of a batch of {}",
            builder.schema().len()
        ),
    })
}

fn wrong_count(builder: &BatchBuilder, index: usize) -> Error {
    let column = builder.schema().field(index).map_or("?", |f| f.name.as_str());
    Error::Internal(format!(
        "column `{column}` was written with another number of elements than {} rows need",
        builder.rows()
    ))
}

/// The elements of one column, the validity bits if its block has any, and elements a row.
type Parts<'a, T> = (&'a mut [T], Option<&'a mut [u8]>, usize);

/// Changes a batch in place.
///
/// ```
/// # use caisson_plugin::prelude::*;
/// # use caisson_plugin::testing::batch;
/// let input = batch!["age": fp32 = [40.0, None]];
/// let output = Arc::new(Schema::new(vec![Field::new("age", DataType::Fp32)])?);
/// let mut edit = BatchEditor::new(input, &output)?;
/// edit.fill_missing(0, 30.0f32)?;
/// for age in edit.slice_mut::<f32>(0)? {
///     *age /= 10.0;
/// }
/// assert_eq!(edit.finish(), batch!["age": fp32 = [4.0, 3.0]]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct BatchEditor {
    schema: Arc<Schema>,
    rows: usize,
    blocks: Vec<Block>,
}

impl BatchEditor {
    /// Turn a batch into one of `output`, which must pack as the batch's own schema does: the same
    /// types and shapes in the same order. Names and nullability may differ.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a schema that packs in another way.
    pub fn new(batch: Batch, output: &Arc<Schema>) -> Result<Self, Error> {
        if batch.schema().blocks() != output.blocks() {
            return Err(Error::Internal(format!(
                "a batch of {} can't be edited into one of {output}: its columns differ in type or shape",
                batch.schema()
            )));
        }
        Ok(Self {
            schema: output.clone(),
            rows: batch.rows(),
            blocks: batch.into_blocks(),
        })
    }

    /// The elements of a column, to read and write, those of missing rows among them.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a column that isn't there or is of another type.
    pub fn slice_mut<T: Element>(&mut self, index: usize) -> Result<&mut [T], Error> {
        Ok(self.parts_mut(index)?.0)
    }

    /// Give every missing row of a column this value, and mark it present.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a column that isn't there or is of another type.
    pub fn fill_missing<T: Element>(&mut self, index: usize, value: T) -> Result<(), Error> {
        let (elements, bits, row_elements) = self.parts_mut::<T>(index)?;
        let Some(bits) = bits else {
            return Ok(());
        };
        let width = row_elements.max(1);
        for (byte, rows) in bits.iter().zip(elements.chunks_mut(8 * width)) {
            if *byte == 0xff {
                continue;
            }
            if let (1, Ok(eight)) = (width, <&mut [T; 8]>::try_from(&mut *rows)) {
                // Without a branch an element, and of a length that the compiler knows.
                for (bit, element) in eight.iter_mut().enumerate() {
                    *element = if byte >> bit & 1 == 0 { value } else { *element };
                }
                continue;
            }
            for (bit, elements) in rows.chunks_mut(width).enumerate() {
                if byte >> bit & 1 == 0 {
                    elements.fill(value);
                }
            }
        }
        bits.fill(0xff);
        Ok(())
    }

    /// Mark one row of a column missing, and zero its elements.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a row or column that isn't there, or a column of another type.
    pub fn set_missing<T: Element>(&mut self, index: usize, row: usize) -> Result<(), Error> {
        if row >= self.rows {
            return Err(Error::Internal(format!(
                "row {row} was marked missing of a batch of {}",
                self.rows
            )));
        }
        if let Some(slot) = self.schema.slot(index)
            && let Some(layout) = self.schema.blocks().get(slot.block)
            && let Some(block) = self.blocks.get_mut(slot.block)
        {
            let bytes = layout.validity_bytes(self.rows);
            block.validity.get_or_insert_with(|| vec![0xff; bytes]);
        }
        let (elements, bits, row_elements) = self.parts_mut::<T>(index)?;
        if let Some(byte) = bits.and_then(|bits| bits.get_mut(row / 8)) {
            *byte &= !(1 << (row % 8));
        }
        elements
            .iter_mut()
            .skip(row * row_elements)
            .take(row_elements)
            .for_each(|element| *element = T::default());
        Ok(())
    }

    /// The changed batch. The host checks it, and so do the helpers of
    /// [`testing`](crate::testing).
    pub fn finish(mut self) -> Batch {
        // A bitmap that says nothing is one more list to carry across.
        for block in &mut self.blocks {
            block.validity = block
                .validity
                .take()
                .filter(|bits| bits.iter().any(|&b| b != 0xff));
        }
        Batch::trusted(self.schema, self.rows, self.blocks)
    }

    fn parts_mut<T: Element>(&mut self, index: usize) -> Result<Parts<'_, T>, Error> {
        let place = self.schema.slot(index).zip(self.schema.field(index));
        let Some((slot, field)) = place.filter(|(_, f)| f.data_type == T::DATA_TYPE) else {
            return Err(self.wrong_column(index, T::DATA_TYPE));
        };
        let row_elements = field.row_elements();
        let elements = self.rows * row_elements;
        let bytes = self.rows.div_ceil(8);
        let range = |size: usize| -> Range<usize> { slot.column * size..(slot.column + 1) * size };
        let block = self
            .blocks
            .get_mut(slot.block)
            .ok_or_else(|| Error::internal("a block of the batch is missing"))?;
        let bits = block
            .validity
            .as_mut()
            .and_then(|bits| bits.get_mut(range(bytes)));
        let values = T::in_block(&mut block.values, range(elements))
            .ok_or_else(|| Error::internal("a block of the batch is too short"))?;
        Ok((values, bits, row_elements))
    }

    fn wrong_column(&self, index: usize, needed: DataType) -> Error {
        Error::Internal(match self.schema.field(index) {
            Some(field) => format!("column `{field}` was edited as {needed}"),
            None => format!("column {index} was edited of a batch of {}", self.schema.len()),
        })
    }
}
