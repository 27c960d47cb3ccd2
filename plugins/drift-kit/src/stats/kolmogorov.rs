//! The distribution of the one-sample Kolmogorov–Smirnov statistic.
//!
//! [`kolmogorov_sf`] chooses among three forms, each where it is precise, along the lines of
//! R. Simard and P. L'Ecuyer, *Computing the two-sided Kolmogorov–Smirnov distribution*, Journal of
//! Statistical Software 39 (2011), which `scipy.stats.kstwo` follows too:
//!
//! - twice the one-sided tail (Smirnov's finite sum) where both sides can hardly happen together,
//! - the matrix power of G. Marsaglia, W. W. Tsang and J. Wang (Journal of Statistical Software 8,
//!   2003), exact, for small samples and for the far left,
//! - the expansion of W. Pelz and I. J. Good (1976) for the rest.

use std::f64::consts::PI;

use statrs::function::gamma::ln_gamma;

/// Up to this many values the exact forms are used throughout.
const SMALL_ROWS_MAX: u64 = 140;
/// Beyond, the matrices of the exact form get too large (53 × 53 here) and the expansion's error is
/// below 1e-7.
const MATRIX_ROWS_MAX: u64 = 10_000;

/// `P(D_n >= d)` for `n` values from the distribution in question (`scipy.stats.kstwo.sf`).
/// 1 for `n = 0` and for `d <= 0`, 0 for `d >= 1`.
pub fn kolmogorov_sf(n: u64, d: f64) -> f64 {
    let size = n as f64;
    let t = size * d;
    if n == 0 || t <= 0.5 {
        return 1.0;
    }
    if d >= 1.0 {
        return 0.0;
    }
    let z_squared = t * d;
    let p = if z_squared >= 370.0 {
        // Below the smallest double.
        0.0
    } else if d >= 0.5 || z_squared > if n <= SMALL_ROWS_MAX { 4.0 } else { 2.2 } {
        2.0 * one_sided_sf(n, d)
    } else if n <= SMALL_ROWS_MAX || (n <= MATRIX_ROWS_MAX && size * d.powf(1.5) <= 1.4) {
        1.0 - matrix_cdf(n, d)
    } else {
        1.0 - expansion_cdf(size, d)
    };
    p.clamp(0.0, 1.0)
}

/// `P(D⁺_n >= d) = d Σ_j C(n, j) (d + j/n)^(j − 1) (1 − d − j/n)^(n − j)` over `j <= n (1 − d)`.
/// Every term is positive, so the sum is as precise as its terms.
fn one_sided_sf(n: u64, d: f64) -> f64 {
    let size = n as f64;
    let ln_factorial_n = ln_gamma(size + 1.0);
    let last = (size * (1.0 - d)).floor() as u64;
    (0..=last)
        .map(|j| {
            let k = j as f64;
            let (below, above) = (d + k / size, 1.0 - d - k / size);
            let ln_choose = ln_factorial_n - ln_gamma(k + 1.0) - ln_gamma(size - k + 1.0);
            let ln_above = if j == n {
                0.0
            } else {
                (size - k) * above.max(0.0).ln()
            };
            (d.ln() + ln_choose + (k - 1.0) * below.ln() + ln_above).exp()
        })
        .sum()
}

/// `P(D_n < d)` as `n!/n^n` times the middle element of the n-th power of a matrix of side
/// `2⌈nd⌉ − 1`.
fn matrix_cdf(n: u64, d: f64) -> f64 {
    let size = n as f64;
    let k = (size * d).floor() as usize + 1;
    let side = 2 * k - 1;
    let h = k as f64 - size * d;
    // 1/j! for the Toeplitz part, with the corrections of the first column and last row.
    let mut inverse_factorial = vec![1.0f64];
    for j in 1..=side {
        let previous = inverse_factorial.last().copied().unwrap_or(1.0);
        inverse_factorial.push(previous / j as f64);
    }
    let element = |row: usize, column: usize| {
        if column > row + 1 {
            return 0.0;
        }
        let order = row + 1 - column;
        let mut numerator = 1.0;
        if column == 0 {
            numerator -= h.powi(row as i32 + 1);
        }
        if row + 1 == side {
            numerator -= h.powi((side - column) as i32);
            if column == 0 && 2.0 * h > 1.0 {
                numerator += (2.0 * h - 1.0).powi(side as i32);
            }
        }
        numerator * inverse_factorial.get(order).copied().unwrap_or(0.0)
    };
    let elements = (0..side * side).map(|i| element(i / side, i % side)).collect();
    let power = Scaled {
        elements,
        side,
        exponent: 0,
    }
    .power(n);
    let middle = power.elements.get((k - 1) * side + k - 1).copied().unwrap_or(0.0);
    // n!/n^n in the same scaled form: factors below 1, rescaled before they vanish.
    let (mut product, mut exponent) = (middle, power.exponent);
    for i in 1..=n {
        product *= i as f64 / size;
        if product < TINY {
            product *= HUGE;
            exponent -= STEP;
        }
    }
    product * 2f64.powi(exponent)
}

/// Powers of two by which numbers are rescaled, far enough from either end of the doubles.
const STEP: i32 = 400;
const HUGE: f64 = 2.582_249_878_086_909e120;
const TINY: f64 = 1.0 / HUGE;

/// A square matrix times `2^exponent`.
#[derive(Clone)]
struct Scaled {
    elements: Vec<f64>,
    side: usize,
    exponent: i32,
}

impl Scaled {
    fn times(&self, other: &Self) -> Self {
        let mut elements = vec![0.0; self.elements.len()];
        for (out, row) in elements
            .chunks_exact_mut(self.side)
            .zip(self.elements.chunks_exact(self.side))
        {
            for (&factor, from) in row.iter().zip(other.elements.chunks_exact(self.side)) {
                for (sum, value) in out.iter_mut().zip(from) {
                    *sum += factor * value;
                }
            }
        }
        let mut exponent = self.exponent + other.exponent;
        if elements.iter().any(|&e| e > HUGE) {
            elements.iter_mut().for_each(|e| *e *= TINY);
            exponent += STEP;
        }
        Self {
            elements,
            side: self.side,
            exponent,
        }
    }

    fn power(self, n: u64) -> Self {
        match n {
            0 | 1 => self,
            _ => {
                let half = self.clone().power(n / 2);
                let square = half.times(&half);
                if n % 2 == 1 { square.times(&self) } else { square }
            }
        }
    }
}

/// `P(D_n <= d)` as `K0 + K1 / √n + K2 / n + K3 / n^1.5` in `z = d √n`, each a theta series that
/// converges in a few terms for the `z` that come here.
fn expansion_cdf(n: f64, d: f64) -> f64 {
    let z = d * n.sqrt();
    let (z2, pi2) = (z * z, PI * PI);
    let (z4, z6, z8) = (z2 * z2, z2 * z2 * z2, z2 * z2 * z2 * z2);
    let (mut k0, mut k1, mut k2, mut k3) = (0.0, 0.0, 0.0, 0.0);
    let (mut k2_whole, mut k3_whole) = (0.0, 0.0);
    // Terms fall as exp(−π² k² / 2z²), and z² stays below 2.2.
    for k in 0..20u32 {
        let half = pi2 * (f64::from(k) + 0.5).powi(2);
        let weight = (-half / (2.0 * z2)).exp();
        k0 += weight;
        k1 += weight * (half - z2);
        k2 += weight * (6.0 * z6 + 2.0 * z4 + (2.0 * z4 - 5.0 * z2) * half + (1.0 - 2.0 * z2) * half * half);
        k3 += weight
            * (half.powi(3) * (5.0 - 30.0 * z2)
                + half * half * (212.0 * z4 - 60.0 * z2)
                + half * (135.0 * z4 - 96.0 * z6)
                - 30.0 * z6
                - 90.0 * z8);
        let whole = pi2 * f64::from(k).powi(2);
        let weight = (-whole / (2.0 * z2)).exp();
        k2_whole += weight * whole;
        k3_whole += weight * (3.0 * whole * z2 - whole * whole);
    }
    // The sums run over all integers: twice those over k >= 0.
    let root = 2.0 * (PI / 2.0).sqrt();
    let k0 = 2.0 * (PI / 2.0).sqrt() * k0 / z;
    let k1 = root * k1 / (6.0 * z4);
    let k2 = root * (k2 / (72.0 * z6 * z) - k2_whole / (36.0 * z2 * z));
    let k3 = root * (k3 / (6480.0 * z8 * z2) + k3_whole / (216.0 * z6));
    k0 + k1 / n.sqrt() + k2 / n + k3 / n.powf(1.5)
}
