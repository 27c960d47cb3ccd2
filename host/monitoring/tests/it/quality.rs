//! Data quality: verdicts on sketches are those of the rows.

use caisson_data::{Batch, BatchBuilder, DataType};
use caisson_monitoring::quality::Quality;
use caisson_monitoring::report::Status::{self, Drifted, Stable};
use caisson_quality::drift;
use caisson_quality::summary::Column;
use proptest::prelude::*;
use serde_json::json;

use crate::support::schema;

/// `missing` of `rows` rows have no `x`; the plans are dealt out in turn.
fn batch(rows: usize, missing: usize, plans: &[&str]) -> Batch {
    let schema = schema(&[("x", DataType::Fp32), ("plan", DataType::Text)]);
    let mut batch = BatchBuilder::new(schema, rows).unwrap();
    for row in 0..rows {
        batch.fp32s_mut(0).unwrap()[row] = row as f32;
        batch
            .varlen_mut(1)
            .unwrap()
            .push(plans[row % plans.len()].as_bytes())
            .unwrap();
    }
    (0..missing).for_each(|row| batch.set_missing(0, row * rows / missing));
    batch.finish().unwrap()
}

fn quality(config: serde_json::Value) -> Quality {
    Quality::new(&config, batch(0, 0, &["a"]).schema(), &[], &[]).unwrap()
}

fn statuses(quality: &Quality, before: &Batch, now: &Batch) -> Vec<(String, String, Status)> {
    let fitted = quality.fit(before).unwrap();
    let before = quality.fitted(&fitted).unwrap();
    let verdicts = quality.compare(&before, &before, &quality.summarize(now));
    verdicts
        .into_iter()
        .map(|v| (v.feature, v.method, v.status))
        .collect()
}

#[test]
fn each_kind_of_drift_is_found_where_it_is() {
    let quality = quality(json!({}));
    let before = batch(5000, 100, &["free", "pro", "team"]);
    let of = |feature: &str, method: &str, status| (feature.to_owned(), method.to_owned(), status);
    assert_eq!(
        statuses(&quality, &before, &batch(5000, 120, &["free", "pro", "team"])),
        [
            of("x", "missing-rate", Stable),
            of("plan", "missing-rate", Stable),
            of("plan", "new-categories", Stable),
            of("plan", "cardinality", Stable),
        ]
    );
    let many: Vec<String> = (0..40).map(|n| format!("plan-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(
        statuses(&quality, &before, &batch(5000, 1000, &many)),
        [
            of("x", "missing-rate", Drifted),
            of("plan", "missing-rate", Stable),
            of("plan", "new-categories", Drifted),
            of("plan", "cardinality", Drifted),
        ]
    );
    // A window of a tenth of the rows says nothing of how many values there are.
    let short = statuses(&quality, &before, &batch(500, 10, &["free", "pro"]));
    assert!(short.iter().all(|(_, method, _)| method != "cardinality"));
}

#[test]
fn columns_and_limits_are_as_configured() {
    let before = batch(5000, 0, &["a"]);
    let now = batch(5000, 100, &["a"]);
    let of = |config| statuses(&quality(config), &before, &now);
    assert_eq!(
        of(json!({"columns": ["x"]})),
        [("x".into(), "missing-rate".into(), Stable)]
    );
    assert_eq!(
        of(json!({"columns": ["x"], "missing_rate": {"threshold": 0.01}}))[0].2,
        Drifted
    );
    let schema = before.schema();
    for (config, word) in [
        (json!({"columns": ["y"]}), "`y`"),
        (json!({"columns": []}), "nothing is left"),
        (json!({"missing_rate": {"threshold": -1}}), "missing_rate"),
        (
            json!({"cardinality": {"threshold": 1, "alpha": 0}}),
            "cardinality",
        ),
        (json!({"mising_rate": {}}), "mising_rate"),
        (json!([]), "config"),
    ] {
        let refused = Quality::new(&config, schema, &[], &[]).unwrap_err();
        assert!(refused.contains(word), "{config}: {refused}");
    }
}

proptest! {
    /// The verdict's numbers are the library's on the same rows.
    #[test]
    fn numbers_are_those_of_the_library(a in 0usize..400, b in 0usize..400, n in 400usize..2000, m in 400usize..2000) {
        let quality = quality(json!({"columns": ["x"]}));
        let (before, now) = (quality.summarize(&batch(n, a, &["p"])), quality.summarize(&batch(m, b, &["p"])));
        let verdict = &quality.compare(&before, &before, &now)[0];
        let column = |summary: &caisson_monitoring::Sketches| -> Column { summary.columns()[0].clone() };
        let shift = drift::missing_rate(&column(&before), &column(&now)).unwrap();
        prop_assert_eq!(verdict.statistic, Some(shift.change.abs()));
        prop_assert_eq!(verdict.p_value, Some(shift.p_value));
        prop_assert_eq!(verdict.reference_count, (n - a) as u64);
        prop_assert_eq!(verdict.current_missing_rate, b as f64 / m as f64);
    }
}
