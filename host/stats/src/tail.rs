//! Upper tails of the chi-square, gamma, standard normal and Student's distributions, and quantiles
//! of the last two.

use statrs::function::beta::checked_beta_reg;
use statrs::function::erf::{erfc, erfc_inv};
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

/// The `p` quantile of the standard normal distribution (`scipy.stats.norm.ppf`). `p` is held within
/// 1e-300 of 0 and 1e-16 of 1, so that it is finite.
pub fn normal_quantile(p: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * p.clamp(1e-300, 1.0 - 1e-16))
}

/// Degrees of freedom past which Student's t is taken as normal: the two differ by less than 1e-9 there, and
/// the beta function loses more digits than that.
const NORMAL_FROM: f64 = 1e8;

/// Probability that Student's t with `dof` degrees of freedom is at least `t`
/// (`scipy.stats.t.sf`). Where `dof` isn't above 0 nothing is known of the spread: 1.
pub fn student_sf(t: f64, dof: f64) -> f64 {
    if dof.is_nan() || dof <= 0.0 || t.is_nan() {
        return 1.0;
    }
    if dof > NORMAL_FROM {
        return normal_sf(t);
    }
    let outside = checked_beta_reg(dof / 2.0, 0.5, dof / (dof + t * t)).unwrap_or(1.0) / 2.0;
    if t > 0.0 { outside } else { 1.0 - outside }
}

/// The `p` quantile of Student's t (`scipy.stats.t.ppf`), for `p` from 0.5 on. Infinite where `dof`
/// isn't above 0.
pub fn student_quantile(p: f64, dof: f64) -> f64 {
    if dof.is_nan() || dof <= 0.0 {
        return f64::INFINITY;
    }
    if dof > NORMAL_FROM {
        return normal_quantile(p);
    }
    if p <= 0.5 {
        return 0.0;
    }
    // Bisection on the tail: the beta function's own inverse is off by percents for many degrees.
    let (mut low, mut high) = (0.0, 1.0);
    while student_sf(high, dof) > 1.0 - p && high < f64::MAX / 2.0 {
        (low, high) = (high, high * 2.0);
    }
    while high - low > 1e-13 * high {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if student_sf(middle, dof) > 1.0 - p {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
