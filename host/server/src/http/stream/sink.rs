//! From answers to bytes, in the form that the client asked for.

use std::sync::Arc;

use caisson_data::arrow::StreamWriter as ArrowWriter;
use caisson_data::parquet::StreamWriter as ParquetWriter;
use caisson_data::{Schema, csv, ndjson, rows};

use super::super::error::ApiError;
use super::answer::Answers;
use super::form::Form;

/// Writes the answers of one stream.
pub(super) enum Sink {
    Json { begun: bool, revision: u64 },
    Csv { header: Option<Arc<Schema>> },
    Ndjson,
    Arrow(Box<ArrowWriter>),
    Parquet(Box<ParquetWriter>),
}

impl Sink {
    /// A writer of rows of this schema.
    ///
    /// # Errors
    ///
    /// 500 for a schema that the form can't hold.
    pub(super) fn new(form: Form, schema: &Arc<Schema>, revision: u64) -> Result<Self, ApiError> {
        Ok(match form {
            Form::Json => Self::Json {
                begun: false,
                revision,
            },
            Form::Csv => Self::Csv {
                header: Some(Arc::clone(schema)),
            },
            Form::Ndjson => Self::Ndjson,
            Form::Arrow => Self::Arrow(Box::new(ArrowWriter::new(schema).map_err(unwritable)?)),
            Form::Parquet => Self::Parquet(Box::new(ParquetWriter::new(schema).map_err(unwritable)?)),
        })
    }

    /// The bytes of a part's answers; none where they come with a later part's.
    pub(super) fn write(&mut self, answers: &Answers) -> Result<Vec<u8>, ApiError> {
        let mut out = Vec::new();
        match self {
            Self::Json { begun, .. } => {
                out.extend_from_slice(if *begun { b"," } else { b"{\"rows\":[" });
                *begun = true;
                rows::encode_separated(&answers.batch, b",", &mut out);
            }
            Self::Csv { header } => {
                if let Some(schema) = header.take() {
                    csv::encode_header(&schema, &mut out);
                }
                csv::encode_rows(&answers.batch, &mut out);
            }
            Self::Ndjson if answers.errors.is_empty() => ndjson::encode(&answers.batch, &mut out),
            Self::Ndjson => write_lines(answers, &mut out),
            Self::Arrow(writer) => out = writer.write(&answers.batch).map_err(unwritable)?,
            Self::Parquet(writer) => out = writer.write(&answers.batch).map_err(unwritable)?,
        }
        Ok(out)
    }

    /// The last bytes.
    pub(super) fn finish(self) -> Result<Vec<u8>, ApiError> {
        let mut out = Vec::new();
        match self {
            Self::Json { begun, revision } => {
                if !begun {
                    out.extend_from_slice(b"{\"rows\":[");
                }
                out.extend_from_slice(format!("],\"revision\":{revision}}}").as_bytes());
            }
            Self::Csv { header: Some(schema) } => csv::encode_header(&schema, &mut out),
            Self::Csv { header: None } | Self::Ndjson => {}
            Self::Arrow(writer) => out = writer.finish().map_err(unwritable)?,
            Self::Parquet(writer) => out = writer.finish().map_err(unwritable)?,
        }
        Ok(out)
    }
}

/// A line for each row, an error's in its row's place.
fn write_lines(answers: &Answers, out: &mut Vec<u8>) {
    let writer = rows::RowWriter::new(&answers.batch);
    let mut errors = answers.errors.iter().peekable();
    let mut next = 0;
    for place in 0..answers.rows() {
        match errors.next_if(|(at, _)| *at == place) {
            Some((_, error)) => out.extend_from_slice(&error.to_json()),
            None => {
                writer.write(next, out);
                next += 1;
            }
        }
        out.push(b'\n');
    }
}

fn unwritable(error: impl std::fmt::Display) -> ApiError {
    ApiError::internal(error)
}
