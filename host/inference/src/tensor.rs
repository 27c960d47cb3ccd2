//! Tensors on their way in and out.

use std::borrow::Cow;
use std::sync::Arc;

use caisson_data::{Column, DataType, Values, VarLen};

/// One tensor that a model gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Name of the output.
    pub name: Arc<str>,
    /// Sizes of the dimensions; empty for a single element.
    pub shape: Vec<usize>,
    /// Elements, the last dimension fastest.
    pub values: Values,
}

/// One tensor for a model, named as its input.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// Name of the model's input.
    pub name: Cow<'a, str>,
    /// Sizes of the dimensions; empty for a single element.
    pub shape: Cow<'a, [usize]>,
    /// Elements, the last dimension fastest.
    pub values: InputValues<'a>,
}

impl<'a> Input<'a> {
    /// An input of borrowed elements.
    pub fn borrowed(name: &'a str, shape: &'a [usize], values: ValuesRef<'a>) -> Self {
        Self {
            name: Cow::Borrowed(name),
            shape: Cow::Borrowed(shape),
            values: InputValues::Borrowed(values),
        }
    }

    /// An input of its own elements, which it gives away.
    pub fn owned(name: &'a str, shape: &'a [usize], values: Values) -> Self {
        Self {
            name: Cow::Borrowed(name),
            shape: Cow::Borrowed(shape),
            values: InputValues::Owned(values),
        }
    }

    /// The same input, with nothing borrowed.
    pub(crate) fn into_owned(self) -> Input<'static> {
        Input {
            name: Cow::Owned(self.name.into_owned()),
            shape: Cow::Owned(self.shape.into_owned()),
            values: InputValues::Owned(match self.values {
                InputValues::Owned(values) => values,
                InputValues::Borrowed(values) => values.to_values(),
            }),
        }
    }
}

/// Elements of an input.
#[derive(Debug, Clone)]
pub enum InputValues<'a> {
    /// Read where they lie.
    Borrowed(ValuesRef<'a>),
    /// Given away.
    Owned(Values),
}

impl InputValues<'_> {
    /// The element type.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Borrowed(values) => values.data_type(),
            Self::Owned(values) => values.data_type(),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Borrowed(values) => values.len(),
            Self::Owned(values) => values.len(),
        }
    }

    /// Is there no element?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A run of elements of variable length.
#[derive(Debug, Clone, Copy)]
pub struct TextRef<'a> {
    all: &'a VarLen,
    start: usize,
    len: usize,
}

impl<'a> TextRef<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is there no element?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements' bytes.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let all = self.all;
        (self.start..self.start + self.len).map(move |i| all.get(i).unwrap_or_default())
    }
}

macro_rules! values_ref {
    ($($variant:ident: $ty:ty,)*) => {
        /// Borrowed elements.
        #[derive(Debug, Clone, Copy)]
        #[allow(missing_docs, reason = "the variants are those of DataType")]
        pub enum ValuesRef<'a> {
            $($variant(&'a [$ty]),)*
            Text(TextRef<'a>),
        }

        impl<'a> ValuesRef<'a> {
            /// The elements of a column; `None` for a column of bytes, which ONNX doesn't have.
            pub fn of(column: &Column<'a>) -> Option<Self> {
                let (values, range) = column.block_range();
                match values {
                    $(Values::$variant(list) => list.get(range).map(Self::$variant),)*
                    Values::Text(all) => Some(Self::Text(TextRef { all, start: range.start, len: range.len() })),
                    Values::Bytes(_) => None,
                }
            }

            /// All elements; `None` for bytes.
            pub fn all(values: &'a Values) -> Option<Self> {
                match values {
                    $(Values::$variant(list) => Some(Self::$variant(list)),)*
                    Values::Text(all) => Some(Self::Text(TextRef { all, start: 0, len: all.len() })),
                    Values::Bytes(_) => None,
                }
            }

            /// The element type.
            pub fn data_type(&self) -> DataType {
                match self {
                    $(Self::$variant(_) => DataType::$variant,)*
                    Self::Text(_) => DataType::Text,
                }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(list) => list.len(),)*
                    Self::Text(list) => list.len(),
                }
            }

            /// Is there no element?
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Where the elements lie; 0 for text, which ONNX Runtime never reads in place.
            pub(crate) fn address(&self) -> usize {
                match self {
                    $(Self::$variant(list) => list.as_ptr().addr(),)*
                    Self::Text(_) => 0,
                }
            }

            /// A copy of the elements.
            pub fn to_values(&self) -> Values {
                match self {
                    $(Self::$variant(list) => Values::$variant(list.to_vec()),)*
                    Self::Text(list) => Values::Text(join(list.iter())),
                }
            }
        }
    };
}

values_ref! {
    Boolean: u8,
    Uint8: u8,
    Uint16: u16,
    Uint32: u32,
    Uint64: u64,
    Int8: i8,
    Int16: i16,
    Int32: i32,
    Int64: i64,
    Fp16: u16,
    Bf16: u16,
    Fp32: f32,
    Fp64: f64,
}

/// Elements end to end. Callers take them from lists that were in memory with offsets of `u32`, so
/// the sum fits.
pub(crate) fn join<'a>(elements: impl Iterator<Item = &'a [u8]>) -> VarLen {
    let mut all = VarLen::default();
    for element in elements {
        if all.push(element).is_none() {
            break;
        }
    }
    all
}
