//! Write Caisson plugins in Rust: a struct and one trait.
//!
//! A plugin transforms, validates, compares or predicts batches of rows inside Caisson's sandbox.
//! Implement the trait of its world on a struct that holds what `configure` found out, and
//! [`export!`] it:
//!
//! | world | trait | gets | gives |
//! | --- | --- | --- | --- |
//! | transform | [`Transform`] | a batch | a batch with the same rows |
//! | validator | [`Validator`] | a batch | the rules that its rows break |
//! | drift check | [`DriftCheck`] | a reference, then current data | a report a feature |
//! | predictor | [`Predictor`] | a batch, and models that the host runs | a batch with the same rows |
//!
//! ```
//! use caisson_plugin::prelude::*;
//!
//! /// Settings, as a deployment file gives them; their JSON Schema is derived.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     /// Columns to limit; every floating-point column where absent.
//!     #[serde(default)]
//!     columns: Columns,
//!     /// The largest value that stays as it is.
//!     max: f32,
//! }
//!
//! struct Cap {
//!     columns: Vec<usize>,
//!     max: f32,
//!     output: Arc<Schema>,
//! }
//!
//! impl Transform for Cap {
//!     type Config = Config;
//!
//!     const ABOUT: About = About {
//!         name: "cap",
//!         version: "0.1.0",
//!         help: "Limits values: min(x, max). Missing values stay missing, NaN stays NaN.",
//!     };
//!
//!     fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
//!         let fp32 = Need::new("a scalar fp32", |f| f.is_scalar() && f.data_type == DataType::Fp32);
//!         let columns = config.columns.resolve(input, fp32)?;
//!         let cap = Self { columns, max: config.max, output: input.clone() };
//!         Ok((cap, (**input).clone()))
//!     }
//!
//!     fn apply(&self, input: Batch) -> Result<Batch, Error> {
//!         let mut edit = BatchEditor::new(input, &self.output)?;
//!         for &column in &self.columns {
//!             for x in edit.slice_mut::<f32>(column)? {
//!                 if *x > self.max {
//!                     *x = self.max;
//!                 }
//!             }
//!         }
//!         Ok(edit.finish())
//!     }
//! }
//!
//! caisson_plugin::export!(transform: Cap);
//!
//! // The same code runs natively, in `cargo test`:
//! # fn main() -> Result<(), Error> {
//! use caisson_plugin::testing::{assert_column, batch, configure, json};
//! let input = batch!["spent": fp32 = [12.0, None, 900.0]];
//! let cap = configure::<Cap>(json!({"max": 100}), input.schema())?;
//! assert_column(&cap.apply(input)?, "spent", &[Some(12.0), None, Some(100.0)], 0.0);
//! # Ok(())
//! # }
//! ```
//!
//! The crate's README goes from nothing to a pushed plugin. What the host promises and expects is
//! in `wit/`; this crate moves the batch's lists across that boundary without touching an element.
//!
//! # Dependencies of a plugin
//!
//! `caisson-plugin`, and `serde` and `schemars` for the two derives of the config.

mod column;
mod config;
pub mod dates;
mod edit;
pub mod elementwise;
mod error;
mod export;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;
pub mod literal;
mod log;
mod models;
mod output;
mod plugin;
mod report;
mod select;
pub mod show;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod violations;

pub use caisson_data::{
    Batch, BatchBuilder, BatchError, Block, Column, DataType, Field, Schema, SchemaError, Validity, Values,
    VarLen, match_values,
};
pub use column::{ColumnExt, Element, Numbers};
pub use edit::{BatchEditor, BatchExt, BuilderExt};
pub use error::Error;
pub use log::{Level, log};
pub use models::{Elements, Input, Model, Models, Outputs, Tensor, TensorType};
pub use output::{Output, OutputPlan};
pub use plugin::{About, DriftCheck, Plugin, Predictor, Transform, Validator, World};
pub use report::{DriftReport, DriftStatus, FeatureDrift, Severity, Violation};
pub use select::{Columns, Need};
pub use {schemars, serde, serde_json};

/// What nearly every plugin uses.
pub mod prelude {
    pub use std::sync::Arc;

    pub use schemars::JsonSchema;
    pub use serde::Deserialize;

    pub use crate::{
        About, Batch, BatchBuilder, BatchEditor, BatchExt, BuilderExt, Column, ColumnExt, Columns, DataType,
        DriftCheck, DriftReport, DriftStatus, Elements, Error, FeatureDrift, Field, Models, Need, Output,
        OutputPlan, Outputs, Predictor, Schema, Severity, Tensor, Transform, Validator, Violation, debug,
        error, export, info, warn,
    };
}
