use caisson_quality::Undefined;
use caisson_quality::accumulator::Accumulator;
use caisson_quality::confusion::{Average, ClassMetric, Confusion, Labelled};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::reference::{assert_interval, assert_value, cases, metrics, stats, words};

const LEVEL: f64 = 0.95;

fn gather<'a>(confusion: &mut Confusion, pairs: impl IntoIterator<Item = (&'a String, &'a String)>) {
    for (actual, predicted) in pairs {
        confusion.add(Labelled {
            actual: Some(actual),
            predicted: Some(predicted),
        });
    }
}

fn matrix(actual: &[String], predicted: &[String]) -> Confusion {
    let mut confusion = Confusion::default();
    gather(&mut confusion, actual.iter().zip(predicted));
    confusion
}

type Averaged = fn(Average) -> ClassMetric;

const AVERAGED: [(&str, Averaged); 3] = [
    ("precision", ClassMetric::Precision),
    ("recall", ClassMetric::Recall),
    ("f1", ClassMetric::F1),
];

fn averages(confusion: &Confusion, case: &Value, name: &str) {
    for (average, suffix) in [
        (Average::Macro, "macro"),
        (Average::Micro, "micro"),
        (Average::Weighted, "weighted"),
    ] {
        for (key, metric) in AVERAGED {
            let key = format!("{key}_{suffix}");
            let found = confusion.measure(&metric(average.clone()), LEVEL);
            let measured = found.clone().unwrap();
            let interval = measured.interval.unwrap();
            assert!(
                interval.low < interval.high && interval.contains(measured.value),
                "{name} {key}: {measured:?}"
            );
            assert_value(found, &case[&key], &format!("{name} {key}"));
        }
    }
}

#[test]
fn metrics_of_classes_are_scikit_learns() {
    for case in cases(&metrics("classes")) {
        let name = case["name"].as_str().unwrap();
        let confusion = matrix(&words(&case["actual"]), &words(&case["predicted"]));
        let (names, table) = confusion.table();
        assert_eq!(json!(names[1..]), case["classes"], "{name}");
        assert_eq!(
            json!(table[1..].iter().map(|row| &row[1..]).collect::<Vec<_>>()),
            case["confusion"]
        );
        let accuracy = confusion.measure(&ClassMetric::Accuracy, LEVEL);
        assert_value(accuracy.clone(), &case["accuracy"], name);
        assert_interval(accuracy, &case["accuracy_interval"], name);
        match confusion.measure(&ClassMetric::Mcc, LEVEL) {
            // scikit-learn says 0 where it has no value.
            Err(Undefined::Constant) => assert_eq!(case["mcc"], 0.0, "{name}"),
            found => assert_value(found, &case["mcc"], name),
        }
        averages(&confusion, case, name);
        for (place, class) in words(&case["classes"]).into_iter().enumerate() {
            for (key, metric) in AVERAGED {
                let what = format!("{name} {key} of {class}");
                let found = confusion.measure(&metric(Average::Class(class.clone())), LEVEL);
                match found {
                    // scikit-learn warns and says 0.
                    Err(Undefined::NeverPredicted { .. } | Undefined::NoLabel { .. }) => {
                        assert_eq!(case[key][place], 0.0, "{what}");
                    }
                    found => {
                        assert_value(found.clone(), &case[key][place], &what);
                        assert_interval(found, &case[format!("{key}_interval")][place], &what);
                    }
                }
            }
        }
        if let Some(variance) = case["f1_macro_jackknife_variance"].as_f64().filter(|v| *v > 0.0) {
            let found = confusion
                .measure(&ClassMetric::F1(Average::Macro), LEVEL)
                .unwrap();
            let (value, interval) = (found.value, found.interval.unwrap());
            let logit = |p: f64| (p / (1.0 - p)).ln();
            let error = (logit(interval.high) - logit(interval.low)) / 2.0 / 1.959_963_984_540_054
                * value
                * (1.0 - value);
            assert!(
                (error * error - variance).abs() < 1e-9,
                "{name}: {} instead of {variance}",
                error * error
            );
        }
    }
}

#[test]
fn conformance_values_of_classes() {
    let case = stats("multiclass");
    let confusion = matrix(&words(&case["labels"]), &words(&case["predictions"]));
    let (_, table) = confusion.table();
    assert_eq!(
        json!(table[1..].iter().map(|row| &row[1..]).collect::<Vec<_>>()),
        case["confusion"]
    );
    assert_value(
        confusion.measure(&ClassMetric::Accuracy, LEVEL),
        &case["accuracy"],
        "accuracy",
    );
    averages(&confusion, &case, "conformance");
}

#[test]
fn what_has_no_value_says_why() {
    let empty = Confusion::default();
    let none = Err(Undefined::TooFew { rows: 0, needed: 1 });
    assert_eq!(empty.measure(&ClassMetric::Accuracy, LEVEL), none);
    let mut confusion = Confusion::new(&["a", "b"]);
    let row = |actual, predicted| Labelled { actual, predicted };
    confusion.add(row(Some("a"), Some("a")));
    confusion.add(row(Some("b"), Some("a")));
    confusion.add(row(None, Some("a")));
    confusion.add(row(Some("a"), None));
    assert_eq!((confusion.rows(), confusion.unusable()), (2, 2));
    let of = |name: &str| Average::Class(name.into());
    let precision = confusion.measure(&ClassMetric::Precision(of("b")), LEVEL);
    assert_eq!(precision, Err(Undefined::NeverPredicted { label: "b".into() }));
    let recall = confusion.measure(&ClassMetric::Recall(of("z")), LEVEL);
    assert_eq!(recall, Err(Undefined::UnknownClass { label: "z".into() }));
    assert_eq!(
        confusion.measure(&ClassMetric::Mcc, LEVEL),
        Err(Undefined::Constant)
    );
    // NaN scores have no predicted label.
    let at = Confusion::at_threshold([(f64::NAN, true), (0.5, true)], 0.5);
    assert_eq!((at.rows(), at.unusable()), (1, 1));
}

#[test]
fn classes_beyond_the_limit_are_other_and_accuracy_stays() {
    let mut confusion = Confusion::with_max(&["a"], 2);
    let long = "x".repeat(300);
    let pairs = [
        ("a", "a"),
        ("b", "b"),
        ("c", "c"),
        ("c", "d"),
        ("a", "e"),
        ("e", "b"),
        (&long, &long),
    ];
    for (actual, predicted) in pairs {
        confusion.add(Labelled {
            actual: Some(actual),
            predicted: Some(predicted),
        });
    }
    let accuracy = confusion.measure(&ClassMetric::Accuracy, LEVEL).unwrap();
    assert_eq!((accuracy.value, accuracy.rows), (4.0 / 7.0, 7));
    let other = confusion.classes()[0];
    assert_eq!(
        (other.name, other.hits, other.actual, other.predicted),
        (None, 2, 4, 4)
    );
    let (names, table) = confusion.table();
    assert_eq!(names, [None, Some("a"), Some("b")]);
    assert_eq!(table, [[3, 0, 1], [1, 1, 0], [0, 0, 1]]);
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[a-h]", "[a-h]"), 1..80)
}

proptest! {
    #[test]
    fn merging_is_counting_all(pairs in pairs(), cut in 0usize..80, limit in 1usize..10) {
        let of = |pairs: &[(String, String)]| {
            let mut confusion = Confusion::with_max(&[], limit);
            gather(&mut confusion, pairs.iter().map(|(a, b)| (a, b)));
            confusion
        };
        let whole = of(&pairs);
        let (head, tail) = pairs.split_at(cut.min(pairs.len()));
        let (mut ab, mut ba) = (of(head), of(tail));
        ab.merge(&of(tail)).unwrap();
        ba.merge(&of(head)).unwrap();
        for merged in [&ab, &ba] {
            prop_assert_eq!(merged.rows(), whole.rows());
            let accuracy = |c: &Confusion| c.measure(&ClassMetric::Accuracy, LEVEL).unwrap();
            prop_assert_eq!(accuracy(merged), accuracy(&whole));
            if limit >= 8 {
                prop_assert_eq!(merged.table(), whole.table());
            }
        }
        for average in [Average::Macro, Average::Weighted] {
            for (_, metric) in AVERAGED {
                let found = whole.measure(&metric(average.clone()), LEVEL).unwrap();
                prop_assert!((0.0..=1.0).contains(&found.value));
                prop_assert!(found.interval.unwrap().contains(found.value));
            }
        }
    }
}
