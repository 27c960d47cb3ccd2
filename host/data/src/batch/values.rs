//! Elements of one type, one after the other.

use std::ops::Range;

use crate::schema::DataType;

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

    pub(super) fn is_consistent(&self) -> bool {
        self.offsets.first() == Some(&0)
            && self.offsets.is_sorted()
            && self
                .offsets
                .last()
                .is_some_and(|&end| end as usize == self.data.len())
    }

    pub(super) fn is_text(&self) -> bool {
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
