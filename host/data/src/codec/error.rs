//! Why something isn't a batch of a schema.

use std::fmt;

use crate::batch::BatchError;

/// What a decoding error is about, for machines. Stable: clients may match on them.
pub mod code {
    /// Not JSON, or cut off.
    pub const BAD_JSON: &str = "bad-json";
    /// Not CSV: quotes that don't close, rows of different lengths, no header.
    pub const BAD_CSV: &str = "bad-csv";
    /// Not an Arrow stream, or one that says what no column can hold.
    pub const BAD_ARROW: &str = "bad-arrow";
    /// JSON, and not of the form that the protocol asks for.
    pub const BAD_REQUEST: &str = "bad-request";
    /// Binary tensors whose sizes disagree with their shapes or with the body.
    pub const BAD_TENSOR: &str = "bad-tensor";
    /// Bytes that aren't UTF-8 where text is needed.
    pub const INVALID_UTF8: &str = "invalid-utf8";
    /// A column that isn't nullable is absent.
    pub const MISSING_COLUMN: &str = "missing-column";
    /// A value is missing in a column that isn't nullable.
    pub const MISSING_VALUE: &str = "missing-value";
    /// A column that the schema doesn't have.
    pub const UNKNOWN_COLUMN: &str = "unknown-column";
    /// A column that is given twice.
    pub const DUPLICATE_COLUMN: &str = "duplicate-column";
    /// A value of another type, or a declared type that isn't the column's.
    pub const WRONG_TYPE: &str = "wrong-type";
    /// A number that the column's type can't hold.
    pub const OUT_OF_RANGE: &str = "out-of-range";
    /// Lists whose lengths aren't the column's shape.
    pub const WRONG_SHAPE: &str = "wrong-shape";
    /// More rows than allowed.
    pub const TOO_MANY_ROWS: &str = "too-many-rows";
    /// A body or a batch of more bytes than allowed.
    pub const TOO_LARGE: &str = "too-large";
    /// Lists in lists past the allowed depth.
    pub const TOO_DEEP: &str = "too-deep";
}

/// Why something isn't a batch of a schema: always the caller's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// One of [`code`].
    pub code: &'static str,
    /// Row, from 0, where the error is in one.
    pub row: Option<usize>,
    /// Column, where the error is in one; also one that the schema doesn't have.
    pub column: Option<String>,
    /// For a person, without row and column, which [`Display`](fmt::Display) puts before it.
    pub message: String,
}

impl DecodeError {
    /// An error in no particular row or column.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            row: None,
            column: None,
            message: message.into(),
        }
    }

    /// The same error, in this row unless it already has one.
    #[must_use]
    pub fn in_row(mut self, row: usize) -> Self {
        self.row.get_or_insert(row);
        self
    }

    /// The same error, in the row of this element of a tensor, and with its index where a row has more
    /// than one.
    #[must_use]
    pub(crate) fn in_element(mut self, element: usize, row_elements: usize) -> Self {
        if row_elements > 1 {
            self.message = format!("element {element} of the tensor: {}", self.message);
        }
        self.in_row(element / row_elements.max(1))
    }

    /// The same error, in this column unless it already has one.
    #[must_use]
    pub fn in_column(mut self, column: &str) -> Self {
        self.column.get_or_insert_with(|| cut(column).to_owned());
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.row, &self.column) {
            (Some(row), Some(column)) => write!(f, "row {row}, column `{column}`: ")?,
            (Some(row), None) => write!(f, "row {row}: ")?,
            (None, Some(column)) => write!(f, "column `{column}`: ")?,
            (None, None) => {}
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}

impl From<BatchError> for DecodeError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Missing { row, column } => Self {
                code: code::MISSING_VALUE,
                row: Some(row),
                column: Some(column),
                message: "the value is missing and the column is not nullable".to_owned(),
            },
            BatchError::TooManyRows(rows) => Self::new(
                code::TOO_MANY_ROWS,
                format!("a batch of {rows} rows is too large"),
            ),
            BatchError::TooMuchText { column, .. } => {
                Self::new(code::TOO_LARGE, "more than 4 GiB of text or bytes").in_column(&column)
            }
            other => Self::new(code::BAD_REQUEST, other.to_string()),
        }
    }
}

pub(crate) fn refuse<T>(code: &'static str, message: impl Into<String>) -> Result<T, DecodeError> {
    Err(DecodeError::new(code, message))
}

/// Bytes of a caller's own text in an error: enough to recognise it, too little to flood a log.
const EXCERPT_BYTES_MAX: usize = 256;

/// The start of a caller's text, for a message.
pub(crate) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(EXCERPT_BYTES_MAX))
        .unwrap_or_default()
}
