//! The coefficient of determination and its standard error, from sums that merge.

use serde::{Deserialize, Serialize};

/// Moments of actual values `y` and squared errors `u`, about the mean of `y`.
///
/// R² is `1 − mean(u) / var(y)`. To first order a row moves it by
/// `−(u − mean(u)) / v + mean(u) (d² − v) / v²`, where `d = y − mean(y)` and `v = var(y)`; the standard
/// error is that of the mean of these, which takes the sums below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fit {
    count: f64,
    mean: f64,
    /// Sums of `d²`, `d³` and `d⁴`.
    powers: [f64; 3],
    /// Sums of `u`, `u d` and `u d²`.
    errors: [f64; 3],
    /// Sum of `u²`.
    squares: f64,
}

impl Fit {
    pub(crate) fn add(&mut self, actual: f64, squared_error: f64) {
        self.merge(&Self {
            count: 1.0,
            mean: actual,
            powers: [0.0; 3],
            errors: [squared_error, 0.0, 0.0],
            squares: squared_error * squared_error,
        });
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        if count == 0.0 {
            return;
        }
        let mean = self.mean + (other.mean - self.mean) * (other.count / count);
        let (a, b) = (self.about(mean), other.about(mean));
        let sum = |[a, b, c]: [f64; 3], [d, e, f]: [f64; 3]| [a + d, b + e, c + f];
        *self = Self {
            count,
            mean,
            powers: sum(a.powers, b.powers),
            errors: sum(a.errors, b.errors),
            squares: a.squares + b.squares,
        };
    }

    /// The same sums about another centre.
    fn about(&self, centre: f64) -> Self {
        let (n, s) = (self.count, self.mean - centre);
        let [p2, p3, p4] = self.powers;
        let [e0, e1, e2] = self.errors;
        Self {
            powers: [
                p2 + n * s * s,
                p3 + 3.0 * s * p2 + n * s.powi(3),
                p4 + 4.0 * s * p3 + 6.0 * s * s * p2 + n * s.powi(4),
            ],
            errors: [e0, e1 + s * e0, e2 + 2.0 * s * e1 + s * s * e0],
            ..*self
        }
    }

    /// `None` where the actual values are all the same; not finite where the sums aren't.
    pub(crate) fn r2(&self) -> Option<f64> {
        let [spread, ..] = self.powers;
        let [errors, ..] = self.errors;
        (spread != 0.0).then(|| 1.0 - errors / spread)
    }

    pub(crate) fn r2_error(&self) -> Option<f64> {
        let n = self.count;
        let [p2, _, p4] = self.powers.map(|sum| sum / n);
        let [u, _, u_d2] = self.errors.map(|sum| sum / n);
        if p2 <= 0.0 || n < 3.0 {
            return None;
        }
        let var_u = self.squares / n - u * u;
        let var_d2 = p4 - p2 * p2;
        let covariance = u_d2 - u * p2;
        let ratio = u / p2;
        let variance = (var_u - 2.0 * ratio * covariance + ratio * ratio * var_d2) / (p2 * p2);
        Some((variance.max(0.0) / n).sqrt())
    }
}
