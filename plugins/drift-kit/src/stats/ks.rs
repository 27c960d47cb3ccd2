//! The two-sample Kolmogorov–Smirnov test.
//!
//! `D = sup |F(x) − G(x)|` over the two empirical distribution functions. The p-value is chosen as
//! SciPy's `ks_2samp(method="auto")` does: exact where the larger sample has at most
//! [`EXACT_ROWS_MAX`] values, else that of the one-sample statistic with the effective sample size
//! `n·m / (n + m)`. Ties are as in SciPy: the functions are compared after each distinct value, and
//! the p-value is that for continuous distributions, which is conservative.
//!
//! Exact p-values count lattice paths from (0, 0) to (n, m) that leave the strip
//! `|i/n − j/m| < D`: J. L. Hodges, *The significance probability of the Smirnov two-sample test*,
//! Arkiv för Matematik 3 (1958), in the form for the complement of T. Viehmann, arXiv:2102.08037,
//! which keeps small p-values precise.

use crate::stats::kolmogorov::kolmogorov_sf;

/// Above this many values in the larger sample the p-value is asymptotic, as in SciPy.
pub const EXACT_ROWS_MAX: u64 = 10_000;

/// Lattice points that an exact p-value may visit: about 50 ms. Only samples near
/// [`EXACT_ROWS_MAX`] in both with `D > 0.1` need more, where p is below 1e-40 and the asymptotic
/// form gives the same verdict.
const LATTICE_POINTS_MAX: f64 = 2e7;

/// `D` of two sorted samples without NaN; 0 if either is empty.
pub fn ks_statistic(reference: &[f64], current: &[f64]) -> f64 {
    let (n, m) = (reference.len() as f64, current.len() as f64);
    if reference.is_empty() || current.is_empty() {
        return 0.0;
    }
    let (mut a, mut b) = (reference, current);
    let mut largest = 0.0f64;
    while let (Some(&x), Some(&y)) = (a.first(), b.first()) {
        let value = x.min(y);
        a = after(a, value);
        b = after(b, value);
        let (below_a, below_b) = (n - a.len() as f64, m - b.len() as f64);
        largest = largest.max((below_a / n - below_b / m).abs());
    }
    largest
}

/// What is left of a sorted slice behind its values equal to `value`, its smallest or below it.
fn after(sorted: &[f64], value: f64) -> &[f64] {
    let equal = sorted.iter().take_while(|&&v| v <= value).count();
    sorted.get(equal..).unwrap_or_default()
}

/// Two-sided p-value of the statistic `d` of samples of `n` and `m` values; 1 if either is empty.
pub fn ks_p_value(d: f64, n: u64, m: u64) -> f64 {
    if n == 0 || m == 0 || d <= 0.0 {
        return 1.0;
    }
    if n.max(m) <= EXACT_ROWS_MAX
        && let Some(p) = exact(d, n, m)
    {
        return p;
    }
    let (n, m) = (n as f64, m as f64);
    let effective = (n * m / (n + m)).round().max(1.0);
    kolmogorov_sf(effective as u64, d)
}

/// `None` where it would take too long.
fn exact(d: f64, n: u64, m: u64) -> Option<f64> {
    let (n, m) = (n.max(m), n.min(m));
    let g = gcd(n, m);
    let lcm = (n / g) * m;
    // D in units of 1/lcm, in which it is a whole number.
    let h = (d * lcm as f64).round() as u64;
    if h == 0 {
        return Some(1.0);
    }
    if n == m {
        return Some(outside_square(n, h).clamp(0.0, 1.0));
    }
    let width = (2.0 * h as f64 * g as f64 / n as f64).min(m as f64 + 1.0);
    if n as f64 * width > LATTICE_POINTS_MAX {
        return None;
    }
    outside_strip(n, m, g, h).map(|p| p.clamp(0.0, 1.0))
}

/// Share of the paths from (0, 0) to (n, n) that touch one of the lines `|i − j| = h`: by
/// reflection `2 Σ (−1)^(k−1) C(2n, n − kh) / C(2n, n)`, as a Horner scheme of ratios.
fn outside_square(n: u64, h: u64) -> f64 {
    let mut sum = 0.0;
    for k in (0..=n / h).rev() {
        let mut ratio = 1.0;
        for j in 0..h {
            let Some(numerator) = n.checked_sub(k * h + j) else {
                ratio = 0.0;
                break;
            };
            ratio *= numerator as f64 / (n + k * h + j + 1) as f64;
        }
        sum = ratio * (1.0 - sum);
    }
    2.0 * sum
}

/// Share of the paths from (0, 0) to (n, m), `n > m`, that leave the strip
/// `|i·(m/g) − j·(n/g)| < h`. The point (i, j) is entered from the left with probability
/// `i / (i + j)` and from below with `j / (i + j)`; outside the share is 1.
fn outside_strip(n: u64, m: u64, g: u64, h: u64) -> Option<f64> {
    let (step, height) = (m / g, n / g);
    let upper = |i: u64| (step * i + h).div_ceil(height).min(m + 1);
    let lower = |i: u64| (step * i).checked_sub(h).map_or(0, |x| x / height + 1);
    let inverse: Vec<f64> = (0..=n + m).map(|k| 1.0 / k.max(1) as f64).collect();
    // One column of the lattice. The strip only rises, so what lies above it is still 1 from the
    // start, and what lies below it isn't read again.
    let mut column = vec![1.0; usize::try_from(m + 1).ok()?];
    column.get_mut(..usize::try_from(upper(0)).ok()?)?.fill(0.0);
    for i in 1..=n {
        let (low, high) = (lower(i), upper(i));
        if low >= high {
            return Some(1.0);
        }
        let (from, to) = (usize::try_from(low).ok()?, usize::try_from(high).ok()?);
        let at = usize::try_from(i).ok()?;
        let points = column.get_mut(from..to)?;
        let inverses = inverse.get(at + from..at + to)?;
        let (mut below, mut j) = (1.0, low as f64);
        for (left, inverse) in points.iter_mut().zip(inverses) {
            below = *left * (i as f64 * inverse) + below * (j * inverse);
            *left = below;
            j += 1.0;
        }
    }
    column.last().copied()
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
