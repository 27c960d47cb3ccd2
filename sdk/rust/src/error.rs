//! Why a plugin's call failed: the contract's `error` variant.

use caisson_data::{BatchError, SchemaError};

/// Why a call failed. The host adds tenant, deployment and stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The config fits its JSON Schema and still makes no sense. Only from `configure`.
    #[error("invalid config: {0}")]
    InvalidConfig(String),
    /// The input schema doesn't suit: say which column, what was found and what is needed. Only
    /// from `configure`.
    #[error("the schema doesn't suit: {0}")]
    SchemaMismatch(String),
    /// These values can't be processed: the caller's fault, HTTP 422.
    #[error("bad input{}: {message}", place(*.row, .column.as_deref()))]
    BadInput {
        /// Counted from 0; `None` where the whole column is meant.
        row: Option<u32>,
        /// Name of the field; `None` where the whole row is meant.
        column: Option<String>,
        /// For a person: the value found and the rule.
        message: String,
    },
    /// The plugin's own fault, HTTP 500.
    #[error("internal error: {0}")]
    Internal(String),
}

fn place(row: Option<u32>, column: Option<&str>) -> String {
    match (row, column) {
        (Some(row), Some(column)) => format!(" in row {row}, column `{column}`"),
        (Some(row), None) => format!(" in row {row}"),
        (None, Some(column)) => format!(" in column `{column}`"),
        (None, None) => String::new(),
    }
}

impl Error {
    /// [`Error::InvalidConfig`].
    pub fn invalid_config(message: impl Into<String>) -> Self {
        Self::InvalidConfig(message.into())
    }

    /// [`Error::SchemaMismatch`].
    pub fn schema_mismatch(message: impl Into<String>) -> Self {
        Self::SchemaMismatch(message.into())
    }

    /// [`Error::BadInput`] for one value. `row` counts from 0.
    pub fn bad_input(row: usize, column: impl Into<String>, message: impl Into<String>) -> Self {
        Self::BadInput {
            row: u32::try_from(row).ok(),
            column: Some(column.into()),
            message: message.into(),
        }
    }

    /// [`Error::BadInput`] for a whole column.
    pub fn bad_column(column: impl Into<String>, message: impl Into<String>) -> Self {
        Self::BadInput {
            row: None,
            column: Some(column.into()),
            message: message.into(),
        }
    }

    /// [`Error::BadInput`] for a whole row, counted from 0.
    pub fn bad_row(row: usize, message: impl Into<String>) -> Self {
        Self::BadInput {
            row: u32::try_from(row).ok(),
            column: None,
            message: message.into(),
        }
    }

    /// [`Error::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into())
    }
}

/// A schema that a plugin declares and that is none: its config asks for a duplicate name, say.
impl From<SchemaError> for Error {
    fn from(error: SchemaError) -> Self {
        Self::InvalidConfig(format!("the output schema would be unusable: {error}"))
    }
}

/// Blocks that a plugin made and that don't fit its own schema.
impl From<BatchError> for Error {
    fn from(error: BatchError) -> Self {
        Self::Internal(error.to_string())
    }
}
