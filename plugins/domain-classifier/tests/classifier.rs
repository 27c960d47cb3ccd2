//! What the classifier finds, what it doesn't, and how sure it is.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

use std::sync::Arc;

use caisson_plugin::testing::{Configured, config_schema, configure, json, schema};
use caisson_plugin::{Batch, BatchBuilder, DataType, DriftReport, DriftStatus, FeatureDrift, Field, Schema};
use drift_kit::rng::Rng;
use drift_kit::testing::{documented, documented_schema};
use plugin_domain_classifier::DomainClassifier;

/// Uniform between 0 and 1.
fn uniform(rng: &mut Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Standard normal (Box and Muller).
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(rng)).cos()
}

fn schema(columns: usize) -> Arc<Schema> {
    let fields = (0..columns).map(|i| Field::new(format!("x{i}"), DataType::Fp64).nullable());
    Arc::new(Schema::new(fields.collect()).unwrap())
}

/// Rows from a function that fills one.
fn rows(schema: &Arc<Schema>, count: usize, mut fill: impl FnMut(&mut [f64])) -> Batch {
    let columns = schema.len();
    let mut builder = BatchBuilder::new(schema.clone(), count).unwrap();
    let mut row = vec![0.0; columns];
    for at in 0..count {
        fill(&mut row);
        for (column, value) in row.iter().enumerate() {
            builder.fp64s_mut(column).unwrap()[at] = *value;
        }
    }
    builder.finish().unwrap()
}

fn gaussian(schema: &Arc<Schema>, count: usize, seed: u64, shift: f64) -> Batch {
    let mut rng = Rng::new(seed);
    rows(schema, count, |row| {
        row.iter_mut().for_each(|x| *x = normal(&mut rng));
        row[0] += shift;
    })
}

fn check(schema: &Arc<Schema>) -> Configured<DomainClassifier> {
    configure(json!({}), schema).unwrap()
}

fn entry<'a>(report: &'a DriftReport, feature: &str) -> &'a FeatureDrift {
    report.features.iter().find(|f| f.feature == feature).unwrap()
}

#[test]
fn the_area_is_near_the_best_possible_one() {
    // Two normal distributions a distance of d apart: the best area is Φ(d / √2).
    let schema = schema(4);
    let check = check(&schema);
    for (shift, best) in [(0.5, 0.6382), (1.0, 0.7602), (2.0, 0.9214)] {
        let report = check
            .compare(
                &gaussian(&schema, 1500, 1, 0.0),
                &gaussian(&schema, 1500, 2, shift),
            )
            .unwrap();
        let all = entry(&report, "*");
        let area = all.statistic.unwrap();
        assert!(
            (best - 0.03..best + 0.015).contains(&area),
            "shift {shift}: {area} of {best}"
        );
        assert_eq!(all.status, DriftStatus::Drifted);
        assert!(all.p_value.unwrap() < 1e-6);
        let moved = entry(&report, "x0");
        assert_eq!(moved.status, DriftStatus::Drifted, "{moved:?}");
        for other in ["x1", "x2", "x3"] {
            assert_eq!(
                entry(&report, other).status,
                DriftStatus::Stable,
                "{:?}",
                entry(&report, other)
            );
            assert!(entry(&report, other).effect_size < moved.effect_size);
        }
    }
}

#[test]
fn features_that_changed_together_alone_are_found() {
    // In the reference the signs of x0 and x1 agree in nine rows of ten, now in one of ten: each
    // feature alone has the same distribution as before.
    let schema = schema(10);
    let mut rng = Rng::new(8);
    let mut sample = |agree: f64| {
        rows(&schema, 1500, |row| {
            row.iter_mut().for_each(|x| *x = normal(&mut rng));
            let sign = if uniform(&mut rng) < agree { 1.0 } else { -1.0 };
            row[1] = row[1].abs() * row[0].signum() * sign;
        })
    };
    let report = check(&schema).compare(&sample(0.9), &sample(0.1)).unwrap();
    let area = entry(&report, "*").statistic.unwrap();
    assert!(area > 0.75, "{area}");
    for feature in ["x0", "x1"] {
        assert_eq!(
            entry(&report, feature).status,
            DriftStatus::Drifted,
            "{:?}",
            entry(&report, feature)
        );
    }
    assert!(
        report
            .features
            .iter()
            .filter(|f| f.status == DriftStatus::Drifted)
            .count()
            == 3
    );
    let detail = &entry(&report, "*").detail;
    assert!(
        detail.contains("`x0`") && detail.contains("`x1`") && !detail.contains("`x5`"),
        "{detail}"
    );
}

#[test]
fn the_same_data_are_no_drift_and_the_report_is_the_same() {
    // More rows than the classifier sees.
    let schema = schema(3);
    let check: Configured<DomainClassifier> = configure(json!({"trees": 5}), &schema).unwrap();
    let sample = gaussian(&schema, 6000, 4, 0.0);
    let report = check.compare(&sample, &sample).unwrap();
    assert_eq!(report.status, DriftStatus::Stable, "{report:?}");
    assert!(entry(&report, "*").statistic.unwrap() < 0.52);
    assert_eq!(report, check.compare(&sample, &sample).unwrap());
}

#[test]
fn constant_nan_and_infinite_columns_give_numbers() {
    let schema = schema(3);
    let check = check(&schema);
    let constant = rows(&schema, 200, |row| {
        row.copy_from_slice(&[1.0, f64::NAN, f64::INFINITY])
    });
    let report = check.compare(&constant, &constant).unwrap();
    let all = entry(&report, "*");
    assert_eq!(
        (all.statistic, all.p_value, all.status),
        (Some(0.5), Some(1.0), DriftStatus::Stable)
    );
    let moved = rows(&schema, 200, |row| {
        row.copy_from_slice(&[2.0, f64::NAN, f64::INFINITY])
    });
    let report = check.compare(&constant, &moved).unwrap();
    assert_eq!(entry(&report, "*").statistic, Some(1.0));
    assert_eq!(entry(&report, "x0").status, DriftStatus::Drifted);
    let numbers = rows(&schema, 200, |row| {
        row.copy_from_slice(&[1.0, 0.0, f64::NEG_INFINITY])
    });
    let report = check.compare(&constant, &numbers).unwrap();
    assert_eq!(entry(&report, "*").statistic, Some(1.0));
    assert!(
        entry(&report, "x1").detail.contains("NaN 100 % → 0 %"),
        "{:?}",
        entry(&report, "x1")
    );
}

#[test]
fn categories_and_missing_values_are_features() {
    let schema = Arc::new(
        Schema::new(vec![
            Field::new("plan", DataType::Text).nullable(),
            Field::new("shop", DataType::Int64),
            Field::new("paid", DataType::Boolean),
        ])
        .unwrap(),
    );
    let sample = |seed: u64, gold: f64, missing: f64, shop: i64| {
        let mut rng = Rng::new(seed);
        let mut builder = BatchBuilder::new(schema.clone(), 1500).unwrap();
        for at in 0..1500 {
            let plan: &[u8] = if uniform(&mut rng) < gold {
                b"gold"
            } else {
                b"lead"
            };
            builder.varlen_mut(0).unwrap().push(plan).unwrap();
            if uniform(&mut rng) < missing {
                builder.set_missing(0, at);
            }
            builder.int64s_mut(1).unwrap()[at] =
                rng.below(40) as i64 * 7919 % 40 + shop * i64::from(at % 4 == 0);
            builder.booleans_mut(2).unwrap()[at] = rng.below(2) as u8;
        }
        builder.finish().unwrap()
    };
    let check: Configured<DomainClassifier> = configure(json!({"categorical": ["shop"]}), &schema).unwrap();
    let reference = sample(1, 0.5, 0.0, 0);
    let same = check.compare(&reference, &sample(2, 0.5, 0.0, 0)).unwrap();
    assert_eq!(same.status, DriftStatus::Stable, "{same:?}");
    let plans = check.compare(&reference, &sample(3, 0.9, 0.0, 0)).unwrap();
    assert_eq!(entry(&plans, "plan").status, DriftStatus::Drifted);
    assert!(
        entry(&plans, "plan").detail.contains("`gold`") || entry(&plans, "plan").detail.contains("`lead`")
    );
    assert_eq!(entry(&plans, "paid").status, DriftStatus::Stable);
    // A quarter of the rows are in shops that the reference doesn't have.
    let shops = check.compare(&reference, &sample(4, 0.5, 0.0, 1000)).unwrap();
    assert_eq!(entry(&shops, "shop").status, DriftStatus::Drifted);
    assert!(
        entry(&shops, "shop")
            .detail
            .contains("categories that the reference doesn't have")
    );
    let missing = check.compare(&reference, &sample(5, 0.5, 0.3, 0)).unwrap();
    assert_eq!(entry(&missing, "*").status, DriftStatus::Drifted);
    let plan = entry(&missing, "plan");
    assert!(
        plan.status == DriftStatus::Drifted && plan.detail.contains("missing 0 % → "),
        "{plan:?}"
    );
}

#[test]
fn too_few_rows_give_no_verdict() {
    let schema = schema(2);
    let check = check(&schema);
    let few = check
        .compare(&gaussian(&schema, 500, 1, 0.0), &gaussian(&schema, 99, 2, 3.0))
        .unwrap();
    assert_eq!(few.status, DriftStatus::InsufficientData);
    assert!(few.features.iter().all(|f| f.statistic.is_none()));
    let none = check
        .compare(&Batch::empty(schema.clone()), &Batch::empty(schema.clone()))
        .unwrap();
    assert_eq!(none.status, DriftStatus::InsufficientData);
    let enough = check
        .compare(&gaussian(&schema, 500, 1, 0.0), &gaussian(&schema, 100, 2, 3.0))
        .unwrap();
    assert_eq!(enough.status, DriftStatus::Drifted);
}

#[test]
fn a_state_of_another_config_is_refused() {
    let schema = schema(3);
    let check = check(&schema);
    let sample = gaussian(&schema, 300, 1, 0.0);
    let state = check.fit(&sample).unwrap();
    let two: Configured<DomainClassifier> = configure(json!({"columns": ["x0", "x1"]}), &schema).unwrap();
    let error = two.check(&state, &sample).unwrap_err().to_string();
    assert!(error.contains("more than are checked now"), "{error}");
    let error = check
        .check(&state[..state.len() - 1], &sample)
        .unwrap_err()
        .to_string();
    assert!(error.contains("damaged"), "{error}");
    assert!(state.len() < 300 * 3 + 2000, "{} bytes", state.len());
}

#[test]
fn configs_that_make_no_sense_are_refused() {
    let schema = schema!["x": fp32, "b": bytes];
    let error = |config| {
        configure::<DomainClassifier>(config, &schema)
            .unwrap_err()
            .to_string()
    };
    assert!(
        error(json!({"threshold": 0.5})).contains("threshold is 0.5; it must be above 0.5 and at most 1")
    );
    assert!(error(json!({"importance_threshold": 0.6})).contains("above 0 and at most 0.5"));
    assert!(error(json!({"trees": 0})).contains("trees is 0; it must be 1 to 500"));
    assert!(error(json!({"folds": 1})).contains("folds is 1; it must be 2 to 10"));
    assert!(error(json!({"min_count": 10})).contains("5 folds need at least 20"));
    assert!(error(json!({"tree": 9})).contains("unknown field `tree`"));
    assert!(error(json!({"columns": ["b"]})).contains("`b: bytes` is not"));
    assert!(error(json!({"categorical": ["x"]})).contains("`x: fp32` is not"));
    assert!(
        config_schema::<DomainClassifier>()
            .to_string()
            .contains("importance_threshold")
    );
}

#[test]
fn documented_configs_are_accepted() {
    for config in documented("`domain-classifier`") {
        configure::<DomainClassifier>(config, &documented_schema()).unwrap();
    }
}
