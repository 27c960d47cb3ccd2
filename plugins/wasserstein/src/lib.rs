//! Drift check `wasserstein`: how far the values of each numeric feature have moved.
//!
//! Statistic: `W = ∫ |F(x) − G(x)| dx`, the mean distance that a value travels, in the column's own
//! unit (`scipy.stats.wasserstein_distance`). Effect size: `W` divided by the reference's standard
//! deviation, by that of both samples together where the reference is constant; 0 where both are
//! the same constant. Default threshold 0.1, a tenth of a standard deviation; thresholds are
//! compared with the effect size.
//!
//! P-value: a permutation test with a fixed seed, its tail extrapolated by a gamma distribution
//! ([`drift_kit::stats::wasserstein`]).
//!
//! State: as of `ks`, up to 10,000 values a feature. A distance needs finite values: NaN and ±∞
//! aren't compared, and their rate is watched like that of missing values.

use std::sync::Arc;

use caisson_plugin::{About, Batch, DriftCheck, DriftReport, Error, Schema};
use drift_kit::check::{Method, PerFeature};
use drift_kit::config::{Defaults, RulesAlone};
use drift_kit::features::{Feature, Kind, NUMBERS};
use drift_kit::numbers::{NumberSketch, mean_and_deviation};
use drift_kit::sample::{Infinity, Values};
use drift_kit::stats::wasserstein::{wasserstein_distance, wasserstein_p_value};
use drift_kit::verdict::{Evidence, Finding};

/// The drift check.
#[derive(Debug)]
pub struct Wasserstein(PerFeature<Distance>);

#[derive(Debug)]
struct Distance;

impl Method for Distance {
    const NAME: &'static str = "wasserstein";
    const DEFAULTS: Defaults = Defaults {
        threshold: 0.1,
        warn_threshold: 0.05,
        effect_none: 0.0,
        effect_max: f64::MAX,
        min_count: 30,
    };
    const INFINITY: Infinity = Infinity::Drop;
    type Sketch = NumberSketch;

    fn sketch(&self, _: &Feature, values: &Values) -> Option<NumberSketch> {
        values.numbers().map(NumberSketch::of)
    }

    fn count(&self, _: &Feature, sketch: &NumberSketch) -> Option<u64> {
        let finite = sketch.values.iter().all(|v| v.is_finite());
        (finite && sketch.is_sound()).then_some(sketch.count)
    }

    fn compare(&self, sketch: &NumberSketch, current: &Values) -> Option<Finding> {
        let (reference, current) = (sketch.values.as_slice(), current.numbers()?);
        let distance = wasserstein_distance(reference, current);
        let p_value = wasserstein_p_value(reference, current, (sketch.count, current.len() as u64));
        Some(Finding {
            statistic: distance,
            effect_size: in_deviations(distance, sketch, current),
            evidence: Evidence::Own(p_value),
            words: sketch.summary.compare(current),
        })
    }
}

fn in_deviations(distance: f64, reference: &NumberSketch, current: &[f64]) -> f64 {
    if distance == 0.0 {
        return 0.0;
    }
    let deviation = if reference.summary.deviation > 0.0 {
        reference.summary.deviation
    } else {
        // A constant reference: the samples differ, so both together have a deviation.
        let both: Vec<f64> = reference.values.iter().chain(current).copied().collect();
        mean_and_deviation(&both).1
    };
    (distance / deviation).min(f64::MAX)
}

impl DriftCheck for Wasserstein {
    type Config = RulesAlone;

    const ABOUT: About = About {
        name: Distance::NAME,
        version: env!("CARGO_PKG_VERSION"),
        help: "Wasserstein distance on each numeric feature. Statistic: W = integral of |F(x) - G(x)| dx, \
               the mean distance that a value has moved, in the column's own unit. Effect size, compared \
               with the thresholds: W in standard deviations of the reference. A feature is drifted where \
               p <= alpha (default 0.05, Benjamini-Hochberg over the features) and the effect size is at \
               least threshold (default 0.1; from 0.05 on a warning), and both samples have min_count \
               values (default 30). The p-value is that of a permutation test with a fixed seed. NaN and \
               infinite values aren't compared; their rate, like that of missing values, is drift in \
               itself where it changes by 5 points or more.",
    };

    fn configure(config: RulesAlone, input: &Arc<Schema>) -> Result<Self, Error> {
        PerFeature::new(Distance, &config.rules, input, NUMBERS, |_| Kind::Number).map(Self)
    }

    fn fit(&self, reference: &Batch) -> Result<Vec<u8>, Error> {
        self.0.fit(reference)
    }

    fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, Error> {
        self.0.check(state, current)
    }
}

caisson_plugin::export!(drift_check: Wasserstein);

#[cfg(test)]
mod tests {
    use caisson_plugin::DriftStatus;
    use caisson_plugin::testing::{Configured, configure, json};
    use drift_kit::testing::{
        assert_relative, documented, documented_schema, number, numbers, numeric, numeric_schema, only,
        reference,
    };

    use super::*;

    fn wasserstein(config: caisson_plugin::serde_json::Value) -> Configured<Wasserstein> {
        configure(config, &numeric_schema()).unwrap()
    }

    #[test]
    fn distances_are_those_of_scipy() {
        let check = wasserstein(json!({"min_count": 1}));
        for case in reference("two_sample") {
            let [a, b] = ["reference", "current"].map(|key| numbers(&case, key));
            let found = only(check.compare(&numeric(&a), &numeric(&b)).unwrap());
            // Of the largest case the reference is thinned.
            let tolerance = if a.len() > 10_000 { 0.01 } else { 1e-12 };
            let expected = number(&case, "wasserstein_distance");
            assert_relative(found.statistic, expected, tolerance, &case);
            let deviation = mean_and_deviation(&a).1;
            if deviation > 0.0 {
                assert_relative(
                    found.effect_size,
                    expected / deviation,
                    tolerance.max(1e-9),
                    &case,
                );
            }
        }
    }

    #[test]
    fn the_effect_size_is_in_deviations_whatever_the_unit() {
        let check = wasserstein(json!({}));
        let sample = |unit: f64, shift: f64| -> Vec<f64> {
            (0..2_000)
                .map(|i| unit * (f64::from(i) / 1000.0 + shift))
                .collect()
        };
        for unit in [1e-9, 1.0, 1e300] {
            let moved = check
                .compare(&numeric(&sample(unit, 0.0)), &numeric(&sample(unit, 0.3)))
                .unwrap();
            let moved = only(moved);
            assert_eq!(moved.status, DriftStatus::Drifted);
            assert!(
                (moved.effect_size.unwrap() - 0.3 * 12f64.sqrt() / 2.0).abs() < 1e-3,
                "{moved:?}"
            );
            assert!((moved.statistic.unwrap() / unit - 0.3).abs() < 1e-9);
            let little = check
                .compare(&numeric(&sample(unit, 0.0)), &numeric(&sample(unit, 0.01)))
                .unwrap();
            assert_eq!(only(little).status, DriftStatus::Stable);
        }
    }

    #[test]
    fn a_few_values_far_out_are_drift() {
        // One row in fifty is far out: the distribution functions hardly differ, the means do.
        let usual: Vec<f64> = (0..1_000).map(|i| f64::from(i % 100)).collect();
        let mut far = usual.clone();
        far.iter_mut().step_by(50).for_each(|v| *v = 5_000.0);
        let found = only(
            wasserstein(json!({}))
                .compare(&numeric(&usual), &numeric(&far))
                .unwrap(),
        );
        assert_eq!(found.status, DriftStatus::Drifted, "{found:?}");
    }

    #[test]
    fn constant_and_infinite_values_give_numbers() {
        let check = wasserstein(json!({}));
        let found = |a: &[f64], b: &[f64]| only(check.compare(&numeric(a), &numeric(b)).unwrap());
        let same = found(&[5.0; 40], &[5.0; 50]);
        assert_eq!(
            (same.statistic, same.effect_size, same.p_value),
            (Some(0.0), Some(0.0), Some(1.0))
        );
        assert_eq!(same.status, DriftStatus::Stable);
        let moved = found(&[5.0; 40], &[6.0; 40]);
        assert_eq!((moved.statistic, moved.effect_size), (Some(1.0), Some(2.0)));
        assert_eq!(moved.status, DriftStatus::Drifted);
        let mut infinite = vec![5.0; 40];
        infinite.extend([f64::INFINITY; 20]);
        let infinite = found(&[5.0; 40], &infinite);
        assert_eq!((infinite.statistic, infinite.current_count), (Some(0.0), 40));
        assert_eq!(infinite.status, DriftStatus::Drifted);
        assert!(
            infinite.detail.contains("NaN or infinite 0 % → 33.3 %"),
            "{}",
            infinite.detail
        );
        let huge = found(&[-f64::MAX; 40], &[f64::MAX; 40]);
        assert!(huge.statistic.unwrap().is_finite() && huge.effect_size.unwrap().is_finite());
    }

    #[test]
    fn documented_configs_are_accepted() {
        for config in documented("`wasserstein`")
            .into_iter()
            .chain(documented("Settings of all"))
        {
            configure::<Wasserstein>(config, &documented_schema()).unwrap();
        }
    }
}
