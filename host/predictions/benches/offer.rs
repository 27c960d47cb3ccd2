//! What the log costs a request: copies of its rows and of its answer, room, and a place in the queue.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use caisson_data::{Batch, BatchBuilder, DataType, Field, Schema};
use caisson_predictions::{Answer, Limits, LogSpec, Predictions, RowNumbers};
use caisson_store::Store;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

fn batch(prefix: &str, columns: usize, rows: usize) -> Batch {
    let fields = (0..columns).map(|n| Field::new(format!("{prefix}{n}"), DataType::Fp32));
    let schema = Schema::new(fields.collect()).unwrap();
    BatchBuilder::new(Arc::new(schema), rows)
        .unwrap()
        .finish()
        .unwrap()
}

fn offer(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    // Everything has room and is refused when it would be written, so that the disk isn't measured.
    let limits = Limits {
        buffer_bytes: 4 << 30,
        queue: 1 << 20,
    };
    let predictions = Predictions::open(store, limits, |_, _| false).unwrap();
    let spec: LogSpec = serde_json::from_str(r#"{"sample": 1}"#).unwrap();
    let log = predictions.log("t", "d", 1, spec);
    let mut group = c.benchmark_group("log/offer");
    for rows in [1, 100, 1000] {
        let (input, output) = (batch("x", 30, rows), batch("y", 2, rows));
        let id: Arc<str> = "8f14e45f-ceea-467f-9b3a-000000000000".into();
        group.bench_with_input(BenchmarkId::from_parameter(rows), &rows, |b, &rows| {
            b.iter_batched(
                || (),
                |()| {
                    let (input, output) = (black_box(&input).clone(), black_box(&output).clone());
                    let space = log.reserve(rows, input.byte_len() + output.byte_len()).unwrap();
                    let answer = Answer {
                        request_id: Arc::clone(&id),
                        rows: RowNumbers::From(0),
                        received: jiff::Timestamp::now(),
                        latency: Duration::from_millis(1),
                        stages: vec![
                            ("transforms_0".into(), Duration::from_millis(1)),
                            ("model".into(), Duration::from_millis(3)),
                        ],
                        input,
                        features: None,
                        output,
                    };
                    log.offer(answer, space);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    let dropped = predictions.status("t", "d").rows.dropped;
    assert_eq!(
        dropped.memory + dropped.queue,
        0,
        "the writer was too slow for this to measure anything"
    );
}

criterion_group!(benches, offer);
criterion_main!(benches);
