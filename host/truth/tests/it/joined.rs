//! Which label is of which prediction, and which of several counts.

use caisson_truth::{Label, LabelKey};
use serde_json::json;

use crate::support::{Bench, NOON, Predicted, SECOND, label, metric, predicted};

/// A later row, so that the windows before it are closed.
fn closes() -> (&'static str, Vec<Predicted>) {
    ("closes", vec![predicted(NOON + 100 * SECOND, 0.1)])
}

#[test]
fn rows_of_requests_get_their_own_labels() {
    let bench = Bench::binary(json!({}));
    let rows = [0.9, 0.2, 0.8, 0.4].map(|score| predicted(NOON, score));
    bench.log(&[
        ("a", rows.to_vec()),
        ("b", vec![predicted(NOON + SECOND, 0.7)]),
        closes(),
    ]);
    let labels = [
        ("a", 0, "1"),
        ("a", 1, "0"),
        ("a", 2, "0"),
        ("b", 0, "1"),
        ("c", 0, "1"),
        ("a", 9, "1"),
    ];
    let labels = labels.map(|(id, row, value)| label(id, row, value, NOON + 5 * SECOND));
    bench.record(labels.to_vec()).unwrap();
    bench.evaluate(NOON + 200 * SECOND);
    let windows = bench.windows();
    assert_eq!(windows.len(), 1);
    let part = &windows[0].parts[0];
    assert_eq!((part.predictions, part.labelled), (5, 4));
    assert_eq!(metric(part, "accuracy"), 0.75);
    let confusion = part.confusion.as_ref().unwrap();
    assert_eq!(confusion.counts, [[1, 1], [0, 2]]);
    let (_, counts) = bench.truth.status("t", "d");
    let counts = counts.unwrap();
    assert_eq!((counts.labels, counts.matched, counts.unmatched), (6, 4, 2));
}

#[test]
fn duplicates_are_ignored_and_the_newest_of_other_values_counts() {
    let bench = Bench::binary(json!({}));
    bench.log(&[("a", vec![predicted(NOON, 0.9), predicted(NOON, 0.9)]), closes()]);
    for (row, value, after) in [(0, "1", 1), (1, "0", 2), (1, "0", 3), (1, "1", 4), (1, "1", 5)] {
        bench
            .record(vec![label("a", row, value, NOON + after * SECOND)])
            .unwrap();
    }
    // Sent again by a slow client: it is older than what replaced it.
    bench.evaluate(NOON + 200 * SECOND);
    let part = bench.windows()[0].parts[0].clone();
    assert_eq!((part.labelled, part.restated), (2, 1));
    assert_eq!(metric(&part, "accuracy"), 1.0);
    let (_, counts) = bench.truth.status("t", "d");
    let counts = counts.unwrap();
    assert_eq!((counts.labels, counts.duplicates, counts.restated), (3, 2, 1));
}

#[test]
fn a_label_that_comes_too_late_is_counted_and_changes_nothing() {
    let mut bench = Bench::binary(json!({}));
    bench.ground.lateness_seconds = Some(60);
    bench.log(&[
        ("a", vec![predicted(NOON, 0.9)]),
        ("b", vec![predicted(NOON, 0.9)]),
        closes(),
    ]);
    bench
        .record(vec![label("a", 0, "0", NOON + 60 * SECOND)])
        .unwrap();
    bench
        .record(vec![label("b", 0, "0", NOON + 61 * SECOND)])
        .unwrap();
    bench.evaluate(NOON + 120 * SECOND);
    let window = &bench.windows()[0];
    assert!(window.is_final);
    assert_eq!(window.parts[0].labelled, 1);
    assert_eq!(bench.truth.status("t", "d").1.unwrap().late, 1);
}

#[test]
fn labels_may_come_before_their_prediction_is_written() {
    let bench = Bench::binary(json!({}));
    bench.record(vec![label("a", 0, "1", NOON + SECOND)]).unwrap();
    bench.evaluate(NOON + 2 * SECOND);
    assert_eq!(bench.truth.status("t", "d").1.unwrap().unmatched, 1);
    assert!(bench.windows().is_empty());
    bench.log(&[("a", vec![predicted(NOON, 0.9)]), closes()]);
    bench.evaluate(NOON + 200 * SECOND);
    let counts = bench.truth.status("t", "d").1.unwrap();
    assert_eq!((counts.unmatched, counts.matched), (0, 1));
    assert_eq!(bench.windows()[0].parts[0].labelled, 1);
}

#[test]
fn labels_of_a_thing_are_of_its_predictions_in_time() {
    let ground = json!({
        "label": {"name": "y", "type": "fp64"},
        "join": {"key": {"columns": ["customer", "region"], "within_seconds": 5}},
    });
    let performance = json!({"task": "regression", "prediction": "number", "window": {"seconds": 10}});
    let bench = Bench::new(ground, performance);
    let of = |after: i64, customer, region, number| Predicted {
        time: NOON + after * SECOND,
        region,
        customer,
        score: 0.0,
        number,
    };
    bench.log(&[
        ("a", vec![of(0, 1, Some("n"), 10.0), of(4, 1, Some("n"), 20.0)]),
        ("b", vec![of(3, 2, Some("n"), 30.0), of(3, 1, None, 40.0)]),
        closes(),
    ]);
    let label = |customer: &str, region: &str, after: i64, value: &str| Label {
        key: LabelKey::Entity {
            entity: json!([customer, region]).to_string(),
            time: NOON + after * SECOND,
        },
        value: value.into(),
        observed_at: None,
        received_at: NOON + 20 * SECOND,
        times: 1,
    };
    // At 5 s it is of both predictions of customer 1; at 4 s only of the one at 0 s and of the other, nearer.
    bench
        .record(vec![
            label("1", "n", 5, "12"),
            label("1", "n", 4, "21"),
            label("2", "n", 2, "0"),
            label("3", "n", 3, "0"),
        ])
        .unwrap();
    bench.evaluate(NOON + 200 * SECOND);
    let part = bench.windows()[0].parts[0].clone();
    assert_eq!((part.predictions, part.labelled), (4, 2));
    // |10 − 21| and |20 − 21|.
    assert_eq!(metric(&part, "mae"), 6.0);
    let counts = bench.truth.status("t", "d").1.unwrap();
    assert_eq!((counts.labels, counts.matched, counts.unmatched), (4, 2, 2));
}

#[test]
fn another_tenants_labels_are_never_looked_at() {
    let bench = Bench::binary(json!({}));
    bench.log(&[("a", vec![predicted(NOON, 0.9)]), closes()]);
    for (tenant, deployment) in [("u", "d"), ("t", "e"), ("t", "d2")] {
        bench
            .record_of(tenant, deployment, vec![label("a", 0, "0", NOON + SECOND)])
            .unwrap();
    }
    bench.evaluate(NOON + 200 * SECOND);
    assert_eq!(bench.windows()[0].parts[0].labelled, 0);
    assert_eq!(bench.truth.status("t", "d").1.unwrap().labels, 0);
}
