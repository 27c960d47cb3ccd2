//! Why a schema and a model can't be bound.

use caisson_data::{Schema, SchemaError};

use crate::error::tidy;
use crate::signature::{TensorSpec, list};

/// Columns named in an error; the rest is counted.
const COLUMNS_SHOWN_MAX: usize = 20;
/// Longest name for which similar ones are looked for; the search takes its square.
const SIMILAR_BYTES_MAX: usize = 64;

/// Why a schema and a model can't be bound. Found when a deployment is created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The plan names an input or output that the model doesn't have.
    #[error("the model has no {side} `{name}`; it has {known}")]
    Unknown {
        /// `input` or `output`.
        side: &'static str,
        /// The name in the plan.
        name: String,
        /// What the model has.
        known: String,
    },
    /// An output is named twice.
    #[error("the output `{0}` is named twice")]
    Repeated(String),
    /// No column for an input.
    #[error("the model's input `{input}` has no column: {hint}; there are {columns}")]
    NoColumn {
        /// The input.
        input: String,
        /// What to write.
        hint: String,
        /// What there is.
        columns: String,
    },
    /// A column to pack isn't there.
    #[error(
        "the model's input `{input}` is packed from a column `{column}` that is not there{hint}; there are {columns}"
    )]
    MissingColumn {
        /// The input.
        input: String,
        /// The column.
        column: String,
        /// A similar name.
        hint: String,
        /// What there is.
        columns: String,
    },
    /// Another element type.
    #[error("the model's input `{input}` can't take the column `{column}`: the types differ; {hint}")]
    Type {
        /// The input.
        input: String,
        /// The column.
        column: String,
        /// What to do.
        hint: &'static str,
    },
    /// Another shape.
    #[error("the model's input `{input}` can't take the column `{column}`: the shapes differ")]
    Shape {
        /// The input.
        input: String,
        /// The column.
        column: String,
    },
    /// Too few or too many columns to pack.
    #[error("the model's input `{input}` can't be packed from {columns} scalar columns")]
    Width {
        /// The input.
        input: String,
        /// How many are named.
        columns: usize,
    },
    /// A first dimension that is fixed.
    #[error(
        "the model's {side} `{tensor}` takes exactly {rows} row(s) a call, and requests have any number: export it \
         with a free batch dimension (PyTorch: dynamic_shapes or dynamic_axes; Keras: batch size None)"
    )]
    FixedRows {
        /// `input` or `output`.
        side: &'static str,
        /// The tensor.
        tensor: String,
        /// Its first dimension.
        rows: i64,
    },
    /// No dimension at all.
    #[error(
        "the model's {side} `{tensor}` is a single element and has no row dimension; a predictor plugin can use such a model"
    )]
    NoRows {
        /// `input` or `output`.
        side: &'static str,
        /// The tensor.
        tensor: String,
    },
    /// Sizes that nobody says.
    #[error("the model's output `{output}` doesn't say its sizes; declare its per-row shape")]
    OpenShape {
        /// The output.
        output: String,
    },
    /// A declared shape that contradicts the model.
    #[error("the model's output `{output}` can't have the declared per-row shape {declared:?}")]
    DeclaredShape {
        /// The output.
        output: String,
        /// The declaration.
        declared: Vec<u32>,
    },
    /// Outputs that make no schema.
    #[error("the model's outputs make no columns: {0}")]
    Outputs(SchemaError),
}

impl BindError {
    pub(super) fn unknown(side: &'static str, name: &str, known: &[TensorSpec]) -> Self {
        Self::Unknown {
            side,
            name: tidy(name),
            known: list(known),
        }
    }

    pub(super) fn no_column(spec: &TensorSpec, row_dimensions: &[i64], schema: &Schema) -> Self {
        let hint = match row_dimensions {
            [width] if *width != 1 => {
                let fitting = schema
                    .fields()
                    .iter()
                    .filter(|f| f.is_scalar() && f.data_type == spec.data_type);
                let count = fitting.count();
                format!(
                    "name the scalar {} columns that make it, as in columns: {{{}: [a, b, …]}} ({count} columns have \
                     that type)",
                    spec.data_type, spec.name
                )
            }
            _ => format!(
                "it takes the column of its own name{}",
                similar(&spec.name, schema)
            ),
        };
        Self::NoColumn {
            input: spec.to_string(),
            hint,
            columns: list_columns(schema),
        }
    }
}

/// `a: fp32, b: int64? and 30 more`.
pub(super) fn list_columns(schema: &Schema) -> String {
    let shown: Vec<_> = schema
        .fields()
        .iter()
        .take(COLUMNS_SHOWN_MAX)
        .map(ToString::to_string)
        .collect();
    match schema.len().saturating_sub(shown.len()) {
        _ if shown.is_empty() => "no columns".into(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// ` (did you mean …?)`, or nothing.
pub(super) fn similar(name: &str, schema: &Schema) -> String {
    if name.len() > SIMILAR_BYTES_MAX {
        return String::new();
    }
    schema
        .fields()
        .iter()
        .filter(|field| field.name.len() <= SIMILAR_BYTES_MAX)
        .map(|field| (distance(name, &field.name), field))
        // A third of the letters may differ.
        .filter(|(d, field)| d * 3 <= name.len().max(field.name.len()))
        .min_by_key(|(d, _)| *d)
        .map(|(_, field)| format!(" (did you mean `{}`?)", field.name))
        .unwrap_or_default()
}

/// Levenshtein distance without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut next = vec![i + 1];
        for ((&y, &diagonal), &above) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(x != y)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        for (a, b, d) in [
            ("", "", 0),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("Recency", "recency", 0),
        ] {
            assert_eq!(distance(a, b), d, "{a} {b}");
            assert_eq!(distance(b, a), d, "{b} {a}");
        }
    }
}
