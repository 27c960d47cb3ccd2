//! Confidence intervals that have a formula.
//!
//! All are two-sided. Where an interval can't be given (one value has no spread to see) the answer is
//! `None`, never an interval of no width.

use serde::{Deserialize, Serialize};

use crate::tail::{normal_quantile, student_quantile};

/// The confidence that is asked for where nobody says another.
pub const LEVEL: f64 = 0.95;

/// What an interval was computed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Wilson's score interval of a proportion.
    Wilson,
    /// Student's interval of a mean.
    Student,
    /// DeLong's variance, on the logit scale.
    DeLong,
    /// A variance by the delta method, or one known for the statistic, on a fitting scale.
    Delta,
    /// The jackknife's variance.
    Jackknife,
    /// Ranks of a sorted sample, from the binomial distribution.
    OrderStatistics,
    /// Quantiles of seeded resamples, corrected for bias and acceleration.
    Bootstrap,
    /// Quantiles of labels drawn from the probabilities that a model gave.
    Simulation,
}

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// The confidence, 0.95 for 95 %.
    pub level: f64,
    /// What it was computed by.
    pub method: Method,
}

impl Interval {
    /// The interval of a rising function of the value.
    #[must_use]
    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self {
            low: f(self.low),
            high: f(self.high),
            ..self
        }
    }

    /// Is the value inside, ends included?
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// How many standard errors the interval goes to either side.
fn reach(level: f64) -> f64 {
    normal_quantile(0.5 + level / 2.0)
}

/// Wilson's score interval of `hits` in `rows` (E. B. Wilson, 1927;
/// `scipy.stats.binomtest(…).proportion_ci(method="wilson")`). Never of no width, even at 0 and 1.
/// `hits` may be a fraction. `None` without a row.
pub fn wilson(hits: f64, rows: f64, level: f64) -> Option<Interval> {
    if rows <= 0.0 {
        return None;
    }
    let z = reach(level);
    let share = (hits / rows).clamp(0.0, 1.0);
    let scale = 1.0 + z * z / rows;
    let centre = (share + z * z / (2.0 * rows)) / scale;
    let half = z / scale * (share * (1.0 - share) / rows + (z / (2.0 * rows)).powi(2)).sqrt();
    Some(Interval {
        // At the ends the two terms are equal but for rounding.
        low: if share == 0.0 {
            0.0
        } else {
            (centre - half).max(0.0)
        },
        high: if share == 1.0 {
            1.0
        } else {
            (centre + half).min(1.0)
        },
        level,
        method: Method::Wilson,
    })
}

/// Student's interval of a mean with this standard error. `None` where the error isn't known.
pub fn student(mean: f64, error: f64, dof: f64, level: f64) -> Option<Interval> {
    let half = student_quantile(0.5 + level / 2.0, dof) * error;
    half.is_finite().then_some(Interval {
        low: mean - half,
        high: mean + half,
        level,
        method: Method::Student,
    })
}

/// The interval of a value with this standard error, symmetric and not bounded.
pub fn normal(value: f64, error: f64, level: f64, method: Method) -> Option<Interval> {
    let half = reach(level) * error;
    half.is_finite().then_some(Interval {
        low: value - half,
        high: value + half,
        level,
        method,
    })
}

/// The interval of a value between 0 and 1 with this standard error, symmetric on the logit scale, so
/// that it stays between 0 and 1. `None` at 0, at 1 and without an error.
pub fn logit(value: f64, error: f64, level: f64, method: Method) -> Option<Interval> {
    let spread = value * (1.0 - value);
    if spread <= 0.0 || error.is_nan() || error <= 0.0 {
        return None;
    }
    let (centre, half) = ((value / (1.0 - value)).ln(), reach(level) * error / spread);
    let back = |x: f64| 1.0 / (1.0 + (-x).exp());
    Some(Interval {
        low: back(centre - half),
        high: back(centre + half),
        level,
        method,
    })
}
