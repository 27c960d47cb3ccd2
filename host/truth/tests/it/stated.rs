//! What is said of windows: once, anew when there is news, worse or not.

use caisson_truth::{PerformanceSpec, Reference, Standing};
use serde_json::{Value, json};

use crate::support::{Bench, NOON, Predicted, SECOND, batch, label, metric, predicted};
use caisson_data::{DataType, Field};

/// A window of so many rows from a second on, of which so many are predicted right.
fn window(bench: &Bench, second: i64, rows: i64, right: i64) {
    let id = format!("w{second}");
    let list: Vec<Predicted> = (0..rows)
        .map(|i| {
            predicted(
                NOON + second * SECOND + i * 1000,
                if i % 2 == 0 { 0.8 } else { 0.2 },
            )
        })
        .collect();
    bench.log(&[(&id, list)]);
    let labels = (0..rows).map(|i| {
        let predicted = i % 2 == 0;
        let is_right = i * right / rows != (i + 1) * right / rows;
        let value = if predicted == is_right { "1" } else { "0" };
        label(&id, i, value, NOON + (second + 5) * SECOND)
    });
    bench.record(labels.collect()).unwrap();
}

fn closes(bench: &Bench, second: i64) {
    bench.log(&[("closes", vec![predicted(NOON + second * SECOND, 0.5)])]);
}

#[test]
fn a_window_is_stated_anew_when_labels_come_and_the_earlier_statement_is_kept() {
    let bench = Bench::binary(json!({}));
    bench.log(&[("a", vec![predicted(NOON, 0.9), predicted(NOON, 0.9)])]);
    closes(&bench, 50);
    bench.record(vec![label("a", 0, "1", NOON + SECOND)]).unwrap();
    assert_eq!(bench.evaluate(NOON + 60 * SECOND).statements, 1);
    assert_eq!(bench.evaluate(NOON + 61 * SECOND).windows, 0, "there is no news");
    bench
        .record(vec![label("a", 1, "0", NOON + 62 * SECOND)])
        .unwrap();
    assert_eq!(bench.evaluate(NOON + 63 * SECOND).statements, 1);
    // A label that is there already is no news of the window.
    bench
        .record(vec![label("a", 1, "0", NOON + 64 * SECOND)])
        .unwrap();
    assert_eq!(bench.evaluate(NOON + 65 * SECOND).statements, 0);
    let said = |bench: &Bench| -> Vec<(u32, u64, f64)> {
        let all = bench.history(true).windows.into_iter();
        all.map(|w| (w.statement, w.parts[0].labelled, metric(&w.parts[0], "accuracy")))
            .collect()
    };
    assert_eq!(said(&bench), [(2, 2, 0.5), (1, 1, 1.0)]);
    let bench = bench.restarted();
    assert_eq!(bench.evaluate(NOON + 66 * SECOND).statements, 0);
    assert_eq!(said(&bench), [(2, 2, 0.5), (1, 1, 1.0)]);
    // A month later no label is waited for, which is no other statement.
    let later = NOON + 40 * 86_400 * SECOND;
    bench.evaluate(later);
    assert!(bench.windows()[0].is_final);
    assert_eq!(bench.windows()[0].statement, 2);
    assert_eq!(bench.evaluate(later + 1).windows, 0);
}

#[test]
fn an_open_window_is_not_spoken_of() {
    let mut bench = Bench::binary(json!({"window": {"seconds": 10, "lateness_seconds": 5}}));
    bench.log(&[
        ("a", vec![predicted(NOON, 0.9)]),
        ("b", vec![predicted(NOON + 14 * SECOND, 0.9)]),
    ]);
    bench.evaluate(NOON + 100 * SECOND);
    assert!(bench.windows().is_empty());
    bench.log(&[("c", vec![predicted(NOON + 15 * SECOND, 0.9)])]);
    bench.evaluate(NOON + 100 * SECOND);
    assert_eq!(bench.windows().len(), 1);
    // Without a column for it, time is the server's.
    bench.log.event_time = None;
    bench.evaluate(NOON + 100 * SECOND);
    assert_eq!(bench.windows().len(), 2);
}

#[test]
fn windows_are_compared_with_values_with_those_before_and_with_the_baseline() {
    let worse =
        |bench: &Bench| -> Vec<Standing> { bench.windows().iter().map(|w| w.parts[0].outcome).collect() };
    let fill = |bench: &Bench| {
        for (second, right) in [(0, 95), (10, 94), (20, 70), (30, 69)] {
            window(bench, second, 100, right);
        }
        closes(bench, 40);
    };
    let given = Bench::binary(json!({"reference": {"accuracy": 0.95}}));
    fill(&given);
    given.evaluate(NOON + 100 * SECOND);
    assert_eq!(
        worse(&given),
        [Standing::Good, Standing::Good, Standing::Bad, Standing::Bad]
    );
    let alarms = given.history(false).alarms;
    assert!(alarms[0].raised && alarms[0].segment.is_none(), "{alarms:?}");

    let trailing = Bench::binary(json!({"trailing": 1}));
    fill(&trailing);
    trailing.evaluate(NOON + 100 * SECOND);
    assert_eq!(
        worse(&trailing),
        [Standing::Unknown, Standing::Good, Standing::Bad, Standing::Good]
    );
    let against = |bench: &Bench, at: usize| bench.windows()[at].against.clone().unwrap();
    assert_eq!(against(&trailing, 1), "the window before");

    let baseline = Bench::binary(json!({"estimate": true}));
    fill(&baseline);
    let reference = reference(&baseline, 500, 475);
    baseline.evaluate_with(NOON + 100 * SECOND, Some(&reference));
    assert_eq!(
        worse(&baseline),
        [Standing::Good, Standing::Good, Standing::Bad, Standing::Bad]
    );
    assert_eq!(against(&baseline, 0), "the baseline of m@1 (500 labelled rows)");
    let verdict = baseline.windows()[2].parts[0].verdicts["accuracy"].clone();
    let found = verdict.found.unwrap();
    assert_eq!((found.baseline, found.current, found.rows), (0.95, 0.7, 100));
    assert!(found.p_value < 1e-6 && found.test.as_deref() == Some("proportions"));
    // Estimates don't see that the labels are others now.
    let part = &baseline.windows()[3].parts[0];
    let estimate = &part.estimates["accuracy"];
    assert!(
        estimate.estimated && (estimate.value.unwrap() - 0.95).abs() < 0.01,
        "{estimate:?}"
    );
    assert_eq!(metric(part, "accuracy"), 0.69);
}

/// A baseline of so many rows, of which so many are predicted right.
fn reference(bench: &Bench, rows: i64, right: i64) -> Reference {
    let input: Vec<Value> = (0..rows).map(|_| json!({"region": null})).collect();
    let is_right = |i: i64| i * right / rows != (i + 1) * right / rows;
    let labels: Vec<Value> = (0..rows)
        .map(|i| json!({"y": i64::from((i % 2 == 0) == is_right(i))}))
        .collect();
    let output: Vec<Value> = (0..rows)
        .map(|i| json!({"score": if i % 2 == 0 { 0.8 } else { 0.2 }}))
        .collect();
    let input = batch(vec![Field::new("region", DataType::Text).nullable()], &input);
    let labels = batch(vec![Field::new("y", DataType::Int64)], &labels);
    let output = batch(vec![Field::new("score", DataType::Fp64)], &output);
    let source = "the baseline of m@1".to_owned();
    Reference::new(
        &bench.ground,
        &bench.performance,
        (&input, &labels, &output),
        source,
    )
    .unwrap()
}

#[test]
fn windows_without_labels_are_estimated_from_those_before() {
    let bench = Bench::binary(json!({"estimate": true}));
    window(&bench, 0, 400, 360);
    closes(&bench, 10);
    bench.evaluate(NOON + 11 * SECOND);
    assert!(
        bench.windows()[0].parts[0].estimates.is_empty(),
        "nothing came before"
    );
    let list: Vec<Predicted> = (0..100)
        .map(|i| predicted(NOON + 20 * SECOND + i, if i % 2 == 0 { 0.8 } else { 0.2 }))
        .collect();
    bench.log(&[("unlabelled", list)]);
    closes(&bench, 40);
    bench.evaluate(NOON + 50 * SECOND);
    let windows = bench.windows();
    let part = &windows
        .iter()
        .find(|w| w.parts[0].predictions == 100)
        .unwrap()
        .parts[0];
    assert_eq!(part.labelled, 0);
    assert!(part.metrics["accuracy"].value.is_none() && part.metrics["accuracy"].undefined.is_some());
    let estimate = &part.estimates["accuracy"];
    assert!((estimate.value.unwrap() - 0.9).abs() < 0.05, "{estimate:?}");
    assert!(
        estimate
            .calibrated_on
            .as_ref()
            .unwrap()
            .contains("400 labelled predictions")
    );
    // What is newest, for rules: labels of the first window, estimates of the last.
    let latest = bench.truth.latest("t", "d");
    assert_eq!(latest.labelled[0].part.labelled, 400);
    assert_eq!(latest.estimated[0].part.predictions, 100);
}

#[test]
fn segments_are_told_apart_and_beyond_twenty_they_are_other() {
    let bench = Bench::binary(json!({"segments": ["region"], "metrics": ["accuracy"]}));
    let names: Vec<String> = (0..25).map(|i| format!("r{i:02}")).collect();
    let mut list: Vec<Predicted> = names
        .iter()
        .enumerate()
        .map(|(i, name)| Predicted {
            region: Some(Box::leak(name.clone().into_boxed_str())),
            ..predicted(NOON + i as i64, 0.9)
        })
        .collect();
    list.push(predicted(NOON + 100, 0.9));
    bench.log(&[("a", list)]);
    closes(&bench, 20);
    let labels = (0..26).map(|row| label("a", row, if row == 3 { "0" } else { "1" }, NOON + SECOND));
    bench.record(labels.collect()).unwrap();
    bench.evaluate(NOON + 60 * SECOND);
    let parts = bench.windows()[0].parts.clone();
    assert_eq!(parts.len(), 1 + 20 + 2);
    let of = |text: &str| {
        let is_it = |part: &&caisson_truth::Part| part.segment.as_ref().is_some_and(|s| s.text() == text);
        parts.iter().find(is_it).unwrap()
    };
    assert_eq!(metric(of("r03"), "accuracy"), 0.0);
    assert_eq!(metric(of("r04"), "accuracy"), 1.0);
    assert_eq!(of("(other)").labelled, 5);
    assert_eq!(of("(missing)").labelled, 1);
    // The names stay those after a restart.
    let bench = bench.restarted();
    bench.record(vec![label("a", 3, "1", NOON + 2 * SECOND)]).unwrap();
    bench.evaluate(NOON + 61 * SECOND);
    assert_eq!(bench.windows()[0].parts.len(), 23);
    assert_eq!(bench.windows()[0].statement, 2);
}

#[test]
fn another_file_measures_anew_and_the_history_of_both_is_kept() {
    let mut bench = Bench::binary(json!({}));
    window(&bench, 0, 40, 30);
    closes(&bench, 40);
    bench.evaluate(NOON + 60 * SECOND);
    let before: PerformanceSpec = bench.performance.clone();
    bench.performance.threshold = Some(0.1);
    assert!(bench.windows().is_empty());
    bench.evaluate(NOON + 61 * SECOND);
    assert_ne!(metric(&bench.windows()[0].parts[0], "accuracy"), 0.75);
    bench.performance = before;
    assert_eq!(metric(&bench.windows()[0].parts[0], "accuracy"), 0.75);
}
