use caisson_quality::Undefined;
use caisson_quality::accumulator::{Accumulator, load, save};
use caisson_quality::calibrator::{Calibrator, Curve, KNOTS_MAX};
use caisson_quality::confusion::{Average, ClassMetric, Confusion};
use caisson_quality::estimate::{Estimate, EstimatedMetric};
use caisson_quality::scores::{ScoreMetric, Scored, Scores};
use caisson_stats::rng::Rng;

use crate::reference::{cases, labels, metrics, numbers};

const METRICS: [EstimatedMetric; 5] = [
    EstimatedMetric::Accuracy,
    EstimatedMetric::Precision,
    EstimatedMetric::Recall,
    EstimatedMetric::F1,
    EstimatedMetric::RocAuc,
];

#[test]
fn curves_are_scikit_learns() {
    for case in cases(&metrics("calibrators")) {
        let rows: Vec<_> = numbers(&case["scores"])
            .into_iter()
            .zip(labels(&case["labels"]))
            .collect();
        let at = numbers(&case["at"]);
        for (curve, key, allowed) in [
            (Curve::Isotonic, "isotonic", 1e-12),
            (Curve::Platt, "platt", 1e-5),
        ] {
            let Ok(fitted) = Calibrator::fit(curve, &rows) else {
                assert_eq!(case["name"], "few");
                continue;
            };
            for (score, expected) in at.iter().zip(numbers(&case[key])) {
                let found = fitted.probability(*score).unwrap();
                assert!(
                    (found - expected).abs() < allowed,
                    "{} {key} {score}: {found} {expected}",
                    case["name"]
                );
            }
            assert_eq!(fitted.probability(f64::NAN), None);
            let again: Calibrator = load("c", &save("c", &fitted).unwrap()).unwrap();
            assert_eq!(again, fitted);
        }
    }
}

#[test]
fn rows_that_fix_no_curve_are_refused() {
    let rows = |n: u32, label: fn(u32) -> bool| -> Vec<(f64, bool)> {
        (0..n).map(|i| (f64::from(i), label(i))).collect()
    };
    let fit = Calibrator::fit;
    let few = Err(Undefined::TooFew { rows: 9, needed: 10 });
    assert_eq!(fit(Curve::Isotonic, &rows(9, |i| i > 4)), few);
    let with_junk: Vec<_> = rows(9, |i| i > 4)
        .into_iter()
        .chain([(f64::NAN, true), (f64::INFINITY, true)])
        .collect();
    assert_eq!(fit(Curve::Platt, &with_junk), few);
    let one_label = Err(Undefined::NoLabel { label: "0".into() });
    assert_eq!(fit(Curve::Isotonic, &rows(20, |_| true)), one_label);
    let constant: Vec<_> = (0..20).map(|i| (0.5, i % 4 == 0)).collect();
    assert_eq!(fit(Curve::Platt, &constant), Err(Undefined::Constant));
    assert_eq!(
        fit(Curve::Isotonic, &constant).unwrap().probability(0.9),
        Some(0.25)
    );
    // Separated: a step, and a sigmoid that stays finite.
    let separated = rows(40, |i| i >= 20);
    let step = fit(Curve::Isotonic, &separated).unwrap();
    assert_eq!(
        (
            step.probability(19.0),
            step.probability(19.5),
            step.probability(20.0)
        ),
        (Some(0.0), Some(0.5), Some(1.0))
    );
    let sigmoid = fit(Curve::Platt, &separated).unwrap();
    assert!(sigmoid.probability(0.0).unwrap() < 0.05 && sigmoid.probability(39.0).unwrap() > 0.95);
    // A curve of very many steps is thinned, and stays rising.
    let mut many = Vec::new();
    for step in 0..3000u32 {
        many.extend(
            (0..6000)
                .step_by(1000)
                .map(|part| (f64::from(step) + f64::from(part) / 1e6, part / 2 < step)),
        );
    }
    let Calibrator::Isotonic { knots } = fit(Curve::Isotonic, &many).unwrap() else {
        panic!("not isotonic");
    };
    assert!(knots.len() <= KNOTS_MAX + 1 && knots.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1));
}

fn unit(rng: &mut Rng) -> f64 {
    rng.below(1 << 30) as f64 / f64::from(1 << 30)
}

/// Rows of a model whose raw scores are too sure of themselves: `shift` moves them to where it is less
/// sure. The true probability of a row follows from its score alone.
fn rows(rng: &mut Rng, count: usize, shift: f64) -> Vec<(f64, bool)> {
    let row = |_| {
        let logit = 3.0 * (unit(rng) + unit(rng) + unit(rng) - 1.5) * shift - 0.4;
        let truth = 1.0 / (1.0 + (-logit).exp());
        let score = 1.0 / (1.0 + (-2.5 * logit).exp());
        (score, unit(rng) < truth)
    };
    (0..count).map(row).collect()
}

fn realised(rows: &[(f64, bool)], threshold: f64, metric: EstimatedMetric) -> f64 {
    let one = || Average::Class("1".into());
    let confusion = Confusion::at_threshold(rows.iter().copied(), threshold);
    let of = |metric: ClassMetric| confusion.measure(&metric, 0.95).unwrap().value;
    match metric {
        EstimatedMetric::Accuracy => of(ClassMetric::Accuracy),
        EstimatedMetric::Precision => of(ClassMetric::Precision(one())),
        EstimatedMetric::Recall => of(ClassMetric::Recall(one())),
        EstimatedMetric::F1 => of(ClassMetric::F1(one())),
        EstimatedMetric::RocAuc => {
            let scored = rows.iter().map(|(score, label)| Scored {
                score: *score,
                label: Some(*label),
            });
            Scores::new(scored)
                .measure(ScoreMetric::RocAuc, 0.95)
                .unwrap()
                .value
        }
    }
}

#[test]
fn estimates_meet_what_labels_show_later() {
    // These scores are no sigmoid of the truth: Platt's curve is off by more, and says so.
    for (curve, off) in [(Curve::Isotonic, 0.03), (Curve::Platt, 0.06)] {
        let rng = &mut Rng::new(12);
        let reference = rows(rng, 6000, 1.0);
        let calibrator = Calibrator::fit(curve, &reference).unwrap();
        let error = Calibrator::held_out_error(curve, &reference, 3).unwrap();
        assert!(error < off, "{error}");
        let mut inside = [0; METRICS.len()];
        let runs = 40;
        for run in 0..runs {
            // Windows as the reference, and windows in which the model is less sure.
            let shift = if run % 2 == 0 { 1.0 } else { 0.5 };
            let window = rows(rng, 800, shift);
            let mut estimate = Estimate::new(calibrator.clone(), error, 0.5);
            window.iter().for_each(|(score, _)| estimate.add(*score));
            for (metric, inside) in METRICS.into_iter().zip(&mut inside) {
                let found = estimate.measure(metric, 0.95).unwrap();
                let truth = realised(&window, 0.5, metric);
                assert!((found.value - truth).abs() < 0.12, "{metric:?} {found:?} {truth}");
                *inside += usize::from(found.interval.unwrap().contains(truth));
            }
        }
        for (metric, inside) in METRICS.into_iter().zip(inside) {
            assert!(inside * 100 >= runs * 90, "{metric:?}: {inside} of {runs}");
        }
    }
}

#[test]
fn a_fall_is_seen_without_labels() {
    let rng = &mut Rng::new(2);
    let reference = rows(rng, 5000, 1.0);
    let calibrator = Calibrator::fit(Curve::Isotonic, &reference).unwrap();
    let error = Calibrator::held_out_error(Curve::Isotonic, &reference, 3).unwrap();
    let estimate = |rows: &[(f64, bool)]| {
        let mut estimate = Estimate::new(calibrator.clone(), error, 0.5);
        rows.iter().for_each(|(score, _)| estimate.add(*score));
        estimate
    };
    let (usual, unsure) = (rows(rng, 3000, 1.0), rows(rng, 3000, 0.4));
    for metric in [EstimatedMetric::Accuracy, EstimatedMetric::RocAuc] {
        let before = estimate(&usual).measure(metric, 0.95).unwrap();
        let after = estimate(&unsure).measure(metric, 0.95).unwrap();
        assert!(
            after.interval.unwrap().high < before.interval.unwrap().low,
            "{before:?} {after:?}"
        );
    }
}

#[test]
fn expectations_are_sums_of_probabilities() {
    // An identity on [0, 1].
    let knots = vec![(0.0, 0.0), (1.0, 1.0)];
    let empty = Estimate::new(Calibrator::Isotonic { knots }, 0.0, 0.5);
    let mut estimate = empty.clone();
    let scores = [0.9, 0.6, 0.3, 0.2];
    scores
        .into_iter()
        .chain([f64::NAN, f64::INFINITY])
        .for_each(|score| estimate.add(score));
    assert_eq!((estimate.rows(), estimate.unusable()), (4, 2));
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    for (found, expected) in estimate
        .expected()
        .into_iter()
        .flatten()
        .zip([1.5, 0.5, 0.5, 1.5])
    {
        close(found, expected);
    }
    let value = |metric| estimate.measure(metric, 0.95).unwrap().value;
    close(value(EstimatedMetric::Accuracy), 0.75);
    close(value(EstimatedMetric::Precision), 0.75);
    close(value(EstimatedMetric::Recall), 0.75);
    close(value(EstimatedMetric::F1), 0.75);
    // All pairs of different rows, written out.
    let (mut right, mut pairs) = (0.0, 0.0);
    for (i, p) in scores.iter().enumerate() {
        for (j, q) in scores.iter().enumerate().filter(|(j, _)| *j != i) {
            pairs += p * (1.0 - q);
            right += if i < j { p * (1.0 - q) } else { 0.0 };
        }
    }
    close(value(EstimatedMetric::RocAuc), right / pairs);
    let mut parts = (empty.clone(), empty.clone());
    scores[..2].iter().for_each(|score| parts.0.add(*score));
    scores[2..].iter().for_each(|score| parts.1.add(*score));
    parts.1.merge(&parts.0).unwrap();
    for metric in METRICS {
        close(parts.1.measure(metric, 0.95).unwrap().value, value(metric));
    }
    assert_eq!(
        empty.measure(EstimatedMetric::RocAuc, 0.95),
        Err(Undefined::TooFew { rows: 0, needed: 1 })
    );
    let mut low = empty.clone();
    low.add(0.1);
    let never = Err(Undefined::NeverPredicted { label: "1".into() });
    assert_eq!(low.measure(EstimatedMetric::Precision, 0.95), never);
    let mut certain = empty.clone();
    [0.0, 0.0, 0.0].into_iter().for_each(|score| certain.add(score));
    let no_positive = Err(Undefined::NoLabel { label: "1".into() });
    assert_eq!(certain.measure(EstimatedMetric::RocAuc, 0.95), no_positive);
    assert_eq!(certain.measure(EstimatedMetric::Recall, 0.95), no_positive);
    assert!(
        empty
            .clone()
            .merge(&Estimate::new(Calibrator::Platt { a: 1.0, b: 0.0 }, 0.0, 0.5))
            .is_err()
    );
}
