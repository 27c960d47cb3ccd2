//! What the model stage adds to ONNX Runtime: a bare `Session::run` against the whole stage (64 scalar
//! columns of a batch in, columns of a batch out), on the perceptron and the 100-tree booster of
//! `tests/fixtures`. At 64 rows the stage may cost 15 % more.
//!
//! After each group the two are run in turn and compared, which a busy machine disturbs least. Names are
//! stable: `model/{mlp,trees}/{rows}/{bare,bare-selected,run,run-…,stage}`.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::expect_used, reason = "a bench may end with a message")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use caisson_data::{Batch, Block, DataType, Field, Schema, Values};
use caisson_inference::{
    Arena, Binding, Input, MissingPolicy, Model, OutputSpec, Runtime, Selection, SessionOptions, ValuesRef,
};
use criterion::{Criterion, criterion_group, criterion_main};
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{OutputSelector, RunOptions, Session};
use ort::value::TensorRef;
use tokio::runtime::Runtime as Tokio;

/// Runs of each kind in the comparison in turn.
const PAIRS: usize = 20_000;
const OUTPUT: &str = "probabilities";

fn library() -> PathBuf {
    std::env::var_os("CAISSON_ONNXRUNTIME").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.caisson/onnxruntime/libonnxruntime.so"),
        PathBuf::from,
    )
}

/// A session as the ONNX Runtime documentation makes it.
fn bare_session(runtime: &Runtime, file: &Path) -> ort::Result<Session> {
    Session::builder(runtime.environment())?
        .with_intra_threads(1)?
        .with_intra_op_spinning(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .commit_from_file(file)
}

/// Loop within one `block_on`, as a request is one task.
fn timed<F: AsyncFnMut()>(tokio: &Tokio, iterations: u64, mut run: F) -> Duration {
    tokio.block_on(async {
        let started = Instant::now();
        for _ in 0..iterations {
            run().await;
        }
        started.elapsed()
    })
}

/// The choices that an operator has, for what they cost: `run` is the default.
fn kinds(default: &SessionOptions) -> [(&'static str, SessionOptions); 5] {
    let arena = |arena| SessionOptions {
        arena,
        ..default.clone()
    };
    let threads = |spinning| SessionOptions {
        intra_op_threads: 2,
        spinning,
        ..default.clone()
    };
    [
        ("run", default.clone()),
        ("run-arena-shrink", arena(Arena::Shrink)),
        ("run-arena-off", arena(Arena::Off)),
        ("run-threads-2", threads(false)),
        ("run-threads-2-spinning", threads(true)),
    ]
}

fn model_stage(c: &mut Criterion) {
    let runtime = Runtime::load(&library()).expect("ONNX Runtime: run `cargo xtask setup` first");
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    for (name, width) in [("mlp", 64), ("trees", 10)] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.onnx"));
        for rows in [1, 64] {
            let mut group = c.benchmark_group(format!("model/{name}/{rows}"));
            group
                .warm_up_time(Duration::from_secs(1))
                .measurement_time(Duration::from_secs(3));
            let columns: Vec<f32> = (0..rows * width)
                .map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0)
                .collect();
            let shape = [rows, width];

            let mut session = bare_session(&runtime, &file).expect("a fixture loads");
            group.bench_function("bare", |b| {
                b.iter(|| {
                    let input = TensorRef::from_array_view((shape, &*columns)).expect("an input");
                    black_box(session.run(ort::inputs![input]).expect("a run"));
                });
            });
            group.bench_function("bare-selected", |b| {
                let selector = OutputSelector::no_default().with(OUTPUT);
                let options = RunOptions::new().expect("options").with_outputs(selector);
                b.iter(|| {
                    let input = TensorRef::from_array_view((shape, &*columns)).expect("an input");
                    black_box(
                        session
                            .run_with_options(ort::inputs![input], &options)
                            .expect("a run"),
                    );
                });
            });

            let options = SessionOptions {
                sessions: Some(1),
                ..SessionOptions::default()
            };
            let deadline = || Instant::now() + Duration::from_secs(10);
            for (kind, options) in kinds(&options) {
                let model = Model::load(&runtime, &file, &options).expect("a fixture loads");
                group.bench_function(kind, |b| {
                    b.iter_custom(|n| {
                        timed(&tokio, n, async || {
                            let inputs = vec![Input::borrowed("X", &shape, ValuesRef::Fp32(&columns))];
                            let outputs = model.run(inputs, &Selection::ALL, deadline()).await;
                            black_box(outputs.expect("a run"));
                        })
                    });
                });
            }

            let model = Model::load(&runtime, &file, &options).expect("a fixture loads");
            let names: Vec<String> = (0..width).map(|i| format!("f{i}")).collect();
            let fields = names.iter().map(|n| Field::new(n, DataType::Fp32)).collect();
            let schema = Arc::new(Schema::new(fields).expect("a schema"));
            let blocks = vec![Block::new(Values::Fp32(columns.clone()))];
            let batch = Batch::new(Arc::clone(&schema), rows, blocks).expect("a batch");
            let outputs = OutputSpec {
                names: Some(vec![OUTPUT.into()]),
                shapes: BTreeMap::new(),
            };
            let packed = BTreeMap::from([("X".to_owned(), names)]);
            let binding = Binding::plan(
                model.signature(),
                &schema,
                &packed,
                MissingPolicy::Reject,
                &outputs,
            )
            .expect("a plan");
            group.bench_function("stage", |b| {
                b.iter_custom(|n| {
                    timed(&tokio, n, async || {
                        black_box(binding.run(&model, &batch, deadline()).await.expect("a run"));
                    })
                });
            });
            group.finish();

            // In turn, so that whatever else the machine does hits both alike.
            let ratio = tokio.block_on(async {
                let (mut bare, mut stage) = (Vec::new(), Vec::new());
                for _ in 0..PAIRS {
                    let started = Instant::now();
                    let input = TensorRef::from_array_view((shape, &*columns)).expect("an input");
                    black_box(session.run(ort::inputs![input]).expect("a run"));
                    bare.push(started.elapsed());
                    let started = Instant::now();
                    black_box(binding.run(&model, &batch, deadline()).await.expect("a run"));
                    stage.push(started.elapsed());
                }
                let at = |list: &mut Vec<Duration>, percent: usize| {
                    list.sort();
                    list.get(list.len() * percent / 100)
                        .map_or(f64::NAN, Duration::as_secs_f64)
                        * 1e6
                };
                [10, 50].map(|percent| (percent, at(&mut bare, percent), at(&mut stage, percent)))
            });
            for (percent, bare, stage) in ratio {
                println!(
                    "model/{name}/{rows} in turn, percentile {percent}: bare {bare:.2} µs, stage {stage:.2} µs, \
                     {:+.1} %",
                    (stage / bare - 1.0) * 100.0
                );
            }
        }
    }
}

criterion_group!(benches, model_stage);
criterion_main!(benches);
