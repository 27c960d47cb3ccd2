//! Intervals hold the true value as often as they say: 95 of 100, with room for chance and for what the
//! formulas neglect.

use caisson_quality::Answer;
use caisson_quality::accumulator::Accumulator;
use caisson_quality::confusion::{Average, ClassMetric, Confusion};
use caisson_quality::regression::{Predicted, Regression, RegressionMetric};
use caisson_quality::scores::{BinnedScores, ScoreMetric, Scored};
use caisson_stats::rng::Rng;

const LEVEL: f64 = 0.95;
const RUNS: usize = 400;

fn unit(rng: &mut Rng) -> f64 {
    rng.below(1 << 30) as f64 / f64::from(1 << 30)
}

/// How many of `RUNS` samples of `rows` have the value of a sample of 400,000 in their interval, for
/// each metric.
fn assert_cover<T, M: std::fmt::Debug>(
    seed: u64,
    rows: usize,
    metrics: &[M],
    sample: impl Fn(&mut Rng, usize) -> T,
    measure: impl Fn(&T, &M) -> Answer,
) {
    let rng = &mut Rng::new(seed);
    let all = sample(rng, 400_000);
    let truth: Vec<f64> = metrics
        .iter()
        .map(|metric| measure(&all, metric).unwrap().value)
        .collect();
    let mut covered = vec![0; metrics.len()];
    for _ in 0..RUNS {
        let part = sample(rng, rows);
        for ((metric, truth), covered) in metrics.iter().zip(&truth).zip(&mut covered) {
            let interval = measure(&part, metric).unwrap().interval.unwrap();
            *covered += usize::from(interval.contains(*truth));
        }
    }
    for (metric, covered) in metrics.iter().zip(covered) {
        // 380 expected; 91 % to 99.5 %.
        assert!((364..=398).contains(&covered), "{metric:?}: {covered} of {RUNS}");
    }
}

fn scored(rng: &mut Rng, rows: usize) -> Vec<(f64, bool)> {
    let row = |_| {
        let truth = unit(rng) * unit(rng);
        let score = 0.7 * truth + 0.3 * unit(rng);
        (score, unit(rng) < truth)
    };
    (0..rows).map(row).collect()
}

#[test]
fn of_scores() {
    let sample = |rng: &mut Rng, rows| {
        let mut scores = BinnedScores::default();
        for (score, label) in scored(rng, rows) {
            scores.add(Scored {
                score,
                label: Some(label),
            });
        }
        scores
    };
    let metrics = [
        ScoreMetric::RocAuc,
        ScoreMetric::AveragePrecision,
        ScoreMetric::LogLoss,
        ScoreMetric::Brier,
        ScoreMetric::CalibrationError,
    ];
    assert_cover(31, 400, &metrics, sample, |scores, metric| {
        scores.measure(*metric, LEVEL)
    });
}

#[test]
fn of_classes() {
    let sample = |rng: &mut Rng, rows| Confusion::at_threshold(scored(rng, rows), 0.4);
    let one = || Average::Class("1".into());
    let metrics = [
        ClassMetric::Accuracy,
        ClassMetric::Precision(one()),
        ClassMetric::Recall(one()),
        ClassMetric::F1(one()),
        ClassMetric::F1(Average::Macro),
        ClassMetric::Precision(Average::Weighted),
        ClassMetric::Mcc,
    ];
    assert_cover(32, 150, &metrics, sample, |classes, metric| {
        classes.measure(metric, LEVEL)
    });
}

#[test]
fn of_regression() {
    let sample = |rng: &mut Rng, rows| {
        let mut regression = Regression::default();
        let mut before = None;
        for _ in 0..rows {
            let actual = 5.0 + 10.0 * unit(rng);
            let noise = (unit(rng) + unit(rng) + unit(rng) - 1.4) * 3.0;
            let row = Predicted {
                actual,
                predicted: actual + noise,
                before,
            };
            before = Some((row.actual, row.predicted));
            regression.add(row);
        }
        regression
    };
    // The median's is widened by the sketch's error.
    let metrics = [
        RegressionMetric::Mae,
        RegressionMetric::Rmse,
        RegressionMetric::Mape,
        RegressionMetric::Smape,
        RegressionMetric::R2,
        RegressionMetric::Bias,
        RegressionMetric::DirectionalAccuracy,
        RegressionMetric::MedianAbsoluteError,
    ];
    assert_cover(33, 120, &metrics, sample, |found, metric| {
        found.measure(*metric, LEVEL)
    });
}
