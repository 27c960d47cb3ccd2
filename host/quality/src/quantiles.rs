//! Quantiles of numbers that come one by one or in parts: a KLL sketch of Apache DataSketches.
//!
//! The rank of a quantile is within [`Quantiles::rank_error`] of what was asked for, with 99 %
//! confidence, after any merging; exact while values are few (about [`ACCURACY`]). It keeps a random
//! half when it compacts, so two sketches of the same rows differ within that error. About 5 KB.

use caisson_stats::interval::{Interval, Method};
use caisson_stats::tail::normal_quantile;
use datasketches::common::SearchCriteria::Inclusive;
use datasketches::kll::{KllFloat, KllSketch};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::accumulator::Mismatch;

/// KLL's `k`: a rank error of 1.3 %.
pub const ACCURACY: u16 = 200;

/// A sketch of numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Quantiles(KllSketch<KllFloat<f64>>);

impl Quantiles {
    /// Take one value in; NaN is ignored. Infinities are values at the ends of the order.
    pub fn add(&mut self, value: f64) {
        if let Ok(value) = KllFloat::<f64>::new(value) {
            self.0.update(value);
        }
    }

    /// Take in another sketch.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] for a sketch of another accuracy.
    pub fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        let merged = self.0.merge(&other.0);
        Mismatch::unless_same(
            "the sketch of quantiles",
            &Ok(()),
            &merged.map_err(|e| e.to_string()),
        )
    }

    /// Values taken in.
    pub fn count(&self) -> u64 {
        self.0.n()
    }

    /// The smallest value with at least the share `p` of all at or below it (NumPy's `inverted_cdf`);
    /// for the median of an even number, halfway to the next one. `None` without a value.
    pub fn quantile(&self, p: f64) -> Option<f64> {
        let at = |p| {
            self.0
                .quantile(p, Inclusive)
                .ok()
                .flatten()
                .map(KllFloat::into_inner)
        };
        let value = at(p.clamp(0.0, 1.0))?;
        let half = self.0.n() / 2;
        if p == 0.5 && self.0.n() == 2 * half {
            let next = at((half + 1) as f64 / self.0.n() as f64)?;
            return Some(value + (next - value) / 2.0);
        }
        Some(value)
    }

    /// Share of values at or below this one; `None` without a value.
    pub fn share_at_most(&self, value: f64) -> Option<f64> {
        self.0.rank(&KllFloat::<f64>::new(value).ok()?, Inclusive)
    }

    /// How far the rank of a quantile can be from what was asked for, with 99 % confidence: 0 while all
    /// values are kept.
    pub fn rank_error(&self) -> f64 {
        if self.0.is_estimation_mode() {
            self.0.normalized_rank_error()
        } else {
            0.0
        }
    }

    /// Interval of the median: values whose ranks are the binomial quantiles (in their normal
    /// approximation), widened by the sketch's own error. `None` below six values, where no two ranks
    /// have 95 % between them.
    pub fn median_interval(&self, level: f64) -> Option<Interval> {
        let n = self.0.n() as f64;
        if n < 6.0 {
            return None;
        }
        let reach = normal_quantile(0.5 + level / 2.0) / (2.0 * n.sqrt()) + self.rank_error();
        Some(Interval {
            low: self.quantile(0.5 - reach)?,
            high: self.quantile(0.5 + reach + 1.0 / n)?,
            level,
            method: Method::OrderStatistics,
        })
    }

    /// About how many bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + 8 * self.0.num_retained()
    }
}

impl Serialize for Quantiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Quantiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        let sketch = KllSketch::deserialize(&bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(sketch))
    }
}
