//! Batches, columns and schemas, and the one set of codecs for them.
//!
//! A [`Batch`] is rows of a [`Schema`], packed as the plugin contract packs them (`wit/types.wit`):
//! scalar fields of one type share a column-major [`Block`], a field with a shape has its own. A
//! batch therefore crosses into a plugin, or into a model, without being taken apart.
//!
//! Without the default feature `codecs` the crate is batches, schemas and the builder alone: that is
//! the form in which plugins use it.
//!
//! This crate knows nothing of WebAssembly, ONNX or HTTP.

#[cfg(feature = "codecs")]
pub mod arrow;
mod batch;
mod builder;
#[cfg(feature = "codecs")]
mod codec;
#[cfg(feature = "codecs")]
pub mod csv;
#[cfg(feature = "codecs")]
pub mod ndjson;
#[cfg(feature = "codecs")]
pub mod oip;
#[cfg(feature = "codecs")]
pub mod oip_binary;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(feature = "codecs")]
pub mod records;
#[cfg(feature = "codecs")]
pub mod rows;
mod schema;
mod select;

pub use batch::{Batch, BatchError, Block, Column, Validity, Values, VarLen};
pub use builder::BatchBuilder;
#[cfg(feature = "codecs")]
pub use codec::{DecodeError, DecodeLimits, Sifted, code};
pub use schema::{
    BlockLayout, DataType, FIELDS_MAX, Field, NAME_BYTES_MAX, RANK_MAX, ROW_ELEMENTS_MAX, Schema,
    SchemaError, Slot,
};
