//! Recording a prediction, and metrics of 100,000 rows.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench"
)]

use std::hint::black_box;

use caisson_quality::accumulator::Accumulator;
use caisson_quality::calibrator::{Calibrator, Curve};
use caisson_quality::confusion::{Average, ClassMetric, Confusion, Labelled};
use caisson_quality::estimate::{Estimate, EstimatedMetric};
use caisson_quality::regression::{Predicted, Regression, RegressionMetric};
use caisson_quality::scores::{BinnedScores, ScoreMetric, Scored, Scores};
use caisson_quality::summary::{Cell, Kind, Summary};
use caisson_quality::window::{WindowSpec, Windows};
use caisson_stats::rng::Rng;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const ROWS: usize = 100_000;
const LEVEL: f64 = 0.95;
const COUNTRIES: [&str; 8] = ["DE", "FR", "IT", "ES", "PL", "NL", "SE", "CZ"];

fn unit(rng: &mut Rng) -> f64 {
    rng.below(1 << 30) as f64 / f64::from(1 << 30)
}

/// 15 numbers and 5 categories.
fn kinds() -> Vec<Kind> {
    (0..20)
        .map(|c| if c < 15 { Kind::Number } else { Kind::Category })
        .collect()
}

fn row(rng: &mut Rng) -> Vec<Cell<'static>> {
    let cell = |c| match c {
        0..15 if rng.below(50) == 0 => Cell::Missing,
        0..15 => Cell::Number(unit(rng) * 100.0),
        _ => COUNTRIES
            .get(rng.below(8) as usize)
            .map_or(Cell::Missing, |name| Cell::Text(name)),
    };
    (0..20).map(cell).collect()
}

fn scored(rng: &mut Rng) -> Vec<Scored> {
    let mut row = || {
        let score = unit(rng);
        let label = Some(unit(rng) < score);
        Scored { score, label }
    };
    (0..ROWS).map(|_| row()).collect()
}

fn recording(c: &mut Criterion) {
    let rng = &mut Rng::new(1);
    let rows: Vec<_> = (0..4096).map(|_| row(rng)).collect();
    let mut summary = Summary::new(&kinds()).unwrap();
    let mut at = 0;
    c.bench_function("record/20_columns", |b| {
        b.iter(|| {
            at = (at + 1) % rows.len();
            summary.add(black_box(&rows[at]));
        });
    });
    let spec = WindowSpec::event_time_ms(3_600_000, 600_000, 60_000);
    let mut windows = Windows::new(spec, Summary::new(&kinds()).unwrap()).unwrap();
    let mut time = 0;
    c.bench_function("record/20_columns_windowed_segmented", |b| {
        b.iter(|| {
            at = (at + 1) % rows.len();
            time += 1;
            let segment = COUNTRIES.get(at % 8).copied();
            windows
                .add(time, time, Some(segment), black_box(&rows[at]))
                .unwrap()
        });
    });
    let labelled = scored(rng);
    let mut scores = BinnedScores::default();
    c.bench_function("record/score", |b| {
        b.iter(|| {
            at = (at + 1) % labelled.len();
            scores.add(black_box(labelled[at]));
        });
    });
}

fn metrics(c: &mut Criterion) {
    let rng = &mut Rng::new(2);
    let rows = scored(rng);
    let mut group = c.benchmark_group("100k_rows");
    group.sample_size(10);
    group.bench_function("scores_exact", |b| {
        b.iter(|| {
            let scores = Scores::new(rows.iter().copied());
            [
                ScoreMetric::RocAuc,
                ScoreMetric::AveragePrecision,
                ScoreMetric::LogLoss,
                ScoreMetric::Brier,
            ]
            .map(|metric| scores.measure(metric, LEVEL).unwrap().value)
        });
    });
    group.bench_function("scores_binned", |b| {
        b.iter(|| {
            let mut scores = BinnedScores::default();
            rows.iter().for_each(|row| scores.add(*row));
            scores.measure(ScoreMetric::RocAuc, LEVEL).unwrap().value
        });
    });
    group.bench_function("classes", |b| {
        let labels: Vec<_> = (0..ROWS)
            .map(|_| (rng.below(8) as usize, rng.below(8) as usize))
            .collect();
        b.iter(|| {
            let mut confusion = Confusion::new(&COUNTRIES);
            for (actual, predicted) in &labels {
                confusion.add(Labelled {
                    actual: COUNTRIES.get(*actual).copied(),
                    predicted: COUNTRIES.get(*predicted).copied(),
                });
            }
            confusion
                .measure(&ClassMetric::F1(Average::Macro), LEVEL)
                .unwrap()
                .value
        });
    });
    group.bench_function("regression", |b| {
        b.iter(|| {
            let mut regression = Regression::default();
            for row in &rows {
                regression.add(Predicted {
                    actual: row.score,
                    predicted: 0.5,
                    before: None,
                });
            }
            regression.measure(RegressionMetric::R2, LEVEL).unwrap().value
        });
    });
    let fit: Vec<_> = rows
        .iter()
        .map(|row| (row.score, row.label == Some(true)))
        .collect();
    group.bench_function("calibrate_isotonic", |b| {
        b.iter(|| Calibrator::fit(Curve::Isotonic, black_box(&fit)).unwrap());
    });
    group.bench_function("estimate", |b| {
        let empty = Estimate::new(Calibrator::fit(Curve::Isotonic, &fit).unwrap(), 0.01, 0.5);
        b.iter_batched(
            || empty.clone(),
            |mut estimate| {
                rows.iter().for_each(|row| estimate.add(row.score));
                estimate.measure(EstimatedMetric::RocAuc, LEVEL).unwrap().value
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, recording, metrics);
criterion_main!(benches);
