//! `batch!` and `schema!`: small tables written where a test needs them.

use std::sync::Arc;

use crate::edit::{BuilderExt, row_elements};
use crate::{Batch, BatchBuilder, Field, Schema};

/// A schema: `schema!["recency": fp32, "city": text?, "image": uint8[3, 224, 224]]`. The types are
/// those of the contract; `?` makes a column nullable. Gives an `Arc<Schema>`.
///
/// ```
/// use caisson_plugin::testing::schema;
/// let schema = schema!["recency": fp32, "city": text?, "image": uint8[3, 2]];
/// assert_eq!(schema.to_string(), "(recency: fp32, city: text?, image: uint8[3, 2])");
/// ```
#[macro_export]
macro_rules! schema {
    ($($columns:tt)*) => {
        $crate::testing::make_schema($crate::__schema!([] $($columns)*))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __schema {
    ([$($done:expr,)*]) => { ::std::vec![$($done),*] };
    ([$($done:expr,)*] $name:literal : $ty:ident $([$($dim:literal),*])? ? $(, $($rest:tt)*)?) => {
        $crate::__schema!([$($done,)* $crate::__field!($name, $ty, [$($($dim),*)?]).nullable(),] $($($rest)*)?)
    };
    ([$($done:expr,)*] $name:literal : $ty:ident $([$($dim:literal),*])? $(, $($rest:tt)*)?) => {
        $crate::__schema!([$($done,)* $crate::__field!($name, $ty, [$($($dim),*)?]),] $($($rest)*)?)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __field {
    ($name:literal, $ty:ident, [$($dim:literal),*]) => {
        $crate::Field::new($name, $crate::__type!($ty)).with_shape(::std::vec![$($dim),*])
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __type {
    (boolean) => {
        $crate::DataType::Boolean
    };
    (uint8) => {
        $crate::DataType::Uint8
    };
    (uint16) => {
        $crate::DataType::Uint16
    };
    (uint32) => {
        $crate::DataType::Uint32
    };
    (uint64) => {
        $crate::DataType::Uint64
    };
    (int8) => {
        $crate::DataType::Int8
    };
    (int16) => {
        $crate::DataType::Int16
    };
    (int32) => {
        $crate::DataType::Int32
    };
    (int64) => {
        $crate::DataType::Int64
    };
    (fp16) => {
        $crate::DataType::Fp16
    };
    (bf16) => {
        $crate::DataType::Bf16
    };
    (fp32) => {
        $crate::DataType::Fp32
    };
    (fp64) => {
        $crate::DataType::Fp64
    };
    (text) => {
        $crate::DataType::Text
    };
    (bytes) => {
        $crate::DataType::Bytes
    };
}

/// A batch: `batch!["recency": fp32 = [1.0, None, 3.0], "city": text = ["a", "b", "c"]]`.
///
/// A column with a `None` in it is nullable, and so is one whose type ends in `?`. A column with a
/// shape (`"image": fp32[2, 2] = [1.0, 2.0, 3.0, 4.0]`) lists its elements row by row; a row is
/// missing when any of its elements is `None`. Half types take their bits, `bytes` takes byte
/// strings. In place of a list any iterator of elements or `Option`s will do.
///
/// Panics, as a test wants it, when the columns differ in length.
///
/// ```
/// use caisson_plugin::testing::{batch, texts};
/// let batch = batch![
///     "recency": fp32 = [1.0, None, -3.0],
///     "city": text = ["Kiel", "Bonn", "Ulm"],
///     "point": fp64[2]? = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5],
/// ];
/// assert_eq!(batch.rows(), 3);
/// assert_eq!(batch.schema().to_string(), "(recency: fp32?, city: text, point: fp64[2]?)");
/// assert_eq!(texts(&batch, "city")[1], Some("Bonn"));
/// ```
#[macro_export]
macro_rules! batch {
    ($($columns:tt)*) => {
        $crate::testing::make_batch($crate::__batch!([] $($columns)*))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __batch {
    ([$($done:expr,)*]) => { ::std::vec![$($done),*] };
    ([$($done:expr,)*] $name:literal : $ty:ident $([$($dim:literal),*])? ? = [$($cell:expr),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::__batch!([$($done,)* (
            $crate::__field!($name, $ty, [$($($dim),*)?]).nullable(),
            $crate::__cells!($ty, [$($cell),*]),
        ),] $($($rest)*)?)
    };
    ([$($done:expr,)*] $name:literal : $ty:ident $([$($dim:literal),*])? = [$($cell:expr),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::__batch!([$($done,)* (
            $crate::__field!($name, $ty, [$($($dim),*)?]),
            $crate::__cells!($ty, [$($cell),*]),
        ),] $($($rest)*)?)
    };
    ([$($done:expr,)*] $name:literal : $ty:ident $([$($dim:literal),*])? ? = $cells:expr $(, $($rest:tt)*)?) => {
        $crate::__batch!([$($done,)* (
            $crate::__field!($name, $ty, [$($($dim),*)?]).nullable(),
            $crate::__cells!($ty, $cells),
        ),] $($($rest)*)?)
    };
    ([$($done:expr,)*] $name:literal : $ty:ident $([$($dim:literal),*])? = $cells:expr $(, $($rest:tt)*)?) => {
        $crate::__batch!([$($done,)* (
            $crate::__field!($name, $ty, [$($($dim),*)?]),
            $crate::__cells!($ty, $cells),
        ),] $($($rest)*)?)
    };
}

macro_rules! cells {
    ($($name:ident, $variant:ident, $ty:ty;)*) => {
        /// The elements of a column in `batch!`.
        #[doc(hidden)]
        #[derive(Debug)]
        pub enum Cells {
            $(#[doc = stringify!($name)] $variant(Vec<Option<$ty>>),)*
        }
    };
}

cells! {
    boolean, Boolean, bool;
    uint8, Uint8, u8;
    uint16, Uint16, u16;
    uint32, Uint32, u32;
    uint64, Uint64, u64;
    int8, Int8, i8;
    int16, Int16, i16;
    int32, Int32, i32;
    int64, Int64, i64;
    fp16, Fp16, u16;
    bf16, Bf16, u16;
    fp32, Fp32, f32;
    fp64, Fp64, f64;
    text, Text, String;
    bytes, Bytes, Vec<u8>;
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cells {
    (boolean, $cells:tt) => { $crate::__cells!(@as Boolean, bool, $cells) };
    (uint8, $cells:tt) => { $crate::__cells!(@as Uint8, u8, $cells) };
    (uint16, $cells:tt) => { $crate::__cells!(@as Uint16, u16, $cells) };
    (uint32, $cells:tt) => { $crate::__cells!(@as Uint32, u32, $cells) };
    (uint64, $cells:tt) => { $crate::__cells!(@as Uint64, u64, $cells) };
    (int8, $cells:tt) => { $crate::__cells!(@as Int8, i8, $cells) };
    (int16, $cells:tt) => { $crate::__cells!(@as Int16, i16, $cells) };
    (int32, $cells:tt) => { $crate::__cells!(@as Int32, i32, $cells) };
    (int64, $cells:tt) => { $crate::__cells!(@as Int64, i64, $cells) };
    (fp16, $cells:tt) => { $crate::__cells!(@as Fp16, u16, $cells) };
    (bf16, $cells:tt) => { $crate::__cells!(@as Bf16, u16, $cells) };
    (fp32, $cells:tt) => { $crate::__cells!(@as Fp32, f32, $cells) };
    (fp64, $cells:tt) => { $crate::__cells!(@as Fp64, f64, $cells) };
    (text, $cells:tt) => { $crate::__cells!(@as Text, &str, $cells) };
    (bytes, $cells:tt) => { $crate::__cells!(@as Bytes, &[u8], $cells) };
    (@as $variant:ident, $ty:ty, [$($cell:expr),*]) => {
        $crate::testing::Cells::$variant(::std::vec![
            $(::core::option::Option::<$ty>::from($cell).map(::core::convert::Into::into)),*
        ])
    };
    (@as $variant:ident, $ty:ty, $cells:expr) => {
        $crate::testing::Cells::$variant(
            ::core::iter::IntoIterator::into_iter($cells)
                .map(|cell| ::core::option::Option::<$ty>::from(cell).map(::core::convert::Into::into))
                .collect(),
        )
    };
}

/// What `schema!` expands to.
#[doc(hidden)]
#[track_caller]
pub fn make_schema(fields: Vec<Field>) -> Arc<Schema> {
    match Schema::new(fields) {
        Ok(schema) => Arc::new(schema),
        Err(error) => panic!("schema!: {error}"),
    }
}

/// What `batch!` expands to.
#[doc(hidden)]
#[track_caller]
pub fn make_batch(columns: Vec<(Field, Cells)>) -> Batch {
    match try_make(columns) {
        Ok(batch) => batch,
        Err(error) => panic!("batch!: {error}"),
    }
}

fn try_make(columns: Vec<(Field, Cells)>) -> Result<Batch, String> {
    let mut rows = None;
    let mut fields = Vec::with_capacity(columns.len());
    for (field, cells) in &columns {
        let (elements, any_missing) = cells.shape();
        let row_elements = field.row_elements().max(1);
        let own_rows = elements / row_elements;
        let (name, first) = (&field.name, *rows.get_or_insert(own_rows));
        if elements % row_elements != 0 || own_rows != first {
            return Err(format!(
                "column `{name}` has {elements} elements where {first} rows of {row_elements} are needed"
            ));
        }
        let mut field = field.clone();
        field.nullable |= any_missing;
        fields.push(field);
    }
    let schema = Arc::new(Schema::new(fields).map_err(|e| e.to_string())?);
    let mut builder = BatchBuilder::new(schema, rows.unwrap_or(0)).map_err(|e| e.to_string())?;
    for (index, (_, cells)) in columns.into_iter().enumerate() {
        cells.write(&mut builder, index).map_err(|e| e.to_string())?;
    }
    builder.finish().map_err(|e| e.to_string())
}

macro_rules! each_cells {
    ($cells:expr, $list:ident => $run:expr) => {
        match $cells {
            Cells::Boolean($list) => $run,
            Cells::Uint8($list) => $run,
            Cells::Uint16($list) | Cells::Fp16($list) | Cells::Bf16($list) => $run,
            Cells::Uint32($list) => $run,
            Cells::Uint64($list) => $run,
            Cells::Int8($list) => $run,
            Cells::Int16($list) => $run,
            Cells::Int32($list) => $run,
            Cells::Int64($list) => $run,
            Cells::Fp32($list) => $run,
            Cells::Fp64($list) => $run,
            Cells::Text($list) => $run,
            Cells::Bytes($list) => $run,
        }
    };
}

impl Cells {
    /// Number of elements, and is any missing?
    fn shape(&self) -> (usize, bool) {
        each_cells!(self, list => (list.len(), list.iter().any(Option::is_none)))
    }

    fn write(self, builder: &mut BatchBuilder, index: usize) -> Result<(), crate::Error> {
        match self {
            Self::Uint8(list) => builder.fill(index, list),
            Self::Uint16(list) => builder.fill(index, list),
            Self::Uint32(list) => builder.fill(index, list),
            Self::Uint64(list) => builder.fill(index, list),
            Self::Int8(list) => builder.fill(index, list),
            Self::Int16(list) => builder.fill(index, list),
            Self::Int32(list) => builder.fill(index, list),
            Self::Int64(list) => builder.fill(index, list),
            Self::Fp32(list) => builder.fill(index, list),
            Self::Fp64(list) => builder.fill(index, list),
            Self::Text(list) => builder.fill_text(index, list),
            // No Rust type of their own, so no `fill`.
            Self::Boolean(list) => {
                raw(
                    builder,
                    index,
                    list.into_iter().map(|x| x.map(u8::from)),
                    BatchBuilder::booleans_mut,
                );
                Ok(())
            }
            Self::Fp16(list) => {
                raw(builder, index, list, BatchBuilder::fp16s_mut);
                Ok(())
            }
            Self::Bf16(list) => {
                raw(builder, index, list, BatchBuilder::bf16s_mut);
                Ok(())
            }
            Self::Bytes(list) => {
                let row_elements = row_elements(builder, index);
                for (i, element) in list.into_iter().enumerate() {
                    if let Some(list) = builder.varlen_mut(index) {
                        list.push(element.as_deref().unwrap_or_default())
                            .ok_or_else(|| crate::Error::internal("4 GiB of bytes"))?;
                    }
                    if element.is_none() {
                        builder.set_missing(index, i / row_elements);
                    }
                }
                Ok(())
            }
        }
    }
}

fn raw<T: Copy>(
    builder: &mut BatchBuilder,
    index: usize,
    list: impl IntoIterator<Item = Option<T>>,
    elements: impl Fn(&mut BatchBuilder, usize) -> Option<&mut [T]>,
) {
    let row_elements = row_elements(builder, index);
    for (i, element) in list.into_iter().enumerate() {
        match element {
            Some(element) => {
                if let Some(slot) = elements(builder, index).and_then(|list| list.get_mut(i)) {
                    *slot = element;
                }
            }
            None => builder.set_missing(index, i / row_elements),
        }
    }
}
