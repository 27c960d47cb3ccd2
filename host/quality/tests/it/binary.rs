use caisson_quality::Undefined;
use caisson_quality::accumulator::Accumulator;
use caisson_quality::confusion::{Average, ClassMetric, Confusion};
use caisson_quality::multiclass::{
    Against, BinnedMulticlass, MulticlassMetric, MulticlassScores, ScoredClasses,
};
use caisson_quality::scores::{BinnedScores, ScoreMetric, Scored, Scores};
use caisson_stats::bootstrap::Resampling;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::reference::{assert_interval, assert_near, assert_value, cases, labels, metrics, numbers, stats};

const LEVEL: f64 = 0.95;

fn rows(case: &Value) -> Vec<Scored> {
    let labels = labels(&case["labels"]);
    let scores = numbers(&case["scores"]);
    let row = |(score, label)| Scored {
        score,
        label: Some(label),
    };
    scores.into_iter().zip(labels).map(row).collect()
}

#[test]
fn metrics_of_scores_are_scikit_learns() {
    for case in cases(&metrics("binary")) {
        let bins = case["bins"].as_u64().unwrap() as usize;
        let scores = Scores::with_bins(rows(case), bins);
        for (metric, key) in [
            (ScoreMetric::RocAuc, "roc_auc"),
            (ScoreMetric::AveragePrecision, "average_precision"),
            (ScoreMetric::LogLoss, "log_loss"),
            (ScoreMetric::Brier, "brier"),
            (ScoreMetric::CalibrationError, "calibration_error"),
        ] {
            let what = format!("{} {key}", case["name"]);
            assert_value(scores.measure(metric, LEVEL), &case[key], &what);
            let interval = &case[format!("{key}_interval")];
            assert_interval(scores.measure(metric, LEVEL), interval, &what);
        }
        let used = || scores.calibration().bins().iter().filter(|bin| bin.rows > 0);
        let curve = |of: fn(&caisson_quality::calibration::Bin) -> f64| used().map(of).collect::<Vec<_>>();
        let shares = curve(|bin| bin.positives as f64 / bin.rows as f64);
        let means = curve(|bin| bin.probabilities / bin.rows as f64);
        for (found, expected) in [(shares, &case["curve"]["true"]), (means, &case["curve"]["mean"])] {
            assert_eq!(found.len(), expected.as_array().unwrap().len());
            for (found, expected) in found.into_iter().zip(expected.as_array().unwrap()) {
                assert_near(found, expected, "calibration curve");
            }
        }
    }
}

#[test]
fn conformance_values_of_scores() {
    for case in cases(&stats("binary_classification")) {
        let name = &case["name"];
        let rows = rows(case);
        let scores = Scores::new(rows.iter().copied());
        for (metric, key) in [
            (ScoreMetric::RocAuc, "roc_auc"),
            (ScoreMetric::AveragePrecision, "average_precision"),
            (ScoreMetric::LogLoss, "log_loss"),
            (ScoreMetric::Brier, "brier"),
        ] {
            assert_value(
                scores.measure(metric, LEVEL),
                &case[key],
                &format!("{name} {key}"),
            );
        }
        let threshold = case["threshold"].as_f64().unwrap();
        let labelled = rows.iter().map(|row| (row.score, row.label.unwrap()));
        let confusion = Confusion::at_threshold(labelled, threshold);
        assert_eq!(
            json!(
                confusion.table().1[1..]
                    .iter()
                    .map(|row| &row[1..])
                    .collect::<Vec<_>>()
            ),
            case["confusion"]
        );
        let one = || Average::Class("1".into());
        for (metric, key) in [
            (ClassMetric::Accuracy, "accuracy"),
            (ClassMetric::Mcc, "mcc"),
            (ClassMetric::Precision(one()), "precision_binary"),
            (ClassMetric::Recall(one()), "recall_binary"),
            (ClassMetric::F1(one()), "f1_binary"),
            (ClassMetric::Precision(Average::Macro), "precision_macro"),
            (ClassMetric::Recall(Average::Macro), "recall_macro"),
            (ClassMetric::F1(Average::Macro), "f1_macro"),
            (ClassMetric::Precision(Average::Micro), "precision_micro"),
            (ClassMetric::Recall(Average::Micro), "recall_micro"),
            (ClassMetric::F1(Average::Micro), "f1_micro"),
            (ClassMetric::Precision(Average::Weighted), "precision_weighted"),
            (ClassMetric::Recall(Average::Weighted), "recall_weighted"),
            (ClassMetric::F1(Average::Weighted), "f1_weighted"),
        ] {
            assert_value(
                confusion.measure(&metric, LEVEL),
                &case[key],
                &format!("{name} {key}"),
            );
        }
    }
}

#[test]
fn areas_that_separate_have_an_interval_all_the_same() {
    let row = |score, label| Scored {
        score,
        label: Some(label),
    };
    let perfect = Scores::new((0..20).map(|i| row(f64::from(i) / 20.0, i >= 10)));
    let area = perfect.measure(ScoreMetric::RocAuc, LEVEL).unwrap();
    let interval = area.interval.unwrap();
    assert_eq!((area.value, interval.high), (1.0, 1.0));
    // 0.025 ^ (1 / 10)
    assert!((interval.low - 0.691_503).abs() < 1e-6, "{interval:?}");
    // Average precision of 1 is ten of ten positives: Wilson's interval.
    let precision = perfect.measure(ScoreMetric::AveragePrecision, LEVEL).unwrap();
    let low = precision.interval.unwrap().low;
    assert!(precision.value == 1.0 && (low - 0.722_467).abs() < 1e-6, "{low}");
    // One row of a label shows no spread.
    let single = Scores::new([row(0.1, false), row(0.2, false), row(0.9, true)]);
    assert_eq!(single.measure(ScoreMetric::RocAuc, LEVEL).unwrap().interval, None);
}

#[test]
fn rows_that_cannot_be_used_are_counted() {
    let usable = [(0.2, false), (0.7, true), (0.4, true), (0.1, false)];
    let row = |(score, label)| Scored {
        score,
        label: Some(label),
    };
    let mut with_junk: Vec<Scored> = usable.into_iter().map(row).collect();
    with_junk.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(|score| row((score, true))));
    with_junk.push(Scored {
        score: 0.5,
        label: None,
    });
    let clean = Scores::new(usable.map(row));
    let junk = Scores::new(with_junk.clone());
    assert_eq!((junk.rows(), junk.unusable()), (4, 4));
    let mut binned = BinnedScores::default();
    with_junk.into_iter().for_each(|row| binned.add(row));
    assert_eq!((binned.rows(), binned.unusable()), (4, 4));
    for metric in [ScoreMetric::RocAuc, ScoreMetric::Brier, ScoreMetric::LogLoss] {
        assert_eq!(clean.measure(metric, LEVEL), junk.measure(metric, LEVEL));
        assert_eq!(
            clean.measure(metric, LEVEL).unwrap().value,
            binned.measure(metric, LEVEL).unwrap().value
        );
    }
    // Margins rank, and are no probabilities.
    let margins = Scores::new([(-2.0, false), (3.0, true), (-1.0, true), (0.5, false)].map(row));
    assert_eq!(margins.measure(ScoreMetric::RocAuc, LEVEL).unwrap().value, 0.75);
    let refused = Err(Undefined::NotProbabilities { rows: 3 });
    assert_eq!(margins.measure(ScoreMetric::Brier, LEVEL), refused);
    assert_eq!(
        Scores::new([]).measure(ScoreMetric::RocAuc, LEVEL),
        Err(Undefined::TooFew { rows: 0, needed: 1 })
    );
    let positives = Scores::new([row((0.3, true))]);
    let no_negatives = Err(Undefined::NoLabel { label: "0".into() });
    assert_eq!(positives.measure(ScoreMetric::RocAuc, LEVEL), no_negatives);
}

#[test]
fn areas_of_several_classes_are_scikit_learns() {
    for case in cases(&metrics("multiclass")) {
        let labels: Vec<usize> = numbers(&case["labels"]).into_iter().map(|v| v as usize).collect();
        let probabilities: Vec<Vec<f64>> = cases(&case["scores"]).iter().map(numbers).collect();
        let classes = probabilities[0].len();
        let rows = || {
            labels
                .iter()
                .zip(&probabilities)
                .map(|(label, row)| ScoredClasses {
                    label: Some(*label),
                    probabilities: row,
                })
        };
        let scores = MulticlassScores::new(classes, rows());
        let mut binned = BinnedMulticlass::new(classes).unwrap();
        rows().for_each(|row| binned.add(row));
        let area = |against, weighted| MulticlassMetric::RocAuc { against, weighted };
        let few = Resampling {
            replicates: 200,
            seed: 7,
        };
        for (metric, key) in [
            (area(Against::Rest, false), "ovr_macro"),
            (area(Against::Rest, true), "ovr_weighted"),
            (area(Against::One, false), "ovo_macro"),
            (area(Against::One, true), "ovo_weighted"),
            (MulticlassMetric::LogLoss, "log_loss"),
            (MulticlassMetric::Brier, "brier"),
            (MulticlassMetric::Brier, "brier_sklearn"),
        ] {
            let what = format!("{} {key}", case["name"]);
            let found = scores.measure(metric, LEVEL, few);
            let interval = found.as_ref().unwrap().interval.unwrap();
            let value = case[key].as_f64().unwrap();
            assert!(
                interval.contains(value) && interval.low < interval.high,
                "{what}: {interval:?}"
            );
            assert_value(found, &case[key], &what);
            match binned.measure(metric, LEVEL) {
                None => assert!(key.starts_with("ovo")),
                Some(found) => {
                    let errors = binned
                        .classes()
                        .iter()
                        .map(|c| c.area_error(ScoreMetric::RocAuc).unwrap());
                    let allowed = errors.fold(1e-9, f64::max);
                    let found = found.unwrap();
                    assert!((found.value - value).abs() <= allowed, "{what}: {found:?}");
                    assert!(found.interval.unwrap().contains(found.value));
                }
            }
        }
    }
    let absent = MulticlassScores::new(
        3,
        [ScoredClasses {
            label: Some(1),
            probabilities: &[0.2, 0.5, 0.3],
        }],
    );
    let area = MulticlassMetric::RocAuc {
        against: Against::Rest,
        weighted: false,
    };
    let found = absent.measure(area, LEVEL, Resampling::default());
    assert_eq!(found, Err(Undefined::NoLabel { label: "0".into() }));
}

#[test]
fn rows_of_several_classes_that_cannot_be_used_are_counted() {
    let bad: [(Option<usize>, &[f64]); 6] = [
        (None, &[0.5, 0.5]),
        (Some(2), &[0.5, 0.5]),
        (Some(0), &[1.0]),
        (Some(0), &[f64::NAN, 0.5]),
        (Some(0), &[0.9, 0.9]),
        (Some(0), &[-0.5, 1.5]),
    ];
    let rows = || {
        bad.iter()
            .map(|&(label, probabilities)| ScoredClasses { label, probabilities })
    };
    let scores = MulticlassScores::new(2, rows());
    assert_eq!((scores.rows(), scores.unusable()), (0, 6));
    let mut binned = BinnedMulticlass::new(2).unwrap();
    rows().for_each(|row| binned.add(row));
    assert_eq!(binned.unusable(), 6);
    assert!(BinnedMulticlass::new(21).is_none());
}

fn scored() -> impl Strategy<Value = Vec<Scored>> {
    let score = prop_oneof![
        3 => 0.0..=1.0f64,
        1 => (0u8..=10).prop_map(|tenth| f64::from(tenth) / 10.0),
        1 => (-20.0..0.0f64).prop_map(f64::exp),
    ];
    let row = (score, any::<bool>()).prop_map(|(score, label)| Scored {
        score,
        label: Some(label),
    });
    prop::collection::vec(row, 1..300)
}

proptest! {
    #[test]
    fn bins_are_within_their_error_and_merge_exactly(rows in scored(), cut in 0usize..300) {
        let exact = Scores::new(rows.iter().copied());
        let gather = |rows: &[Scored]| {
            let mut binned = BinnedScores::default();
            rows.iter().for_each(|row| binned.add(*row));
            binned
        };
        let whole = gather(&rows);
        let (head, tail) = rows.split_at(cut.min(rows.len()));
        let (mut ab, mut ba) = (gather(head), gather(tail));
        ab.merge(&gather(tail)).unwrap();
        ba.merge(&gather(head)).unwrap();
        for metric in [
            ScoreMetric::RocAuc,
            ScoreMetric::AveragePrecision,
            ScoreMetric::LogLoss,
            ScoreMetric::Brier,
            ScoreMetric::CalibrationError,
        ] {
            let Ok(found) = whole.measure(metric, LEVEL) else {
                prop_assert_eq!(whole.measure(metric, LEVEL), exact.measure(metric, LEVEL));
                continue;
            };
            let value = exact.measure(metric, LEVEL).unwrap().value;
            let allowed = whole.area_error(metric).unwrap() + 1e-9;
            prop_assert!((found.value - value).abs() <= allowed, "{metric:?} {found:?} {value} {allowed}");
            for merged in [&ab, &ba] {
                let merged = merged.measure(metric, LEVEL).unwrap();
                prop_assert!((merged.value - found.value).abs() < 1e-9);
                prop_assert_eq!(merged.rows, found.rows);
            }
        }
    }

    #[test]
    fn spread_scores_lose_little_to_bins(seed in 0u64..50) {
        let mut rng = caisson_stats::rng::Rng::new(seed);
        let mut unit = || rng.below(1 << 30) as f64 / f64::from(1 << 30);
        let mut binned = BinnedScores::default();
        for _ in 0..2000 {
            let score = unit();
            binned.add(Scored { score, label: Some(unit() < score) });
        }
        prop_assert!(binned.area_error(ScoreMetric::RocAuc).unwrap() < 0.005);
        prop_assert!(binned.area_error(ScoreMetric::AveragePrecision).unwrap() < 0.01);
    }
}
