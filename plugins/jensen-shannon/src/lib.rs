//! Drift check `jensen-shannon`: the Jensen–Shannon distance of each feature, numeric or
//! categorical.
//!
//! Statistic and effect size: `√(½ KL(p ‖ m) + ½ KL(q ‖ m))` in bits, `p` and `q` the shares of
//! reference and current data, `m` their mean (`scipy.spatial.distance.jensenshannon` with base 2).
//! 0 for equal shares, 1 where no bin has rows of both; symmetric, and shares of 0 need no policy.
//! Default threshold 0.1.
//!
//! Bins, categories and p-value are those of `psi` ([`drift_kit::binned`]).

use std::sync::Arc;

use caisson_plugin::{About, Batch, DriftCheck, DriftReport, Error, Schema};
use drift_kit::binned::{Binned, Bins, Distance};
use drift_kit::check::PerFeature;
use drift_kit::config::{Defaults, Rules};
use drift_kit::stats::divergence::jensen_shannon_distance;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `jensen-shannon`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns and thresholds.
    #[serde(flatten)]
    pub rules: Rules,
    /// Bins.
    #[serde(flatten)]
    pub bins: Bins,
}

/// The drift check.
#[derive(Debug)]
pub struct JensenShannon(PerFeature<Binned<JensenShannonDistance>>);

#[derive(Debug)]
struct JensenShannonDistance;

impl Distance for JensenShannonDistance {
    const NAME: &'static str = "jensen-shannon";
    const DEFAULTS: Defaults = Defaults {
        threshold: 0.1,
        warn_threshold: 0.05,
        effect_none: 0.0,
        effect_max: 1.0,
        min_count: 30,
    };

    fn distance(&self, reference: &[u64], current: &[u64]) -> f64 {
        jensen_shannon_distance(reference, current)
    }
}

impl DriftCheck for JensenShannon {
    type Config = Config;

    const ABOUT: About = About {
        name: JensenShannonDistance::NAME,
        version: env!("CARGO_PKG_VERSION"),
        help: "Jensen-Shannon distance of each numeric, text or boolean feature. Statistic and effect size: \
               the square root of the Jensen-Shannon divergence in bits, 0 for equal shares and 1 where \
               nothing is shared, over ten bins of equal shares of the reference (the outer ones open), or \
               over categories. A feature is drifted where p <= alpha (default 0.05, Benjamini-Hochberg \
               over the features) in a chi-square test on the same counts and the distance is at least \
               threshold (default 0.1; from 0.05 on a warning), and both samples have min_count values \
               (default 30). NaN isn't compared; its rate, like that of missing values, is drift in itself \
               where it changes by 5 points or more.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<Self, Error> {
        Binned::configure(JensenShannonDistance, &config.rules, &config.bins, input).map(Self)
    }

    fn fit(&self, reference: &Batch) -> Result<Vec<u8>, Error> {
        self.0.fit(reference)
    }

    fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, Error> {
        self.0.check(state, current)
    }
}

caisson_plugin::export!(drift_check: JensenShannon);

#[cfg(test)]
mod tests {
    use caisson_plugin::DriftStatus;
    use caisson_plugin::testing::{Configured, configure, json};
    use drift_kit::testing::{
        assert_relative, categorical, categorical_schema, documented, documented_schema, number, numbers,
        numeric, numeric_schema, only, reference,
    };

    use super::*;

    #[test]
    fn distances_are_those_of_scipy() {
        let check: Configured<JensenShannon> = configure(json!({}), &categorical_schema()).unwrap();
        for case in reference("categorical") {
            let [a, b] = ["reference_counts", "current_counts"].map(|key| categorical(&numbers(&case, key)));
            let (there, back) = (
                only(check.compare(&a, &b).unwrap()),
                only(check.compare(&b, &a).unwrap()),
            );
            assert_relative(
                there.statistic,
                number(&case, "jensen_shannon_distance_base2"),
                1e-12,
                &case,
            );
            assert!((there.statistic.unwrap() - back.statistic.unwrap()).abs() < 1e-12);
        }
    }

    #[test]
    fn numbers_are_compared_in_the_bins_of_the_reference() {
        let check: Configured<JensenShannon> = configure(json!({"bins": 4}), &numeric_schema()).unwrap();
        let quarters: Vec<f64> = (0..400).map(f64::from).collect();
        let found = |current: &[f64]| only(check.compare(&numeric(&quarters), &numeric(current)).unwrap());
        assert_eq!(
            (found(&quarters).statistic, found(&quarters).p_value),
            (Some(0.0), Some(1.0))
        );
        // All in the last, open bin: p = (¼, ¼, ¼, ¼), q = (0, 0, 0, 1).
        let beyond = found(&[1e9; 60]);
        let divergence = 0.5 * (0.75 + 0.25 * (0.25f64 / 0.625).log2() + (1.0f64 / 0.625).log2());
        assert!(
            (beyond.statistic.unwrap() - divergence.sqrt()).abs() < 1e-12,
            "{beyond:?}"
        );
        assert_eq!(beyond.status, DriftStatus::Drifted);
        let constant = check.compare(&numeric(&[1.0; 50]), &numeric(&[2.0; 50])).unwrap();
        assert_eq!(only(constant).statistic, Some(1.0));
        let error = configure::<JensenShannon>(json!({"zeros": "half-row"}), &numeric_schema()).unwrap_err();
        assert!(error.to_string().contains("unknown field `zeros`"));
    }

    #[test]
    fn documented_configs_are_accepted() {
        for config in documented("`jensen-shannon`")
            .into_iter()
            .chain(documented("Settings of all"))
        {
            configure::<JensenShannon>(config, &documented_schema()).unwrap();
        }
    }
}
