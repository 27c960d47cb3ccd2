//! What all checks of single features have in common, shown on the population stability index.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

use caisson_plugin::serde_json::{Value, from_value, json};
use caisson_plugin::testing::{batch, schema};
use caisson_plugin::{Batch, DriftReport, DriftStatus, Error, Schema};
use drift_kit::binned::{Binned, Bins, Distance};
use drift_kit::check::PerFeature;
use drift_kit::config::{Defaults, Rules};
use drift_kit::stats::divergence::{ZeroPolicy, psi};
use drift_kit::testing::{numeric, numeric_schema, numeric_with_missing, only};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Debug)]
struct Psi;

impl Distance for Psi {
    const NAME: &'static str = "psi";
    const DEFAULTS: Defaults = Defaults {
        threshold: 0.2,
        warn_threshold: 0.1,
        effect_none: 0.0,
        effect_max: f64::MAX,
        min_count: 30,
    };

    fn distance(&self, reference: &[u64], current: &[u64]) -> f64 {
        psi(reference, current, ZeroPolicy::default())
    }
}

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    rules: Rules,
    #[serde(flatten)]
    bins: Bins,
}

fn configure(config: Value, input: &Schema) -> Result<PerFeature<Binned<Psi>>, Error> {
    let config: Config = from_value(config).unwrap();
    Binned::configure(Psi, &config.rules, &config.bins, input)
}

fn compare(config: Value, reference: &Batch, current: &Batch) -> DriftReport {
    let check = configure(config, reference.schema()).unwrap();
    check.check(&check.fit(reference).unwrap(), current).unwrap()
}

fn ramp(rows: usize) -> Vec<f64> {
    (0..rows).map(|i| i as f64).collect()
}

#[test]
fn every_suitable_column_is_checked_and_no_other() {
    let input =
        schema!["a": fp32, "b": bytes, "c": text?, "d": int8[2], "e": boolean, "f": fp32[65], "g": fp32[0]];
    let names = |config: Value| -> Vec<String> {
        let check = configure(config, &input).unwrap();
        check.features().map(|f| f.name.clone()).collect()
    };
    assert_eq!(names(json!({})), ["a", "c", "d[0]", "d[1]", "e"]);
    assert_eq!(names(json!({"columns": ["e", "a"]})), ["e", "a"]);
    let error = |config: Value| configure(config, &input).unwrap_err().to_string();
    assert!(error(json!({"columns": ["b"]})).contains("`b: bytes` is not a number, text or boolean"));
    assert!(error(json!({"columns": ["f"]})).contains("`f: fp32[65]` is not"));
    assert!(error(json!({"columns": ["z"]})).contains("there is no column `z`"));
    assert!(error(json!({"columns": ["a", "a"]})).contains("twice"));
    assert!(error(json!({"columns": ["a"], "per_column": {"c": {}}})).contains("`per_column` has `c`"));
    let wide: Vec<_> = (0..300)
        .map(|i| caisson_plugin::Field::new(format!("x{i}"), caisson_plugin::DataType::Fp32))
        .collect();
    let wide = configure(json!({}), &Schema::new(wide).unwrap())
        .unwrap_err()
        .to_string();
    assert!(wide.contains("more than 256 features"), "{wide}");
}

#[test]
fn numbers_out_of_range_are_refused() {
    let input = numeric_schema();
    let error = |config: Value| configure(config, &input).unwrap_err().to_string();
    for (config, message) in [
        (json!({"alpha": 0}), "alpha is 0; it must be above 0 and below 1"),
        (json!({"alpha": 1}), "alpha is 1"),
        (
            json!({"alpha": 0.1, "warn_alpha": 0.05}),
            "warn_alpha is 0.05; it must be at least alpha",
        ),
        (json!({"threshold": 0}), "threshold is 0; it must be above 0"),
        (json!({"threshold": -1}), "threshold is -1"),
        (
            json!({"warn_threshold": 0.3}),
            "warn_threshold is 0.3; it must be between 0 and the threshold, 0.2",
        ),
        (json!({"min_count": 0}), "min_count is 0"),
        (
            json!({"missing_rate": {"threshold": 2}}),
            "missing_rate.threshold is 2",
        ),
        (
            json!({"per_column": {"x": {"threshold": 0}}}),
            "threshold of column `x` is 0",
        ),
    ] {
        let found = error(config.clone());
        assert!(found.contains(message), "{config}: {found}");
    }
}

#[test]
fn thresholds_can_differ_by_column() {
    let reference = batch_of(&ramp(1000), &ramp(1000));
    let moved: Vec<f64> = ramp(1000).iter().map(|v| v + 150.0).collect();
    let current = batch_of(&moved, &moved);
    let report = compare(
        json!({"per_column": {"b": {"threshold": 5.0}}}),
        &reference,
        &current,
    );
    let [a, b] = [&report.features[0], &report.features[1]];
    assert_eq!(a.statistic, b.statistic);
    assert_eq!((a.threshold, a.status), (0.2, DriftStatus::Drifted));
    assert_eq!((b.threshold, b.status), (5.0, DriftStatus::Stable));
    assert_eq!(report.status, DriftStatus::Drifted);
}

fn batch_of(a: &[f64], b: &[f64]) -> Batch {
    let input = schema!["a": fp64, "b": fp64];
    let mut builder = caisson_plugin::BatchBuilder::new(input, a.len()).unwrap();
    builder.fp64s_mut(0).unwrap().copy_from_slice(a);
    builder.fp64s_mut(1).unwrap().copy_from_slice(b);
    builder.finish().unwrap()
}

#[test]
fn few_rows_are_no_verdict_and_missing_rows_are_one() {
    let reference = numeric(&ramp(500));
    let few = only(compare(json!({}), &reference, &numeric(&ramp(29))));
    assert_eq!((few.status, few.statistic), (DriftStatus::InsufficientData, None));
    let enough = only(compare(json!({"min_count": 29}), &reference, &numeric(&ramp(29))));
    assert!(enough.statistic.is_some());
    let empty = only(compare(json!({}), &numeric(&[]), &numeric(&[])));
    assert_eq!(empty.status, DriftStatus::InsufficientData);
    // The values that are there look as before.
    let missing = only(compare(
        json!({}),
        &reference,
        &numeric_with_missing(&ramp(500), 100),
    ));
    assert_eq!(missing.statistic, Some(0.0));
    assert_eq!(missing.status, DriftStatus::Drifted);
    assert!(
        missing.detail.ends_with("; missing 0 % → 16.7 %"),
        "{}",
        missing.detail
    );
    assert_eq!((missing.reference_count, missing.current_count), (500, 500));
    assert!((missing.current_missing_rate - 1.0 / 6.0).abs() < 1e-12);
    let ignored = json!({"missing_rate": {"policy": "ignore"}});
    let ignored = only(compare(
        ignored,
        &reference,
        &numeric_with_missing(&ramp(500), 100),
    ));
    assert_eq!(ignored.status, DriftStatus::Stable);
}

#[test]
fn several_features_are_corrected() {
    // Of twelve columns one is a little off: by itself significant, among twelve not.
    let input = Schema::new(
        (0..12)
            .map(|i| caisson_plugin::Field::new(format!("x{i}"), caisson_plugin::DataType::Fp64))
            .collect(),
    )
    .unwrap();
    let sample = |off: f64| {
        let mut builder = caisson_plugin::BatchBuilder::new(std::sync::Arc::new(input.clone()), 100).unwrap();
        for column in 0..12 {
            let slots = builder.fp64s_mut(column).unwrap();
            slots
                .iter_mut()
                .enumerate()
                .for_each(|(i, slot)| *slot = i as f64);
        }
        let slots = builder.fp64s_mut(0).unwrap();
        slots.iter_mut().for_each(|slot| *slot += off);
        builder.finish().unwrap()
    };
    let config = |correction: &str| json!({"bins": 2, "correction": correction, "threshold": 0.01});
    let raw = compare(config("none"), &sample(0.0), &sample(15.0));
    let corrected = compare(config("benjamini-hochberg"), &sample(0.0), &sample(15.0));
    let p = raw.features[0].p_value.unwrap();
    assert!(p < 0.05 && p > 0.05 / 12.0, "{p}");
    assert_eq!(raw.features[0].status, DriftStatus::Drifted);
    assert!((corrected.features[0].p_value.unwrap() - 12.0 * p).abs() < 1e-12);
    assert_eq!(corrected.status, DriftStatus::Stable);
}

#[test]
fn a_state_serves_only_the_config_that_it_was_fitted_under() {
    let sample = batch!["a": fp64 = [1.0, 2.0], "n": int32 = [1, 2]];
    let error = |fitted: Value, checked: Value| {
        let state = configure(fitted, sample.schema()).unwrap().fit(&sample).unwrap();
        let check = configure(checked, sample.schema()).unwrap();
        check.check(&state, &sample).unwrap_err().to_string()
    };
    let all = json!({});
    assert!(error(json!({"columns": ["a"]}), all.clone()).contains("it doesn't have `n`"));
    assert!(
        error(all.clone(), json!({"columns": ["a"]})).contains("it has 2 features, more than are checked")
    );
    assert!(
        error(all.clone(), json!({"columns": ["n", "a"]}))
            .contains("its feature is `a` where this check has `n`")
    );
    assert!(
        error(all.clone(), json!({"categorical": ["n"]})).contains("`n` changed between number and category")
    );
    let edges = error(all, json!({"edges": {"a": [1.0, 7.0]}}));
    assert!(edges.contains("the sketch of `a` contradicts itself"), "{edges}");
}

proptest! {
    #[test]
    fn reports_are_sound_whatever_the_values(
        a in prop::collection::vec(any::<f64>(), 0..80),
        b in prop::collection::vec(any::<f64>(), 0..80),
        missing in 0usize..50,
    ) {
        let (a, b) = (numeric(&a), numeric_with_missing(&b, missing));
        for (reference, current) in [(&a, &b), (&b, &a)] {
            let found = only(compare(json!({"min_count": 1}), reference, current));
            for number in [found.statistic, found.effect_size].into_iter().flatten() {
                prop_assert!(number.is_finite() && number >= 0.0, "{found:?}");
            }
            prop_assert!(found.p_value.is_none_or(|p| (0.0..=1.0).contains(&p)));
            prop_assert!(!found.detail.is_empty());
        }
        let same = only(compare(json!({"min_count": 1}), &b, &b));
        prop_assert!(same.status <= DriftStatus::InsufficientData);
        prop_assert!(same.statistic.is_none_or(|s| s == 0.0) && same.p_value.is_none_or(|p| p == 1.0));
    }

    #[test]
    fn no_bytes_for_a_state_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let check = configure(json!({}), &numeric_schema()).unwrap();
        let current = numeric(&ramp(40));
        prop_assert!(check.check(&bytes, &current).is_err());
        // Well framed, and anything inside.
        if let Ok(state) = drift_kit::state::encode("psi", &bytes) {
            let _ = check.check(&state, &current);
        }
    }
}
