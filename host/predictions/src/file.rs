//! One file of answers of one revision.
//!
//! | column | type | |
//! | --- | --- | --- |
//! | `request_id` | text | the request's own, or given to it |
//! | `row` | int64 | its place in the request, from 0 |
//! | `revision` | int64 | which answered |
//! | `event_time` | timestamp, µs, UTC | as the deployment's file says; null where the column has none that can be read |
//! | `received_at` | timestamp, µs, UTC | when the request came |
//! | `latency_seconds` | double | of the request, or of its part |
//! | `latency_…_seconds` | double | of this, waiting in the queue (`queue`) and each stage by its place (`transforms_0`, `model`); null where it didn't run |
//! | `input_…`, `feature_…`, `output_…` | the columns' own | redacted as the deployment's file says |

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, Field as ArrowField, Schema as ArrowSchema};
use caisson_data::{Batch, BatchError};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use crate::read::writer_properties;
use crate::redact::{Key, columns};
use crate::spec::LogSpec;
use crate::{Answer, LogError};

/// Rows that are put together at a time, so that encoding takes little memory beside the file.
const ROWS_AT_ONCE: usize = 8192;

/// Encode answers of one revision, oldest first.
///
/// # Errors
///
/// Answers of several revisions; what Parquet can't hold.
pub(crate) fn encode(
    answers: &[&Answer],
    revision: u64,
    spec: &LogSpec,
    key: &Key,
) -> Result<Vec<u8>, LogError> {
    let properties = writer_properties();
    let stages = stages(answers);
    let mut writer: Option<ArrowWriter<Vec<u8>>> = None;
    let mut rest = answers;
    while !rest.is_empty() {
        let mut rows = 0;
        let fit = rest.iter().take_while(|answer| {
            let first = rows == 0;
            rows += answer.input.rows();
            first || rows <= ROWS_AT_ONCE
        });
        let (part, after) = rest.split_at(fit.count());
        rest = after;
        let record_batch = record_batch(part, &stages, revision, spec, key)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(ArrowWriter::try_new(
                Vec::new(),
                record_batch.schema(),
                Some(properties.clone()),
            )?),
        };
        writer.write(&record_batch)?;
    }
    match writer {
        Some(writer) => Ok(writer.into_inner()?),
        None => Ok(Vec::new()),
    }
}

/// The stages that any of these ran, in the order in which requests came to them.
fn stages(answers: &[&Answer]) -> Vec<Arc<str>> {
    let mut places: Vec<Arc<str>> = Vec::new();
    for answer in answers {
        let mut after = 0;
        for (place, _) in &answer.stages {
            match places.iter().position(|known| known == place) {
                Some(at) => after = at + 1,
                None => {
                    places.insert(after, Arc::clone(place));
                    after += 1;
                }
            }
        }
    }
    places
}

fn record_batch(
    answers: &[&Answer],
    stages: &[Arc<str>],
    revision: u64,
    spec: &LogSpec,
    key: &Key,
) -> Result<RecordBatch, LogError> {
    let rows: usize = answers.iter().map(|answer| answer.input.rows()).sum();
    let join = |of: fn(&Answer) -> Option<&Batch>| {
        let batches: Vec<&Batch> = answers.iter().filter_map(|answer| of(answer)).collect();
        match batches.is_empty() {
            true => Ok(None),
            false => Batch::concat(&batches).map(Some),
        }
    };
    let each = |of: &dyn Fn(&Answer, usize) -> i64| -> Vec<i64> {
        let rows = answers
            .iter()
            .flat_map(|answer| (0..answer.input.rows()).map(|row| of(answer, row)));
        rows.collect()
    };
    let input = join(|answer| Some(&answer.input))?;
    let received = each(&|answer, _| answer.received.as_microsecond());
    let event_time = match (&spec.event_time, &input) {
        (Some(event_time), Some(input)) => event_time.times(input),
        _ => received.iter().copied().map(Some).collect(),
    };
    let mut all: Vec<(ArrowField, ArrayRef)> = Vec::new();
    let mut own = |name: &str, nullable: bool, array: ArrayRef| {
        all.push((ArrowField::new(name, array.data_type().clone(), nullable), array));
    };
    let ids = answers
        .iter()
        .flat_map(|answer| std::iter::repeat_n(Some(&*answer.request_id), answer.input.rows()));
    own("request_id", false, Arc::new(ids.collect::<StringArray>()));
    let places = each(&|answer, row| i64::try_from(answer.rows.of(row)).unwrap_or(i64::MAX));
    own("row", false, Arc::new(Int64Array::from(places)));
    let revisions = vec![i64::try_from(revision).unwrap_or(i64::MAX); rows];
    own("revision", false, Arc::new(Int64Array::from(revisions)));
    let utc = |times: TimestampMicrosecondArray| Arc::new(times.with_timezone("UTC"));
    own("event_time", true, utc(event_time.into()));
    own("received_at", false, utc(received.into()));
    let seconds = |of: &dyn Fn(&Answer) -> Option<Duration>| -> ArrayRef {
        let each = answers
            .iter()
            .flat_map(|answer| std::iter::repeat_n(of(answer).map(|d| d.as_secs_f64()), answer.input.rows()));
        Arc::new(each.collect::<Float64Array>())
    };
    own("latency_seconds", false, seconds(&|answer| Some(answer.latency)));
    for stage in stages {
        let time = |answer: &Answer| Some(answer.stages.iter().find(|of| of.0 == *stage)?.1);
        own(&format!("latency_{stage}_seconds"), true, seconds(&time));
    }
    let features = join(|answer| answer.features.as_ref())?;
    let output = join(|answer| Some(&answer.output))?;
    for (prefix, batch) in [("input_", input), ("feature_", features), ("output_", output)] {
        if let Some(batch) = batch {
            all.extend(columns(prefix, &batch, &spec.redact, key)?);
        }
    }
    let (fields, arrays): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    Ok(RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays)?)
}

impl From<ParquetError> for LogError {
    fn from(error: ParquetError) -> Self {
        Self::Encode(error.to_string())
    }
}

impl From<ArrowError> for LogError {
    fn from(error: ArrowError) -> Self {
        Self::Encode(error.to_string())
    }
}

impl From<BatchError> for LogError {
    fn from(error: BatchError) -> Self {
        Self::Encode(error.to_string())
    }
}
