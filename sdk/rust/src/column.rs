//! Typed views of columns: slices without copies, iterators that tell missing values apart.
//!
//! [`ColumnExt`] adds to [`Column`] what a plugin's code wants: errors that name column and types
//! instead of `None`, and iterators over `Option`s. An iterator gives one item an *element*, which
//! for a scalar column is one a row; a column with a shape is missing a row at a time, so all
//! elements of such a row are `None`.

use std::ops::Range;

use caisson_data::{BatchBuilder, Column, DataType, Validity, Values};

use crate::Error;

mod sealed {
    pub trait Sealed {}
}

/// A Rust number that is the element type of a column. Booleans (bytes of 0 and 1) and the two
/// half types (their bits) have no Rust type of their own: see [`Column::booleans`],
/// [`Column::fp16s`], [`Column::bf16s`].
pub trait Element: Copy + Default + sealed::Sealed + 'static {
    /// The column type.
    const DATA_TYPE: DataType;

    /// The elements of a column of this type.
    fn of<'a>(column: &Column<'a>) -> Option<&'a [Self]>;

    /// The elements of a builder's column of this type.
    fn of_mut(builder: &mut BatchBuilder, index: usize) -> Option<&mut [Self]>;

    /// The elements of a block of this type.
    fn in_block(values: &mut Values, range: Range<usize>) -> Option<&mut [Self]>;
}

macro_rules! elements {
    ($($ty:ty, $variant:ident, $read:ident, $write:ident;)*) => {$(
        impl sealed::Sealed for $ty {}

        impl Element for $ty {
            const DATA_TYPE: DataType = DataType::$variant;

            fn of<'a>(column: &Column<'a>) -> Option<&'a [Self]> {
                column.$read()
            }

            fn of_mut(builder: &mut BatchBuilder, index: usize) -> Option<&mut [Self]> {
                builder.$write(index)
            }

            fn in_block(values: &mut Values, range: Range<usize>) -> Option<&mut [Self]> {
                match values {
                    Values::$variant(list) => list.get_mut(range),
                    _ => None,
                }
            }
        }
    )*};
}

elements! {
    u8, Uint8, uint8s, uint8s_mut;
    u16, Uint16, uint16s, uint16s_mut;
    u32, Uint32, uint32s, uint32s_mut;
    u64, Uint64, uint64s, uint64s_mut;
    i8, Int8, int8s, int8s_mut;
    i16, Int16, int16s, int16s_mut;
    i32, Int32, int32s, int32s_mut;
    i64, Int64, int64s, int64s_mut;
    f32, Fp32, fp32s, fp32s_mut;
    f64, Fp64, fp64s, fp64s_mut;
}

/// More views of a [`Column`].
pub trait ColumnExt<'a> {
    /// The elements, without a copy. Those of missing rows are among them and mean nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a column of another type.
    fn slice<T: Element>(&self) -> Result<&'a [T], Error>;

    /// Each element, `None` where it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a column of another type.
    fn options<T: Element>(&self) -> Result<impl Iterator<Item = Option<T>> + 'a, Error>;

    /// Each element of a boolean column, `None` where it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a column of another type.
    fn bools(&self) -> Result<impl Iterator<Item = Option<bool>> + 'a, Error>;

    /// Each element of a text column, `None` where it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a column of another type.
    fn texts(&self) -> Result<impl Iterator<Item = Option<&'a str>> + 'a, Error>;

    /// Each element of a numeric or boolean column as the nearest `f64`, `None` where it is
    /// missing. 64-bit integers past 2⁵³ round; NaN stays NaN.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for text and bytes.
    fn numbers(&self) -> Result<Numbers<'a>, Error>;

    /// The elements that are present, as [`numbers`](Self::numbers) gives them: what statistics
    /// are computed from.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for text and bytes.
    fn present_numbers(&self) -> Result<Vec<f64>, Error> {
        let numbers = self.numbers()?;
        let mut present = Vec::with_capacity(numbers.size_hint().0);
        numbers.for_each(|number| present.extend(number));
        Ok(present)
    }

    /// Has this row no value?
    fn is_missing(&self, row: usize) -> bool;

    /// How many rows have no value.
    fn count_missing(&self) -> usize;
}

impl<'a> ColumnExt<'a> for Column<'a> {
    fn slice<T: Element>(&self) -> Result<&'a [T], Error> {
        T::of(self).ok_or_else(|| type_error(self, T::DATA_TYPE.name()))
    }

    fn options<T: Element>(&self) -> Result<impl Iterator<Item = Option<T>> + 'a, Error> {
        Ok(with_validity(self, self.slice::<T>()?).map(|element| element.copied()))
    }

    fn bools(&self) -> Result<impl Iterator<Item = Option<bool>> + 'a, Error> {
        let bytes = self.booleans().ok_or_else(|| type_error(self, "boolean"))?;
        Ok(with_validity(self, bytes).map(|byte| byte.map(|&b| b != 0)))
    }

    fn texts(&self) -> Result<impl Iterator<Item = Option<&'a str>> + 'a, Error> {
        if self.field().data_type != DataType::Text {
            return Err(type_error(self, "text"));
        }
        let column = *self;
        let mut rows = Rows::new(self);
        Ok((0..self.elements()).map(move |i| {
            if rows.next_is_present() {
                column.text(i)
            } else {
                None
            }
        }))
    }

    fn numbers(&self) -> Result<Numbers<'a>, Error> {
        let (values, range) = self.block_range();
        if matches!(values, Values::Text(_) | Values::Bytes(_)) {
            return Err(type_error(self, "a number"));
        }
        Ok(Numbers {
            values,
            range,
            rows: Rows::new(self),
        })
    }

    fn is_missing(&self, row: usize) -> bool {
        !self.validity().is_present(row)
    }

    fn count_missing(&self) -> usize {
        match self.validity().bits() {
            None => 0,
            Some(_) => self.validity().count_missing(self.rows()),
        }
    }
}

fn with_validity<'a, T>(column: &Column<'a>, elements: &'a [T]) -> impl Iterator<Item = Option<&'a T>> + 'a {
    let mut rows = Rows::new(column);
    elements
        .iter()
        .map(move |element| rows.next_is_present().then_some(element))
}

fn type_error(column: &Column<'_>, needed: &str) -> Error {
    Error::Internal(format!("column `{}` was read as {needed}", column.field()))
}

/// Walks the elements of a column and says for each whether its row has a value.
#[derive(Debug, Clone)]
struct Rows<'a> {
    validity: Validity<'a>,
    row_elements: usize,
    row: usize,
    within: usize,
}

impl<'a> Rows<'a> {
    fn new(column: &Column<'a>) -> Self {
        Self {
            validity: column.validity(),
            row_elements: column.field().row_elements(),
            row: 0,
            within: 0,
        }
    }

    /// Ask once for each element, in order.
    fn next_is_present(&mut self) -> bool {
        let present = self.validity.is_present(self.row);
        self.within += 1;
        if self.within >= self.row_elements {
            self.within = 0;
            self.row += 1;
        }
        present
    }
}

/// The elements of a numeric column as `Option<f64>`; see [`ColumnExt::numbers`].
///
/// `for_each`, `fold` and what is built on them (`sum`, `count`, `collect` into most collections)
/// look at the column's type once, not once an element.
#[derive(Debug, Clone)]
pub struct Numbers<'a> {
    values: &'a Values,
    range: Range<usize>,
    rows: Rows<'a>,
}

/// Run an expression on the block's list with a function that turns an element into `f64`. Text
/// can't come here: `numbers` refuses it.
macro_rules! as_f64 {
    ($values:expr, $list:ident, $convert:ident => $run:expr, $text:expr) => {
        match $values {
            Values::Boolean($list) | Values::Uint8($list) => as_f64!(@from u8, $convert, $run),
            Values::Uint16($list) => as_f64!(@from u16, $convert, $run),
            Values::Uint32($list) => as_f64!(@from u32, $convert, $run),
            Values::Uint64($list) => {
                let $convert = |x: &u64| *x as f64;
                $run
            }
            Values::Int8($list) => as_f64!(@from i8, $convert, $run),
            Values::Int16($list) => as_f64!(@from i16, $convert, $run),
            Values::Int32($list) => as_f64!(@from i32, $convert, $run),
            Values::Int64($list) => {
                let $convert = |x: &i64| *x as f64;
                $run
            }
            Values::Fp16($list) => {
                let $convert = |x: &u16| half::f16::from_bits(*x).to_f64();
                $run
            }
            Values::Bf16($list) => {
                let $convert = |x: &u16| half::bf16::from_bits(*x).to_f64();
                $run
            }
            Values::Fp32($list) => as_f64!(@from f32, $convert, $run),
            Values::Fp64($list) => {
                let $convert = |x: &f64| *x;
                $run
            }
            Values::Text(_) | Values::Bytes(_) => $text,
        }
    };
    (@from $ty:ty, $convert:ident, $run:expr) => {{
        let $convert = |x: &$ty| f64::from(*x);
        $run
    }};
}

impl Iterator for Numbers<'_> {
    type Item = Option<f64>;

    fn next(&mut self) -> Option<Option<f64>> {
        let index = self.range.next()?;
        let number = as_f64!(self.values, list, convert => list.get(index).map(convert), None)?;
        Some(self.rows.next_is_present().then_some(number))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.range.len(), Some(self.range.len()))
    }

    fn fold<B, F: FnMut(B, Option<f64>) -> B>(mut self, init: B, mut f: F) -> B {
        let range = self.range.clone();
        let all_present = self.rows.validity.bits().is_none();
        as_f64!(
            self.values,
            list,
            convert => {
                let elements = list.get(range).unwrap_or_default().iter().map(convert);
                if all_present {
                    elements.fold(init, |acc, x| f(acc, Some(x)))
                } else {
                    elements.fold(init, |acc, x| f(acc, self.rows.next_is_present().then_some(x)))
                }
            },
            init
        )
    }
}

impl ExactSizeIterator for Numbers<'_> {}
