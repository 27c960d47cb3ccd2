//! What a call costs: a fresh, pre-initialised instance for each, whole (store, instance, copy in,
//! run, copy out, check, drop); the same on a warm instance; a call that traps; and, to compare,
//! the same arithmetic between two plain copies.
//!
//! `cargo xtask guests` first. `SANDBOX_KEEP_RESIDENT` (bytes) overrides that setting, to choose it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench may end with a message"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use caisson_data::{Batch, Block, DataType, Field, Schema, Values};
use caisson_sandbox::{
    CompilerCommand, Grants, Isolation, Limits, Sandbox, SandboxConfig, Stage, StageLabel, StageRequest,
    World,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};

/// Columns of the small cases.
const WIDTH: usize = 30;
/// Values of the large case.
const LARGE: usize = 65_536;

struct Bench {
    runtime: Runtime,
    sandbox: Sandbox,
}

fn guest(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/../../target/test-guests/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}; run `cargo xtask guests`"))
}

impl Bench {
    fn new() -> Self {
        let mut config = SandboxConfig::new(CompilerCommand {
            program: env!("CARGO_BIN_EXE_caisson-compile-worker").into(),
            args: Vec::new(),
        });
        if let Ok(bytes) = std::env::var("SANDBOX_KEEP_RESIDENT") {
            config.memory_keep_resident_bytes = bytes.parse().expect("a number of bytes");
        }
        Self {
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            sandbox: Sandbox::new(config).expect("a sandbox"),
        }
    }

    fn stage(&self, name: &str, config: &str, input: &Arc<Schema>, isolation: Isolation) -> Stage {
        let component = guest(name);
        let request = StageRequest {
            label: StageLabel::new("bench", "bench", name),
            component: &component,
            world: World::Transform,
            config,
            input: Arc::clone(input),
            limits: Limits::default(),
            isolation,
            meter: Arc::default(),
            grants: Grants::default(),
            graphs: None,
        };
        self.runtime
            .block_on(self.sandbox.prepare(request))
            .expect("a stage")
    }

    fn apply(&self, stage: &Stage, input: &Batch) -> Batch {
        self.runtime.block_on(stage.apply(input)).expect("an answer")
    }
}

fn columns(count: usize) -> Arc<Schema> {
    let fields = (0..count)
        .map(|i| Field::new(format!("c{i}"), DataType::Fp32))
        .collect();
    Arc::new(Schema::new(fields).expect("a schema"))
}

fn tensor(width: u32) -> Arc<Schema> {
    let field = Field::new("t", DataType::Fp32).with_shape([width]);
    Arc::new(Schema::new(vec![field]).expect("a schema"))
}

fn batch(schema: &Arc<Schema>, rows: usize, elements: usize) -> Batch {
    let values = (0..elements).map(|i| i as f32 * 0.5).collect();
    Batch::new(Arc::clone(schema), rows, vec![Block::new(Values::Fp32(values))]).expect("a batch")
}

const AFFINE: &str = r#"{"scale":2.0,"offset":1.0}"#;

fn calls(c: &mut Criterion) {
    let bench = Bench::new();
    let warm = Isolation::warm(&Limits::default());
    let cases = [
        ("1x30/tensor", tensor(WIDTH as u32), 1, WIDTH),
        ("1x30/columns", columns(WIDTH), 1, WIDTH),
        ("64x30/tensor", tensor(WIDTH as u32), 64, 64 * WIDTH),
        ("64x30/columns", columns(WIDTH), 64, 64 * WIDTH),
        ("65536/column", columns(1), LARGE, LARGE),
    ];
    for (kind, isolation) in [("fresh", Isolation::Fresh), ("warm", warm)] {
        let mut group = c.benchmark_group(kind);
        for (name, schema, rows, elements) in &cases {
            let stage = bench.stage("affine", AFFINE, schema, isolation);
            let input = batch(schema, *rows, *elements);
            assert_eq!(
                bench
                    .apply(&stage, &input)
                    .column(0)
                    .and_then(|c| c.fp32s())
                    .map(|v| v[0]),
                Some(1.0)
            );
            group.throughput(Throughput::Elements(*elements as u64));
            group.bench_function(*name, |b| b.iter(|| bench.apply(&stage, &input)));
        }
    }

    let mut group = c.benchmark_group("failing");
    let x = columns(1);
    let trap = bench.stage("hostile", r#"{"behave":"unreachable"}"#, &x, Isolation::Fresh);
    let input = batch(&x, 1, 1);
    group.bench_function("trap", |b| {
        b.iter(|| bench.runtime.block_on(trap.apply(&input)).expect_err("a trap"));
    });
    group.finish();

    // The floor: the batch is copied to where the arithmetic happens and its result copied out, as
    // crossing a boundary takes; once into memory that is there already, once into new memory, which
    // an answer always is. The offsets keep the copies off equal places in their pages: glibc's
    // `memcpy` takes five times as long there on some AMD processors.
    let mut group = c.benchmark_group("plain");
    group.throughput(Throughput::Elements(LARGE as u64));
    let values: Vec<f32> = (0..LARGE).map(|i| i as f32 * 0.5).collect();
    let mut inside = vec![0.0f32; LARGE + 320];
    let mut outside = vec![0.0f32; LARGE + 640];
    let (inside, outside) = (&mut inside[320..], &mut outside[640..]);
    let compute = |inside: &mut [f32]| {
        let scale = black_box(2.0);
        for x in inside {
            *x = *x * scale + 1.0;
        }
    };
    group.bench_function("65536/in-place", |b| {
        b.iter(|| {
            inside.copy_from_slice(black_box(&values));
            compute(inside);
            outside.copy_from_slice(black_box(inside));
        });
    });
    group.bench_function("65536/new-memory", |b| {
        b.iter(|| {
            inside.copy_from_slice(black_box(&values));
            compute(inside);
            black_box(&*inside).to_vec()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = calls
}
criterion_main!(benches);
