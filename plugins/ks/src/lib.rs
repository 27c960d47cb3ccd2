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
use drift_kit::config::{Defaults, Rules};
use drift_kit::features::{Feature, Kind, NUMBERS};
use drift_kit::numbers::NumberSketch;
use drift_kit::sample::Values;
use drift_kit::stats::ks::{ks_p_value, ks_statistic};
use drift_kit::verdict::{Evidence, Finding};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `ks`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns and thresholds.
    #[serde(flatten)]
    pub rules: Rules,
}

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
    type Config = Config;

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

    fn configure(config: Config, input: &Arc<Schema>) -> Result<Self, Error> {
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
