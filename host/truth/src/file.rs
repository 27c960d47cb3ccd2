//! One file of labels.
//!
//! | column | type | |
//! | --- | --- | --- |
//! | `request_id`, `row` | text, int64 | of labels that are joined by request; else null |
//! | `entity`, `event_time` | text, timestamp | of labels that are joined by key: its value, or a list of them in JSON; else null |
//! | `label` | text | the value; a number in decimal |
//! | `observed_at` | timestamp | as its sender says; null where they don't |
//! | `received_at` | timestamp | when it came |
//! | `times` | int64 | how often it came so |

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, Field, Schema};
use caisson_predictions::writer_properties;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use crate::TruthError;
use crate::cells::Cells;
use crate::label::{Label, LabelKey};
use crate::spec::{EVENT_TIME, OBSERVED_AT, REQUEST_ID, ROW};

const ENTITY: &str = "entity";
const LABEL: &str = "label";
const RECEIVED_AT: &str = "received_at";
const TIMES: &str = "times";

pub(crate) fn encode(labels: &[Label]) -> Result<Vec<u8>, TruthError> {
    let request = |label: &Label| match &label.key {
        LabelKey::Request { id, row } => (Some(id.clone()), Some(*row)),
        LabelKey::Entity { .. } => (None, None),
    };
    let of_entity = |label: &Label| match &label.key {
        LabelKey::Entity { entity, time } => (Some(entity.clone()), Some(*time)),
        LabelKey::Request { .. } => (None, None),
    };
    let (ids, rows): (Vec<_>, Vec<_>) = labels.iter().map(request).unzip();
    let (entities, times): (Vec<_>, Vec<_>) = labels.iter().map(of_entity).unzip();
    let utc = |times: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
    };
    let columns: Vec<(&str, bool, ArrayRef)> = vec![
        (REQUEST_ID, true, Arc::new(StringArray::from(ids))),
        (ROW, true, Arc::new(Int64Array::from(rows))),
        (ENTITY, true, Arc::new(StringArray::from(entities))),
        (EVENT_TIME, true, utc(times)),
        (
            LABEL,
            false,
            Arc::new(
                labels
                    .iter()
                    .map(|label| Some(&label.value))
                    .collect::<StringArray>(),
            ),
        ),
        (
            OBSERVED_AT,
            true,
            utc(labels.iter().map(|label| label.observed_at).collect()),
        ),
        (
            RECEIVED_AT,
            false,
            utc(labels.iter().map(|label| Some(label.received_at)).collect()),
        ),
        (
            TIMES,
            false,
            Arc::new(
                labels
                    .iter()
                    .map(|label| i64::try_from(label.times).unwrap_or(i64::MAX))
                    .collect::<Int64Array>(),
            ),
        ),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, nullable, array)| Field::new(*name, array.data_type().clone(), *nullable))
        .collect();
    let arrays = columns.into_iter().map(|(.., array)| array).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(writer_properties()))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

/// The labels of a part of a file. Rows that are none, as only damage makes them, are left out.
pub(crate) fn decode(batch: &RecordBatch) -> impl Iterator<Item = Label> + '_ {
    let cells = |name| Cells::of(batch, name);
    let (ids, rows, entities, times) = (cells(REQUEST_ID), cells(ROW), cells(ENTITY), cells(EVENT_TIME));
    let (values, observed, received, counts) =
        (cells(LABEL), cells(OBSERVED_AT), cells(RECEIVED_AT), cells(TIMES));
    (0..batch.num_rows()).filter_map(move |at| {
        let key = match ids.text(at) {
            Some(id) => LabelKey::Request {
                id: id.into_owned(),
                row: rows.int(at)?,
            },
            None => LabelKey::Entity {
                entity: entities.text(at)?.into_owned(),
                time: times.micros(at)?,
            },
        };
        Some(Label {
            key,
            value: values.text(at)?.into_owned(),
            observed_at: observed.micros(at),
            received_at: received.micros(at)?,
            times: u64::try_from(counts.int(at)?).ok()?,
        })
    })
}

impl From<ParquetError> for TruthError {
    fn from(error: ParquetError) -> Self {
        Self::Encode(error.to_string())
    }
}

impl From<ArrowError> for TruthError {
    fn from(error: ArrowError) -> Self {
        Self::Encode(error.to_string())
    }
}
