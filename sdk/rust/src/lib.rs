//! Write Caisson plugins in Rust: a struct and one trait.
mod error;
mod log;
mod models;
mod plugin;
mod report;

pub use caisson_data::{
    Batch, BatchBuilder, BatchError, Block, Column, DataType, Field, Schema, SchemaError, Validity, Values,
    VarLen, match_values,
};
pub use error::Error;
pub use log::{Level, log};
pub use models::{Elements, Input, Model, Models, Outputs, Tensor, TensorType};
pub use plugin::{About, DriftCheck, Predictor, Transform, Validator};
pub use report::{DriftReport, DriftStatus, FeatureDrift, Severity, Violation};
pub use {schemars, serde, serde_json};

/// What nearly every plugin uses.
pub mod prelude {
    pub use std::sync::Arc;

    pub use schemars::JsonSchema;
    pub use serde::Deserialize;

    pub use crate::{
        About, Batch, BatchBuilder, Column, DataType, DriftCheck, DriftReport, DriftStatus, Elements, Error,
        FeatureDrift, Field, Models, Outputs, Predictor, Schema, Severity, Tensor, Transform, Validator,
        Violation, debug, error, info, warn,
    };
}
