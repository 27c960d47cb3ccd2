//! Upper tails of the chi-square, gamma and standard normal distributions.

use statrs::function::erf::erfc;
use statrs::function::gamma::checked_gamma_ur;

/// Probability that a chi-square variable of `dof` degrees of freedom is at least `x`
/// (`scipy.stats.chi2.sf`). Without a degree of freedom nothing can differ: 1.
pub fn chi_square_sf(x: f64, dof: usize) -> f64 {
    if dof == 0 {
        1.0
    } else {
        gamma_sf(x / 2.0, dof as f64 / 2.0)
    }
}

/// Probability that a gamma variable of this shape and scale 1 is at least `x`. 1 for `x <= 0`, and
/// for a shape that isn't a positive finite number.
pub fn gamma_sf(x: f64, shape: f64) -> f64 {
    if x == f64::INFINITY {
        return 0.0;
    }
    if x <= 0.0 {
        return 1.0;
    }
    checked_gamma_ur(shape, x).map_or(1.0, |p| if p.is_nan() { 1.0 } else { p.clamp(0.0, 1.0) })
}

/// Probability that a standard normal variable is at least `z` (`scipy.stats.norm.sf`).
pub fn normal_sf(z: f64) -> f64 {
    (0.5 * erfc(z / std::f64::consts::SQRT_2)).clamp(0.0, 1.0)
}
