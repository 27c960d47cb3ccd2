//! Batches, columns and schemas, and the one set of codecs for them.
//!
//! A [`Batch`] is rows of a [`Schema`], packed as the plugin contract packs them (`wit/types.wit`):
//! scalar fields of one type share a column-major [`Block`], a field with a shape has its own. A
//! batch therefore crosses into a plugin, or into a model, without being taken apart.
//!
//! This crate knows nothing of WebAssembly, ONNX or HTTP.

mod batch;
mod schema;

pub use batch::{Batch, BatchError, Block, Column, Validity, Values, VarLen};
pub use schema::{
    BlockLayout, DataType, FIELDS_MAX, Field, NAME_BYTES_MAX, RANK_MAX, ROW_ELEMENTS_MAX, Schema,
    SchemaError, Slot,
};
