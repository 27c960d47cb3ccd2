//! Answers to log, and files to read.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use bytes::Bytes;
use caisson_data::{Batch, DataType, DecodeLimits, Field, Schema, rows};
use caisson_predictions::{Answer, Log, LogSpec, RowNumbers};
use caisson_store::Store;
use jiff::Timestamp;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub(crate) fn spec(rest: &str) -> LogSpec {
    serde_json::from_str(&format!("{{\"sample\": 1{rest}}}")).unwrap()
}

fn batch(fields: Vec<Field>, rows: &[serde_json::Value]) -> Batch {
    let schema = Arc::new(Schema::new(fields).unwrap());
    let body = serde_json::json!({ "rows": rows }).to_string();
    rows::decode(&schema, body.as_bytes(), &DecodeLimits::default())
        .unwrap()
        .batch
}

/// Rows `x`, `x + 1`, … with the answer `2x`.
pub(crate) fn answer(id: &str, received: &str, first: i64, rows: i64) -> Answer {
    let input: Vec<_> = (first..first + rows)
        .map(|x| serde_json::json!({ "x": x, "at": "2026-01-02T03:04:05Z" }))
        .collect();
    let output: Vec<_> = (first..first + rows)
        .map(|x| serde_json::json!({ "y": 2 * x }))
        .collect();
    Answer {
        request_id: id.into(),
        rows: RowNumbers::From(0),
        received: received.parse::<Timestamp>().unwrap(),
        latency: Duration::from_millis(5),
        stages: vec![
            ("transforms_0".into(), Duration::from_millis(1)),
            ("model".into(), Duration::from_millis(3)),
        ],
        input: batch(
            vec![
                Field::new("x", DataType::Int64),
                Field::new("at", DataType::Text).nullable(),
            ],
            &input,
        ),
        features: None,
        output: batch(vec![Field::new("y", DataType::Int64)], &output),
    }
}

/// Offer an answer; was there room?
pub(crate) fn offer(log: &Arc<Log>, answer: Answer) -> bool {
    let bytes = answer.input.byte_len() + answer.output.byte_len();
    match log.reserve(answer.input.rows(), bytes) {
        Some(space) => {
            log.offer(answer, space);
            true
        }
        None => false,
    }
}

/// Every file's path and rows, by path.
pub(crate) fn files(store: &Store) -> Vec<(String, Vec<RecordBatch>)> {
    let objects = store.objects();
    let mut paths = Vec::new();
    objects
        .visit("predictions", |object| {
            paths.push(object.path);
            Ok(())
        })
        .unwrap();
    paths.sort();
    let read = |path: String| {
        let bytes = Bytes::from(objects.get(&path, 1 << 30).unwrap().unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let batches = reader.build().unwrap().map(Result::unwrap).collect();
        (path, batches)
    };
    paths.into_iter().map(read).collect()
}

/// Rows of all files.
pub(crate) fn rows_of(files: &[(String, Vec<RecordBatch>)]) -> usize {
    let batches = files.iter().flat_map(|(_, batches)| batches);
    batches.map(RecordBatch::num_rows).sum()
}
