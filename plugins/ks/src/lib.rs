//! Drift check `ks`: the two-sample Kolmogorov–Smirnov test on each numeric feature.
//!
//! Statistic and effect size: `D = sup |F(x) − G(x)|`, the largest difference of the two empirical
//! distribution functions, 0 to 1: a `D` of 0.1 says that some limit has 10 points more of one
//! sample below it than of the other. Default threshold 0.1.
//!
//! P-value: exact up to 10,000 values a sample, else asymptotic, as SciPy's `ks_2samp` with
//! `method="auto"` ([`drift_kit::stats::ks`] names the sources).
//!
//! State: up to 10,000 values a feature, thinned by rank where there are more
//! ([`SKETCH_VALUES_MAX`](drift_kit::numbers::SKETCH_VALUES_MAX)). ±∞ are values at the ends of the
//! order; NaN isn't compared, and its rate is watched like that of missing values.

use std::sync::Arc;

use caisson_plugin::{About, Batch, DriftCheck, DriftReport, Error, Schema};
use drift_kit::check::{Method, PerFeature};
use drift_kit::config::{Defaults, RulesAlone};
use drift_kit::features::{Feature, Kind, NUMBERS};
use drift_kit::numbers::NumberSketch;
use drift_kit::sample::Values;
use drift_kit::stats::ks::{ks_p_value, ks_statistic};
use drift_kit::verdict::{Evidence, Finding};

/// The drift check.
#[derive(Debug)]
pub struct Ks(PerFeature<KolmogorovSmirnov>);

#[derive(Debug)]
struct KolmogorovSmirnov;

impl Method for KolmogorovSmirnov {
    const NAME: &'static str = "ks";
    const DEFAULTS: Defaults = Defaults {
        threshold: 0.1,
        warn_threshold: 0.05,
        effect_none: 0.0,
        effect_max: 1.0,
        min_count: 30,
    };
    type Sketch = NumberSketch;

    fn sketch(&self, _: &Feature, values: &Values) -> Option<NumberSketch> {
        values.numbers().map(NumberSketch::of)
    }

    fn count(&self, _: &Feature, sketch: &NumberSketch) -> Option<u64> {
        sketch.is_sound().then_some(sketch.count)
    }

    fn compare(&self, sketch: &NumberSketch, current: &Values) -> Option<Finding> {
        let current = current.numbers()?;
        let d = ks_statistic(&sketch.values, current);
        Some(Finding {
            statistic: d,
            effect_size: d,
            evidence: Evidence::Own(ks_p_value(d, sketch.count, current.len() as u64)),
            words: sketch.summary.compare(current),
        })
    }
}

impl DriftCheck for Ks {
    type Config = RulesAlone;

    const ABOUT: About = About {
        name: KolmogorovSmirnov::NAME,
        version: env!("CARGO_PKG_VERSION"),
        help: "Two-sample Kolmogorov-Smirnov test on each numeric feature. Statistic and effect size: \
               D = sup |F(x) - G(x)|, the largest difference of the two empirical distribution functions, \
               0 to 1. A feature is drifted where p <= alpha (default 0.05, Benjamini-Hochberg over the \
               features) and D >= threshold (default 0.1; from 0.05 on a warning), and both samples have \
               min_count values (default 30). The p-value is exact up to 10,000 values a sample, else \
               asymptotic, as in SciPy's ks_2samp. NaN isn't compared; its rate, like that of missing \
               values, is drift in itself where it changes by 5 points or more.",
    };

    fn configure(config: RulesAlone, input: &Arc<Schema>) -> Result<Self, Error> {
        PerFeature::new(KolmogorovSmirnov, &config.rules, input, NUMBERS, |_| Kind::Number).map(Self)
    }

    fn fit(&self, reference: &Batch) -> Result<Vec<u8>, Error> {
        self.0.fit(reference)
    }

    fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, Error> {
        self.0.check(state, current)
    }
}

caisson_plugin::export!(drift_check: Ks);

#[cfg(test)]
mod tests {
    use caisson_plugin::DriftStatus;
    use caisson_plugin::testing::{Configured, config_schema, configure, json};
    use drift_kit::testing::{
        assert_relative, documented, documented_schema, number, numbers, numeric, numeric_schema,
        numeric_with_missing, only, reference,
    };

    use super::*;

    fn ks(config: caisson_plugin::serde_json::Value) -> Configured<Ks> {
        configure(config, &numeric_schema()).unwrap()
    }

    #[test]
    fn statistics_and_p_values_are_those_of_scipy() {
        let ks = ks(json!({"min_count": 1}));
        for case in reference("two_sample") {
            let [a, b] = ["reference", "current"].map(|key| numeric(&numbers(&case, key)));
            let found = only(ks.compare(&a, &b).unwrap());
            // Of the largest case the reference is thinned.
            let tolerance = if a.rows() > 10_000 { 0.01 } else { 1e-9 };
            assert_relative(found.statistic, number(&case, "ks_statistic"), tolerance, &case);
            let tolerance = if a.rows() > 10_000 { 0.05 } else { 1e-9 };
            assert_relative(found.p_value, number(&case, "ks_p_value_auto"), tolerance, &case);
            assert_eq!(found.effect_size, found.statistic);
        }
    }

    #[test]
    fn a_huge_window_needs_more_than_a_tiny_p_value() {
        let reference: Vec<f64> = (0..60_000).map(f64::from).collect();
        let moved: Vec<f64> = reference.iter().map(|v| v + 1_800.0).collect();
        let found = only(
            ks(json!({}))
                .compare(&numeric(&reference), &numeric(&moved))
                .unwrap(),
        );
        assert!((found.statistic.unwrap() - 0.03).abs() < 2e-4 && found.p_value.unwrap() < 1e-20);
        assert_eq!(found.status, DriftStatus::Stable);
        assert!(
            found.detail.contains("significant, but small: 0.03003 of 0.1"),
            "{}",
            found.detail
        );
        let moved: Vec<f64> = reference.iter().map(|v| v + 9_000.0).collect();
        let found = only(
            ks(json!({}))
                .compare(&numeric(&reference), &numeric(&moved))
                .unwrap(),
        );
        assert_eq!(found.status, DriftStatus::Drifted);
    }

    #[test]
    fn the_same_large_sample_is_the_same() {
        let sample: Vec<f64> = (0..25_000).map(|i| f64::from(i % 7_919)).collect();
        let found = only(
            ks(json!({}))
                .compare(&numeric(&sample), &numeric(&sample))
                .unwrap(),
        );
        assert!(
            found.statistic.unwrap() < 2e-4 && found.p_value.unwrap() > 0.999,
            "{found:?}"
        );
        let state = ks(json!({})).fit(&numeric(&sample)).unwrap();
        assert!(state.len() < 81_000, "{} bytes", state.len());
    }

    #[test]
    fn constant_infinite_and_nan_values_give_numbers() {
        let ks = ks(json!({}));
        let found = |a: &[f64], b: &[f64]| only(ks.compare(&numeric(a), &numeric(b)).unwrap());
        let same = found(&[5.0; 40], &[5.0; 50]);
        assert_eq!(
            (same.statistic, same.p_value, same.status),
            (Some(0.0), Some(1.0), DriftStatus::Stable)
        );
        let moved = found(&[5.0; 40], &[6.0; 50]);
        assert_eq!((moved.statistic, moved.status), (Some(1.0), DriftStatus::Drifted));
        let ends = found(&[f64::NEG_INFINITY; 40], &[f64::INFINITY; 40]);
        assert_eq!((ends.statistic, ends.status), (Some(1.0), DriftStatus::Drifted));
        let nan = found(&[5.0; 40], &[f64::NAN; 40]);
        assert_eq!((nan.statistic, nan.current_count), (None, 0));
        assert_eq!(
            (nan.status, nan.current_missing_rate),
            (DriftStatus::Drifted, 0.0)
        );
        assert!(nan.detail.contains("NaN 0 % → 100 %"), "{}", nan.detail);
        let missing = numeric_with_missing(&[5.0; 40], 10);
        let missing = only(ks.compare(&numeric(&[5.0; 40]), &missing).unwrap());
        assert_eq!(
            (missing.status, missing.current_missing_rate),
            (DriftStatus::Drifted, 0.2)
        );
    }

    #[test]
    fn settings_are_checked() {
        let error = |config| {
            configure::<Ks>(config, &numeric_schema())
                .unwrap_err()
                .to_string()
        };
        assert!(error(json!({"treshold": 1})).contains("unknown field `treshold`"));
        assert!(
            error(json!({"threshold": 1.5})).contains("threshold is 1.5; it must be above 0 and at most 1")
        );
        let schema = config_schema::<Ks>().to_string();
        for key in [
            "columns",
            "threshold",
            "alpha",
            "min_count",
            "correction",
            "missing_rate",
            "per_column",
        ] {
            assert!(schema.contains(&format!("\"{key}\"")), "{key} in {schema}");
        }
    }

    #[test]
    fn documented_configs_are_accepted() {
        for config in documented("`ks`")
            .into_iter()
            .chain(documented("Settings of all"))
        {
            configure::<Ks>(config, &documented_schema()).unwrap();
        }
    }
}
