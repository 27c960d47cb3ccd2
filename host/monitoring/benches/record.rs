//! What being seen costs a request: a copy of its rows and of its answer, and a place in the lane; and what
//! gathering costs the worker.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use caisson_data::{Batch, BatchBuilder, DataType, Field, Schema};
use caisson_monitoring::{Checks, Done, Item, Limits, Monitoring, Plan};
use caisson_store::Store;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// Rows that wait together: those of a twentieth of a second at 20,000 a second.
const ROWS_AT_ONCE: usize = 1000;

struct Nothing;

impl Checks for Nothing {
    fn check(self: Arc<Self>, _: Vec<Item>, _: Done) {}
}

fn batch(prefix: &str, columns: usize, rows: usize) -> Batch {
    let fields = (0..columns).map(|n| Field::new(format!("{prefix}{n}"), DataType::Fp32));
    let schema = Schema::new(fields.collect()).unwrap();
    BatchBuilder::new(Arc::new(schema), rows)
        .unwrap()
        .finish()
        .unwrap()
}

fn plan(input: &Batch, output: &Batch) -> Plan {
    Plan {
        revision: 1,
        sample: 1.0,
        event_time: None,
        input: Arc::clone(input.schema()),
        output: Arc::clone(output.schema()),
        categorical: Vec::new(),
        private: Vec::new(),
        statistics: serde_json::from_str(r#"{"size": "1h"}"#).unwrap(),
        segments: Vec::new(),
        monitors: Vec::new(),
    }
}

fn record(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let monitoring = Monitoring::open(store, Limits::default(), |_, _| true).unwrap();
    let checks: Arc<dyn Checks> = Arc::new(Nothing);
    let mut group = c.benchmark_group("monitoring/record");
    for rows in [1, 64, 1000] {
        let (input, output) = (batch("x", 30, rows), batch("y", 2, rows));
        let name = format!("d{rows}");
        let tap = monitoring.tap(
            "t",
            &name,
            plan(&input, &output),
            Arc::downgrade(&checks),
            Arc::default(),
        );
        let at_once = (ROWS_AT_ONCE / rows) as u64;
        group.bench_with_input(BenchmarkId::from_parameter(rows), &rows, |b, _| {
            b.iter_custom(|iterations| {
                let (mut left, mut took) = (iterations, Duration::ZERO);
                while left > 0 {
                    let now = left.min(at_once);
                    let start = Instant::now();
                    for _ in 0..now {
                        let taken = tap.take(black_box(&input)).unwrap();
                        tap.answered(taken, black_box(&output));
                    }
                    took += start.elapsed();
                    left -= now;
                    // What waits is gathered meanwhile, as it is between requests.
                    monitoring.flush().unwrap();
                }
                took
            });
        });
        assert_eq!(monitoring.counts("t", &name).1.memory, 0, "drops were measured");
        // Its rows aren't gathered while others are measured.
        monitoring.forget("t", &name).unwrap();
    }
    group.finish();
    let unseen: Weak<dyn Checks> = Weak::<Nothing>::new();
    let (input, output) = (batch("x", 30, 1), batch("y", 2, 1));
    let mut off = plan(&input, &output);
    off.sample = 0.0;
    let tap = monitoring.tap("t", "off", off, unseen, Arc::default());
    c.bench_function("monitoring/not_sampled", |b| {
        b.iter(|| tap.take(black_box(&input)))
    });
}

criterion_group!(benches, record);
criterion_main!(benches);
