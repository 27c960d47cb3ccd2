//! Count, mean, variance and range of numbers that come one by one or in parts.

use serde::{Deserialize, Serialize};

use crate::interval::{Interval, student};
use crate::tail::student_sf;

/// Moments of a sample. Merging parts gives what one pass over all gives, within rounding (B. P.
/// Welford, 1962; T. F. Chan, G. H. Golub and R. J. LeVeque, 1979).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            count: 0,
            mean: 0.0,
            squares: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::default();
        values.into_iter().for_each(|value| moments.add(value));
        moments
    }
}

impl Moments {
    /// Take one value in. It is finite.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Take another sample in.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let apart = other.mean - self.mean;
        self.mean += apart * (m / (n + m));
        self.squares += other.squares + apart * apart * (n * m / (n + m));
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Values taken in.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; `None` without a value.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// Their sum.
    pub fn sum(&self) -> f64 {
        self.mean * self.count as f64
    }

    /// Their variance with `n − 1`; `None` below two values.
    pub fn variance(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squares / (self.count as f64 - 1.0)).max(0.0))
    }

    /// Square root of [`Self::variance`].
    pub fn deviation(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// The smallest value.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest value.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// Student's interval of the mean; `None` below two values.
    pub fn interval(&self, level: f64) -> Option<Interval> {
        let count = self.count as f64;
        let error = (self.variance()? / count).sqrt();
        student(self.mean, error, count - 1.0, level)
    }
}

/// Welch's test of two means (B. L. Welch, 1947; `scipy.stats.ttest_ind(…, equal_var=False)`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Welch {
    /// Second mean less the first.
    pub difference: f64,
    /// `difference` in standard errors; infinite where neither sample varies and the means differ.
    pub t: f64,
    /// Degrees of freedom by Welch and Satterthwaite.
    pub dof: f64,
    /// Standard error of `difference`.
    pub error: f64,
    /// Cohen's d: `difference` in pooled standard deviations; 0 where neither sample varies and the
    /// means are the same, infinite where they differ.
    pub cohens_d: f64,
}

impl Welch {
    /// Compare two samples; `None` where either has fewer than two values.
    pub fn new(first: &Moments, second: &Moments) -> Option<Self> {
        let (v, w) = (first.variance()?, second.variance()?);
        let (n, m) = (first.count as f64, second.count as f64);
        let difference = second.mean - first.mean;
        let (a, b) = (v / n, w / m);
        let error = (a + b).sqrt();
        let pooled = (((n - 1.0) * v + (m - 1.0) * w) / (n + m - 2.0)).sqrt();
        let in_units = |unit: f64| if difference == 0.0 { 0.0 } else { difference / unit };
        let dof = (a + b).powi(2) / (a * a / (n - 1.0) + b * b / (m - 1.0));
        Some(Self {
            difference,
            t: in_units(error),
            dof: if dof.is_finite() { dof } else { n + m - 2.0 },
            error,
            cohens_d: in_units(pooled),
        })
    }

    /// P-value for the second mean being no larger than the first.
    pub fn rise_p_value(&self) -> f64 {
        student_sf(self.t, self.dof)
    }

    /// Two-sided p-value.
    pub fn p_value(&self) -> f64 {
        (2.0 * student_sf(self.t.abs(), self.dof)).min(1.0)
    }

    /// Interval of the difference.
    pub fn interval(&self, level: f64) -> Option<Interval> {
        student(self.difference, self.error, self.dof, level)
    }
}
