//! Drift check `psi`: the population stability index of each feature, numeric or categorical.
//!
//! Statistic and effect size: `PSI = Σ (q − p) ln(q / p)` over bins or categories, `p` and `q` the
//! shares of reference and current data. By custom below 0.1 nothing has changed, and from 0.2 on
//! something has: the default thresholds for a warning and for drift.
//!
//! Bins: ten of equal shares of the reference, from the reference alone, the outer ones open
//! ([`drift_kit::numbers::quantile_edges`]). Categories: text, booleans, and the integer columns
//! that `categorical` names; those that the reference doesn't have count as one.
//!
//! Shares of 0: raised to half a row of the smaller sample, at least 0.0001, unless `zeros` says
//! otherwise ([`ZeroPolicy`]). An unseen bin with 1 % of the traffic then adds 0.046.
//!
//! P-value: the chi-square test of homogeneity on the same counts ([`drift_kit::binned`]).

use std::sync::Arc;

use caisson_plugin::{About, Batch, DriftCheck, DriftReport, Error, Schema};
use drift_kit::binned::{Binned, Bins, Distance};
use drift_kit::check::PerFeature;
use drift_kit::config::{Defaults, Rules, invalid};
use drift_kit::stats::divergence::{ZeroPolicy, psi};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `psi`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns and thresholds.
    #[serde(flatten)]
    pub rules: Rules,
    /// Bins.
    #[serde(flatten)]
    pub bins: Bins,
    /// What stands in the place of a share of 0: `"half-row"`, `{"floor": 0.0001}` or
    /// `{"smooth": 0.5}`.
    #[serde(default)]
    pub zeros: ZeroPolicy,
}

/// The drift check.
#[derive(Debug)]
pub struct Psi(PerFeature<Binned<StabilityIndex>>);

#[derive(Debug)]
struct StabilityIndex(ZeroPolicy);

impl Distance for StabilityIndex {
    const NAME: &'static str = "psi";
    const DEFAULTS: Defaults = Defaults {
        threshold: 0.2,
        warn_threshold: 0.1,
        effect_none: 0.0,
        effect_max: f64::MAX,
        min_count: 30,
    };

    fn distance(&self, reference: &[u64], current: &[u64]) -> f64 {
        psi(reference, current, self.0)
    }
}

impl DriftCheck for Psi {
    type Config = Config;

    const ABOUT: About = About {
        name: StabilityIndex::NAME,
        version: env!("CARGO_PKG_VERSION"),
        help: "Population stability index of each numeric, text or boolean feature. Statistic and effect \
               size: PSI = sum of (q - p) ln(q / p) over ten bins of equal shares of the reference (the \
               outer ones open), or over categories; shares of 0 as `zeros` says, by default half a row \
               of the smaller sample and at least 0.0001. A feature is drifted where p <= alpha (default \
               0.05, Benjamini-Hochberg over the features) in a chi-square test on the same counts and \
               PSI >= threshold (default 0.2; from 0.1 on a warning), and both samples have min_count \
               values (default 30). NaN isn't compared; its rate, like that of missing values, is drift in \
               itself where it changes by 5 points or more.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<Self, Error> {
        match config.zeros {
            ZeroPolicy::HalfRow => {}
            ZeroPolicy::Floor(floor) if floor > 0.0 && floor < 0.5 => {}
            ZeroPolicy::Floor(floor) => return Err(invalid("zeros.floor", floor, "above 0 and below 0.5")),
            ZeroPolicy::Smooth(rows) if rows > 0.0 && rows.is_finite() => {}
            ZeroPolicy::Smooth(rows) => return Err(invalid("zeros.smooth", rows, "above 0")),
        }
        Binned::configure(StabilityIndex(config.zeros), &config.rules, &config.bins, input).map(Self)
    }

    fn fit(&self, reference: &Batch) -> Result<Vec<u8>, Error> {
        self.0.fit(reference)
    }

    fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, Error> {
        self.0.check(state, current)
    }
}

caisson_plugin::export!(drift_check: Psi);
