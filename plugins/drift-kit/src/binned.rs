//! Checks that compare the shares of rows in bins of numbers and in categories.
//!
//! All that two of the plugins have in common; they differ in the [`Distance`]. Bins come from the
//! reference alone, are the same for every window, and their outer ends are open, so each value of
//! a window has one. The p-value is that of the chi-square test of homogeneity on the same counts
//! ([`homogeneity`]): a distance of shares is biased upwards where rows are few, and has no test of
//! its own that holds for both kinds.

use std::collections::BTreeMap;

use caisson_plugin::{Error, Schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::categories::{Aligned, CategorySketch};
use crate::check::{Method, PerFeature};
use crate::config::{Defaults, Rules};
use crate::features::{COMPARABLE, Feature, Kind, kinds};
use crate::numbers::{Summary, count_bins, quantile_edges};
use crate::sample::Values;
use crate::stats::contingency::homogeneity;
use crate::verdict::{Evidence, Finding};

/// Bins for numbers unless the config says otherwise, as is customary for PSI.
const BINS: usize = 10;
/// More bins than this hold too few rows of any window.
pub const BINS_MAX: usize = 100;

/// How numbers are put into bins, and which numbers are none.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Bins {
    /// Bins for each numeric column, 2 to 100, of equal shares of the reference. 10 unless set. A
    /// value that alone fills more than its share gets a bin of its own.
    pub bins: Option<usize>,
    /// Inner edges for columns that are to have bins of meaning, ascending: value v is in bin i
    /// where `edges[i-1] <= v < edges[i]`; below the first and from the last on are bins too.
    pub edges: BTreeMap<String, Vec<f64>>,
    /// Integer columns whose values are names rather than amounts.
    pub categorical: Vec<String>,
}

/// How far apart two lists of shares are.
pub trait Distance {
    /// The plugin's name and that of its statistic.
    const NAME: &'static str;
    /// Thresholds and counts where the config says nothing.
    const DEFAULTS: Defaults;

    /// The distance of two lists of counts, neither all zero, in the same order.
    fn distance(&self, reference: &[u64], current: &[u64]) -> f64;
}

/// A check of this distance.
#[derive(Debug)]
pub struct Binned<D> {
    distance: D,
    bins: usize,
    edges: BTreeMap<String, Vec<f64>>,
}

/// What is kept of the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Sketch {
    /// Of numbers.
    Numbers {
        /// Inner edges, ascending.
        edges: Vec<f64>,
        /// Rows by bin, one more than there are edges.
        counts: Vec<u64>,
        /// For the words.
        summary: Summary,
    },
    /// Of categories.
    Categories(CategorySketch),
}

impl<D: Distance> Binned<D> {
    /// Configure a check of this distance.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] and [`Error::SchemaMismatch`] with what doesn't fit.
    pub fn configure(
        distance: D,
        rules: &Rules,
        bins: &Bins,
        input: &Schema,
    ) -> Result<PerFeature<Self>, Error> {
        let method = Self {
            distance,
            bins: bins.bins.unwrap_or(BINS),
            edges: bins.edges.clone(),
        };
        if !(2..=BINS_MAX).contains(&method.bins) {
            let message = format!("bins is {}; it must be 2 to {BINS_MAX}", method.bins);
            return Err(Error::invalid_config(message));
        }
        for (column, edges) in &method.edges {
            let ascending = edges.is_sorted_by(|a, b| a < b) && edges.iter().all(|edge| edge.is_finite());
            if !ascending || edges.is_empty() || edges.len() >= BINS_MAX {
                return Err(Error::invalid_config(format!(
                    "edges of `{column}` must be 1 to {} ascending numbers",
                    BINS_MAX - 1
                )));
            }
        }
        let edges = bins.edges.clone();
        let check = PerFeature::new(method, rules, input, COMPARABLE, kinds(input, &bins.categorical)?)?;
        let is_number = |column: &str| {
            let mut features = check.features();
            features.any(|f| f.column == column && f.kind == Kind::Number)
        };
        match edges.keys().find(|column| !is_number(column)) {
            None => Ok(check),
            Some(column) => Err(Error::invalid_config(format!(
                "`edges` has `{column}`, which is no numeric column that is checked"
            ))),
        }
    }
}

impl<D: Distance> Method for Binned<D> {
    const NAME: &'static str = D::NAME;
    const DEFAULTS: Defaults = D::DEFAULTS;
    type Sketch = Sketch;

    fn sketch(&self, feature: &Feature, values: &Values) -> Option<Sketch> {
        Some(match values {
            Values::Numbers(sorted) => {
                let edges = match self.edges.get(&feature.column) {
                    Some(edges) => edges.clone(),
                    None => quantile_edges(sorted, self.bins),
                };
                Sketch::Numbers {
                    counts: count_bins(sorted, &edges),
                    edges,
                    summary: Summary::of(sorted),
                }
            }
            Values::Categories(counts) => Sketch::Categories(CategorySketch::of(counts)),
        })
    }

    fn count(&self, feature: &Feature, sketch: &Sketch) -> Option<u64> {
        match sketch {
            Sketch::Categories(sketch) => sketch.is_sound().then(|| sketch.rows()),
            Sketch::Numbers {
                edges,
                counts,
                summary,
            } => {
                let sound = edges.is_sorted_by(|a, b| a < b) && counts.len() == edges.len() + 1;
                let same_edges = self.edges.get(&feature.column).is_none_or(|own| own == edges);
                let rows = counts.iter().try_fold(0u64, |sum, &rows| sum.checked_add(rows));
                rows.filter(|_| sound && same_edges && summary.is_sound())
            }
        }
    }

    fn compare(&self, sketch: &Sketch, current: &Values) -> Option<Finding> {
        let (aligned, words) = match (sketch, current) {
            (
                Sketch::Numbers {
                    edges,
                    counts,
                    summary,
                },
                Values::Numbers(sorted),
            ) => {
                let aligned = Aligned {
                    reference: counts.clone(),
                    current: count_bins(sorted, edges),
                };
                (aligned, summary.compare(sorted))
            }
            (Sketch::Categories(sketch), Values::Categories(counts)) => {
                (sketch.align(counts), sketch.compare(counts))
            }
            (Sketch::Numbers { .. }, _) | (Sketch::Categories(_), _) => return None,
        };
        let distance = self.distance.distance(&aligned.reference, &aligned.current);
        Some(Finding {
            statistic: distance,
            effect_size: distance,
            evidence: Evidence::Own(homogeneity(&aligned.reference, &aligned.current).p_value),
            words,
        })
    }
}
