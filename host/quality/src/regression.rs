//! Regression and forecasts: errors of predicted numbers.
//!
//! All sums are exact and mergeable; the median absolute error alone comes from a sketch, exact while
//! rows are few. A row with a value that is missing or not finite isn't used, and counted.

use caisson_stats::interval::{Method, normal, wilson};
use caisson_stats::moments::Moments;
use serde::{Deserialize, Serialize};

use crate::accumulator::{Accumulator, Mismatch};
use crate::answer::{Answer, Better, Undefined, measure};
use crate::fit::Fit;
use crate::quantiles::Quantiles;

/// What can be asked of a [`Regression`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegressionMetric {
    /// Mean absolute error.
    Mae,
    /// Root of the mean squared error.
    Rmse,
    /// Mean of `|error| / |actual|`, 0.1 for 10 %; zeros by [`ZeroActuals`].
    Mape,
    /// Mean of `2 |error| / (|actual| + |predicted|)`, 0 to 2; 0 where both are 0.
    Smape,
    /// Mean absolute error over that of the naive forecast on the training series.
    Mase,
    /// Share of the actual values' variance that the predictions explain.
    R2,
    /// Share of rows whose prediction moved from the one before in the direction that the actual value
    /// did (up, down, or not at all).
    DirectionalAccuracy,
    /// Mean of predicted less actual.
    Bias,
    /// Median of the absolute errors.
    MedianAbsoluteError,
}

impl RegressionMetric {
    /// Which way it gets better.
    pub fn better(self) -> Better {
        match self {
            Self::R2 | Self::DirectionalAccuracy => Better::Higher,
            Self::Bias => Better::Zero,
            _ => Better::Lower,
        }
    }
}

/// What becomes of rows with an actual value of 0 in the percentage error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroActuals {
    /// They are left out of it; the measure's `rows` says how many are in.
    #[default]
    LeaveOut,
    /// The percentage error has no value then.
    Refuse,
    /// They are divided by 2.2e-16, as scikit-learn does: one such row makes the mean astronomic.
    Epsilon,
}

/// A prediction and what came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predicted {
    /// What came.
    pub actual: f64,
    /// What was predicted.
    pub predicted: f64,
    /// Both of the step before in the series, for directional accuracy.
    pub before: Option<(f64, f64)>,
}

/// Errors of predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    zero_actuals: ZeroActuals,
    naive_error: Option<f64>,
    error: Moments,
    absolute: Moments,
    squared: Moments,
    relative: Moments,
    symmetric: Moments,
    fit: Fit,
    /// Rows in the right direction, and rows that have one.
    directed: (u64, u64),
    zeros: u64,
    unusable: u64,
    sizes: Quantiles,
}

impl Default for Regression {
    fn default() -> Self {
        Self::new(ZeroActuals::default(), None)
    }
}

impl Regression {
    /// Without a row. `naive_error`: see [`naive_error`].
    pub fn new(zero_actuals: ZeroActuals, naive_error: Option<f64>) -> Self {
        Self {
            zero_actuals,
            naive_error,
            error: Moments::default(),
            absolute: Moments::default(),
            squared: Moments::default(),
            relative: Moments::default(),
            symmetric: Moments::default(),
            fit: Fit::default(),
            directed: (0, 0),
            zeros: 0,
            unusable: 0,
            sizes: Quantiles::default(),
        }
    }

    /// Take in a series in its order, so that each row knows the one before.
    pub fn extend_series(&mut self, series: impl IntoIterator<Item = (f64, f64)>) {
        let mut before = None;
        for (actual, predicted) in series {
            self.add(Predicted {
                actual,
                predicted,
                before,
            });
            before = Some((actual, predicted));
        }
    }

    /// Rows that were used.
    pub fn rows(&self) -> u64 {
        self.error.count()
    }

    /// Rows with a value that isn't finite.
    pub fn unusable(&self) -> u64 {
        self.unusable
    }

    /// The metric's value with its interval.
    ///
    /// # Errors
    ///
    /// [`Undefined`] without a row; R² of actual values that are all the same; the percentage error of
    /// zeros alone; the scaled error without the naive one; sums that overflow.
    pub fn measure(&self, metric: RegressionMetric, level: f64) -> Answer {
        let rows = self.rows();
        if rows == 0 {
            return Err(Undefined::too_few(0, 1));
        }
        let mean_of = |moments: &Moments| {
            let interval = moments.interval(level);
            measure(moments.mean().unwrap_or(0.0), interval, moments.count())
        };
        let positive = |answer: Answer| {
            let cut = |m: &mut crate::Measure| {
                m.interval = m.interval.map(|i| i.map(|end| end.max(0.0)));
            };
            let mut answer = answer;
            answer.iter_mut().for_each(cut);
            answer
        };
        match metric {
            RegressionMetric::Bias => mean_of(&self.error),
            RegressionMetric::Mae => positive(mean_of(&self.absolute)),
            RegressionMetric::Smape => positive(mean_of(&self.symmetric)),
            RegressionMetric::Mape => {
                let refused = self.zero_actuals == ZeroActuals::Refuse && self.zeros > 0;
                if refused || self.relative.count() == 0 {
                    return Err(Undefined::ZeroActual { rows: self.zeros });
                }
                positive(mean_of(&self.relative))
            }
            RegressionMetric::Rmse => {
                let mut squared = positive(mean_of(&self.squared))?;
                squared.value = squared.value.sqrt();
                squared.interval = squared.interval.map(|i| i.map(f64::sqrt));
                Ok(squared)
            }
            RegressionMetric::Mase => {
                let usable = |scale: &f64| scale.is_finite() && *scale > 0.0;
                let scale = self.naive_error.filter(usable).ok_or(Undefined::NoNaiveError)?;
                let absolute = positive(mean_of(&self.absolute))?;
                let interval = absolute.interval.map(|i| i.map(|end| end / scale));
                measure(absolute.value / scale, interval, rows)
            }
            RegressionMetric::R2 => {
                if rows < 2 {
                    return Err(Undefined::too_few(rows, 2));
                }
                let r2 = self.fit.r2().ok_or(Undefined::Constant)?;
                let error = self.fit.r2_error().filter(|error| *error > 0.0);
                let interval = error.and_then(|error| normal(r2, error, level, Method::Delta));
                measure(r2, interval.map(|i| i.map(|end| end.min(1.0))), rows)
            }
            RegressionMetric::DirectionalAccuracy => {
                let (right, of) = self.directed;
                if of == 0 {
                    return Err(Undefined::too_few(0, 1));
                }
                let interval = wilson(right as f64, of as f64, level);
                measure(right as f64 / of as f64, interval, of)
            }
            RegressionMetric::MedianAbsoluteError => {
                let median = self.sizes.quantile(0.5).unwrap_or(0.0);
                measure(median, self.sizes.median_interval(level), rows)
            }
        }
    }

    /// Moments of each row's loss, where the metric is a mean over rows (or a monotone function of
    /// one): what a test of two means takes.
    pub fn loss(&self, metric: RegressionMetric) -> Option<&Moments> {
        match metric {
            RegressionMetric::Mae | RegressionMetric::Mase => Some(&self.absolute),
            RegressionMetric::Rmse => Some(&self.squared),
            RegressionMetric::Mape => Some(&self.relative),
            RegressionMetric::Smape => Some(&self.symmetric),
            RegressionMetric::Bias => Some(&self.error),
            _ => None,
        }
    }

    /// Rows in the right direction, and rows that have one.
    pub fn directed(&self) -> (u64, u64) {
        self.directed
    }
}

/// Mean absolute error of the forecast "as a season ago" on a training series (R. J. Hyndman and A. B.
/// Koehler, 2006): what MASE is scaled by. `season` is 1 for "as before". `None` where the series is no
/// longer than a season, or never changes.
pub fn naive_error(training: &[f64], season: usize) -> Option<f64> {
    let season = season.max(1);
    let later = training.iter().skip(season);
    let steps: Moments = later.zip(training).map(|(now, ago)| (now - ago).abs()).collect();
    steps.mean().filter(|mean| mean.is_finite() && *mean > 0.0)
}

impl Accumulator for Regression {
    type Row<'a> = Predicted;

    fn add(&mut self, row: Predicted) {
        let Predicted {
            actual, predicted, ..
        } = row;
        if !(actual.is_finite() && predicted.is_finite()) {
            self.unusable += 1;
            return;
        }
        let error = predicted - actual;
        let size = error.abs();
        self.error.add(error);
        self.absolute.add(size);
        self.squared.add(error * error);
        self.sizes.add(size);
        self.fit.add(actual, error * error);
        let both = actual.abs() + predicted.abs();
        self.symmetric
            .add(if both > 0.0 { 2.0 * size / both } else { 0.0 });
        if actual == 0.0 {
            self.zeros += 1;
        }
        if actual != 0.0 || self.zero_actuals == ZeroActuals::Epsilon {
            self.relative.add(size / actual.abs().max(f64::EPSILON));
        }
        let finite = |(a, p): &(f64, f64)| a.is_finite() && p.is_finite();
        if let Some(before) = row.before.filter(finite) {
            let right = actual.partial_cmp(&before.0) == predicted.partial_cmp(&before.1);
            self.directed.0 += u64::from(right);
            self.directed.1 += 1;
        }
    }

    fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        Mismatch::unless_same("what zeros become", &self.zero_actuals, &other.zero_actuals)?;
        Mismatch::unless_same("the naive error", &self.naive_error, &other.naive_error)?;
        self.sizes.merge(&other.sizes)?;
        self.error.merge(&other.error);
        self.absolute.merge(&other.absolute);
        self.squared.merge(&other.squared);
        self.relative.merge(&other.relative);
        self.symmetric.merge(&other.symmetric);
        self.fit.merge(&other.fit);
        self.directed.0 += other.directed.0;
        self.directed.1 += other.directed.1;
        self.zeros += other.zeros;
        self.unusable += other.unusable;
        Ok(())
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.sizes.bytes()
    }
}
