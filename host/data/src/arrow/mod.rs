//! Arrow IPC streams, as pyarrow, pandas, polars and DuckDB read and write them.
//!
//! | column | Arrow type | also read |
//! | --- | --- | --- |
//! | `boolean` | `Bool` | |
//! | integers | `UInt8` … `Int64` | |
//! | `fp16`, `fp32`, `fp64` | `Float16`, `Float32`, `Float64` | |
//! | `bf16` | `UInt16` of the bits, extension name `caisson.bfloat16`, for Arrow has no such type | |
//! | `text` | `Utf8`; `LargeUtf8` from 2 GiB on | `LargeUtf8`, `Utf8View` |
//! | `bytes` | `Binary`; `LargeBinary` from 2 GiB on | `LargeBinary`, `BinaryView` |
//! | with a shape | `FixedSizeList` in `FixedSizeList`, one a dimension | one `FixedSizeList` of all elements |
//! | missing | null; for a column with a shape, the outermost list | a column of type `Null` |
//!
//! Every bit is kept, those of NaN too. Columns are found by name and types must be the column's:
//! nothing is converted. A null inside a list is an error, for a batch can't hold it. A nullable
//! column may be absent. Compressed streams and dictionaries are refused.
//!
//! [`decode`] and [`encode`] take a stream whole, [`StreamReader`] and [`StreamWriter`] as it comes and
//! goes.
//!
//! The stream must end with its end-of-stream marker, so that one that was cut off is refused.

mod decode;
mod encode;
mod stream;

pub use decode::decode;
#[cfg(feature = "parquet")]
pub(crate) use encode::arrow_schema;
pub use encode::{EncodeError, StreamWriter, encode, record_batch};
pub use stream::{RECORD_BATCH_ROWS_MAX, StreamReader, StreamTable};

/// Field metadata that names an extension type.
const EXTENSION_NAME: &str = "ARROW:extension:name";
/// The extension type of bfloat16 bits.
const BFLOAT16: &str = "caisson.bfloat16";
