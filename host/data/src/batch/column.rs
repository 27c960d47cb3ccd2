//! One column of a batch, where it lies.

use super::Values;
use crate::schema::Field;

/// Which rows of a column have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity<'a> {
    bits: Option<&'a [u8]>,
}

impl<'a> Validity<'a> {
    /// This bitmap, or every row.
    pub(super) fn of(bits: Option<&'a [u8]>) -> Self {
        Self { bits }
    }

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
    pub(super) field: &'a Field,
    pub(super) rows: usize,
    pub(super) values: &'a Values,
    /// Where in the block its elements begin.
    pub(super) start: usize,
    pub(super) elements: usize,
    pub(super) validity: Validity<'a>,
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
