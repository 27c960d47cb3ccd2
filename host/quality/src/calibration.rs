//! Are probabilities right on average? Expected calibration error over bins of equal width.
//!
//! `Σ (rows in bin / rows) |share of positives in bin − mean probability in bin|` (M. P. Naeini, G. F.
//! Cooper and M. Hauskrecht, 2015). Bins as scikit-learn's `calibration_curve(strategy="uniform")`: bin
//! `i` is `i / bins < p <= (i + 1) / bins`, with 0 in the first. Counts and sums are exact and mergeable.
//!
//! The error of rows that are calibrated isn't 0 but about `√(bins / rows)`: compare it with a
//! baseline's of as many rows, not with 0.

use caisson_stats::interval::{Interval, Method, normal};
use caisson_stats::tail::normal_sf;
use serde::{Deserialize, Serialize};

use crate::accumulator::Mismatch;

/// Bins unless others are asked for; the customary number.
pub const BINS: usize = 10;
/// More bins than this hold too few rows each to say anything.
pub const BINS_MAX: usize = 100;

/// Rows whose probabilities are close to each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// How many.
    pub rows: u64,
    /// Those with the positive label.
    pub positives: u64,
    /// Sum of their probabilities.
    pub probabilities: f64,
}

impl Bin {
    /// Share of positives less mean probability; 0 without a row.
    pub fn gap(&self) -> f64 {
        if self.rows == 0 {
            0.0
        } else {
            (self.positives as f64 - self.probabilities) / self.rows as f64
        }
    }
}

/// Rows by probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    bins: Vec<Bin>,
}

impl Calibration {
    /// Of so many bins, 1 to [`BINS_MAX`].
    pub fn new(bins: usize) -> Self {
        Self {
            bins: vec![Bin::default(); bins.clamp(1, BINS_MAX)],
        }
    }

    /// Take a row in; the probability is between 0 and 1.
    pub fn add(&mut self, probability: f64, label: bool) {
        let place = (probability * self.bins.len() as f64).ceil() as usize;
        let last = self.bins.len().saturating_sub(1);
        if let Some(bin) = self.bins.get_mut(place.saturating_sub(1).min(last)) {
            bin.rows += 1;
            bin.positives += u64::from(label);
            bin.probabilities += probability;
        }
    }

    /// Take in other rows.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] for another number of bins.
    pub fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        Mismatch::unless_same("the number of bins", &self.bins.len(), &other.bins.len())?;
        for (ours, theirs) in self.bins.iter_mut().zip(&other.bins) {
            ours.rows += theirs.rows;
            ours.positives += theirs.positives;
            ours.probabilities += theirs.probabilities;
        }
        Ok(())
    }

    /// The bins, those of low probabilities first.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// Rows taken in.
    pub fn rows(&self) -> u64 {
        self.bins.iter().map(|bin| bin.rows).sum()
    }

    /// The expected calibration error; `None` without a row.
    pub fn expected_error(&self) -> Option<f64> {
        let rows = self.rows() as f64;
        let sum: f64 = self
            .bins
            .iter()
            .map(|bin| bin.rows as f64 * bin.gap().abs())
            .sum();
        (rows > 0.0).then(|| sum / rows)
    }

    /// The largest gap of a bin with rows; `None` without a row.
    pub fn largest_error(&self) -> Option<f64> {
        let used = self.bins.iter().filter(|bin| bin.rows > 0);
        used.map(|bin| bin.gap().abs()).reduce(f64::max)
    }

    /// Interval of the expected error by the delta method: each bin's share of positives is binomial
    /// (with half a row more of either label, so that a bin of one label isn't taken as certain).
    ///
    /// Gaps are taken without their sign, so noise makes them larger on average, never smaller. The
    /// lower end goes further down by as much.
    pub fn interval(&self, level: f64) -> Option<Interval> {
        let rows = self.rows() as f64;
        let (mut variance, mut excess) = (0.0, 0.0);
        for bin in self.bins.iter().filter(|bin| bin.rows > 0) {
            let count = bin.rows as f64;
            let share = (bin.positives as f64 + 0.5) / (count + 1.0);
            let error = (share * (1.0 - share) / count).sqrt();
            variance += (count * error).powi(2);
            excess += count * folded_excess(bin.gap().abs(), error);
        }
        let value = self.expected_error()?;
        let interval = normal(value, variance.sqrt() / rows, level, Method::Delta)?;
        Some(Interval {
            low: (interval.low - excess / rows).max(0.0),
            high: interval.high.min(1.0),
            ..interval
        })
    }
}

/// By how much the mean size of a normal variable exceeds the size of its mean.
fn folded_excess(mean: f64, deviation: f64) -> f64 {
    let z = mean / deviation;
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    2.0 * (deviation * density - mean * normal_sf(z))
}
