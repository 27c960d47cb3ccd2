//! What it costs a request that it is measured: five stages, the queue, the request itself.
//!
//! `off` is every request of a server that traces nothing; `traced` is a sampled one, until its steps are
//! handed over. Both have the clock's readings in them, two a stage.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use caisson_serving::{Role, StageVitals, Trail, Vitals, VitalsTable};
use criterion::{Criterion, criterion_group, criterion_main};
use tracing::Span;

struct Deployment {
    vitals: Arc<Vitals>,
    stages: Vec<Arc<StageVitals>>,
}

fn deployment() -> Deployment {
    let vitals = VitalsTable::default().of(&"acme".parse().unwrap(), "churn");
    let names = [
        ("validators[0] range@0.1.0", Role::Validator),
        ("transforms[0] impute@0.1.0", Role::Transform),
        ("transforms[1] standardize@0.1.0", Role::Transform),
        ("model churn@3", Role::Model),
        ("post[0] clip@0.1.0", Role::Post),
    ];
    let stages = names
        .into_iter()
        .map(|(name, role)| vitals.stage(&name.into(), role));
    Deployment {
        stages: stages.collect(),
        vitals,
    }
}

/// All that is recorded of one request.
fn record(deployment: &Deployment) {
    let start = Instant::now();
    let trail = Trail::current();
    for stage in &deployment.stages {
        stage.note(trail.as_deref(), Instant::now(), None);
    }
    deployment.vitals.waited(Duration::from_micros(3));
    deployment.vitals.answered(1, start.elapsed(), None);
}

fn recording(c: &mut Criterion) {
    let deployment = deployment();
    let mut group = c.benchmark_group("recording");
    group.bench_function("clock alone", |b| {
        b.iter(|| (0..6).for_each(|_| _ = black_box(Instant::now().elapsed())));
    });
    group.bench_function("off", |b| b.iter(|| record(&deployment)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    group.bench_function("traced", |b| {
        b.iter(|| {
            let trail = Trail::ending(Span::none(), |about, steps| _ = black_box((about, steps)));
            runtime.block_on(trail.follow(async { record(&deployment) }));
        });
    });
    group.finish();
}

criterion_group!(benches, recording);
criterion_main!(benches);
