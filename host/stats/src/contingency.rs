//! Tests on counts: do two samples fall into the same categories at the same rates?

use statrs::function::gamma::ln_gamma;

use crate::tail::{chi_square_sf, normal_sf};

/// Expected rows a cell below which the chi-square approximation is poor (W. G. Cochran, *Some
/// methods for strengthening the common χ² tests*, 1954).
pub const EXPECTED_ROWS_MIN: f64 = 5.0;

/// Pearson's test of homogeneity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquare {
    /// `Σ (observed − expected)² / expected`, without Yates' correction.
    pub statistic: f64,
    /// One less than the categories that have a row in either sample.
    pub dof: usize,
    /// Upper tail; 1 where there is no degree of freedom.
    pub p_value: f64,
    /// Cramér's V, `√(statistic / rows)` for a table of two rows: 0 for equal rates, 1 for samples
    /// that share no category, whatever the number of rows.
    pub cramers_v: f64,
}

/// Compare two lists of counts, one for each category in the same order
/// (`scipy.stats.chi2_contingency(…, correction=False)`). Categories without a row in either are
/// left out; an empty sample gives a statistic of 0.
pub fn chi_square(reference: &[u64], current: &[u64]) -> ChiSquare {
    let (n, m): (u64, u64) = (reference.iter().sum(), current.iter().sum());
    if n == 0 || m == 0 {
        return ChiSquare {
            statistic: 0.0,
            dof: 0,
            p_value: 1.0,
            cramers_v: 0.0,
        };
    }
    let (n, m) = (n as f64, m as f64);
    let (mut statistic, mut categories) = (0.0, 0usize);
    for (&a, &b) in reference.iter().zip(current).filter(|(a, b)| **a + **b > 0) {
        let (a, b) = (a as f64, b as f64);
        let (expected_a, expected_b) = ((a + b) * n / (n + m), (a + b) * m / (n + m));
        statistic += (a - expected_a).powi(2) / expected_a + (b - expected_b).powi(2) / expected_b;
        categories += 1;
    }
    let dof = categories.saturating_sub(1);
    ChiSquare {
        statistic,
        dof,
        p_value: chi_square_sf(statistic, dof),
        cramers_v: (statistic / (n + m)).sqrt().min(1.0),
    }
}

/// Is a difference between two lists of counts chance, and how large is it? As [`chi_square`], for
/// counts of which some are small.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Homogeneity {
    /// Pearson's statistic over the categories, the rare ones as one.
    pub statistic: f64,
    /// P-value that holds where rows are few; see [`homogeneity`].
    pub p_value: f64,
    /// Cramér's V of a table in which both samples weigh the same, `√(½ Σ (p − q)² / (p + q))`:
    /// unlike that of the table itself it doesn't shrink where a small window meets a large
    /// reference. The same for samples of equal size.
    pub effect: f64,
}

/// Compare two lists of counts, one for each category in the same order.
///
/// Categories of fewer than [`EXPECTED_ROWS_MIN`] expected rows in either sample are put into one,
/// so that many rare categories together still count. Where that one is still too small for the
/// chi-square approximation, the p-value is twice the smaller (Bonferroni) of that of the common
/// categories and that of [`two_proportions_p_value`] for the rare ones' share.
pub fn homogeneity(reference: &[u64], current: &[u64]) -> Homogeneity {
    let (n, m): (u64, u64) = (reference.iter().sum(), current.iter().sum());
    let smaller = n.min(m) as f64 / ((n + m) as f64).max(1.0);
    let is_common = |a: u64, b: u64| (a + b) as f64 * smaller >= EXPECTED_ROWS_MIN;
    let (mut common_a, mut common_b, mut rare) = (Vec::new(), Vec::new(), (0, 0));
    for (&a, &b) in reference.iter().zip(current) {
        if is_common(a, b) {
            common_a.push(a);
            common_b.push(b);
        } else {
            rare = (rare.0 + a, rare.1 + b);
        }
    }
    let common = chi_square(&common_a, &common_b);
    common_a.push(rare.0);
    common_b.push(rare.1);
    let all = chi_square(&common_a, &common_b);
    let p_value = if rare == (0, 0) || is_common(rare.0, rare.1) {
        all.p_value
    } else {
        let p = two_proportions_p_value(rare.0, n, rare.1, m);
        if common.dof == 0 {
            p
        } else {
            (2.0 * p.min(common.p_value)).min(1.0)
        }
    };
    Homogeneity {
        statistic: all.statistic,
        p_value,
        effect: balanced_v(&common_a, &common_b),
    }
}

fn balanced_v(reference: &[u64], current: &[u64]) -> f64 {
    let (n, m): (u64, u64) = (reference.iter().sum(), current.iter().sum());
    if n == 0 || m == 0 {
        return 0.0;
    }
    let pairs = reference.iter().zip(current).filter(|(a, b)| **a + **b > 0);
    let terms = pairs.map(|(&a, &b)| {
        let (p, q) = (a as f64 / n as f64, b as f64 / m as f64);
        (p - q).powi(2) / (p + q)
    });
    (terms.sum::<f64>() / 2.0).sqrt().min(1.0)
}

/// Two-sided p-value for two shares being the same, `a` of `n` and `b` of `m` rows: the pooled
/// two-proportion z-test where every expected count is at least [`EXPECTED_ROWS_MIN`], else Fisher's
/// exact test. 1 if either sample is empty. `a <= n`, `b <= m`.
pub fn two_proportions_p_value(a: u64, n: u64, b: u64, m: u64) -> f64 {
    if n == 0 || m == 0 {
        return 1.0;
    }
    let total = (n + m) as f64;
    let pooled = (a + b) as f64 / total;
    let expected = n.min(m) as f64 * pooled.min(1.0 - pooled);
    if expected < EXPECTED_ROWS_MIN {
        return fisher_p_value(a, n, b, m);
    }
    let (n, m) = (n as f64, m as f64);
    let error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    (2.0 * normal_sf((a as f64 / n - b as f64 / m).abs() / error)).min(1.0)
}

/// One-sided p-value for the second share being no larger than the first, `a` of `n` and `b` of `m`
/// rows: small where `b / m` is larger than chance explains. The pooled z-test or Fisher's exact test,
/// as in [`two_proportions_p_value`]. 1 if either sample is empty. `a <= n`, `b <= m`.
pub fn proportion_rise_p_value(a: u64, n: u64, b: u64, m: u64) -> f64 {
    if n == 0 || m == 0 {
        return 1.0;
    }
    let pooled = (a + b) as f64 / (n + m) as f64;
    if n.min(m) as f64 * pooled.min(1.0 - pooled) < EXPECTED_ROWS_MIN {
        return fisher_rise_p_value(a, n, b, m);
    }
    let (n, m) = (n as f64, m as f64);
    let error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    normal_sf((b as f64 / m - a as f64 / n) / error)
}

/// The probability of a table with the same margins in which the second sample has at least `b`
/// (`scipy.stats.fisher_exact`, one-sided).
fn fisher_rise_p_value(a: u64, n: u64, b: u64, m: u64) -> f64 {
    let marked = a + b;
    let tail = |from: u64, to: u64| (from..=to).map(|k| hypergeometric(k, m, n, marked)).sum::<f64>();
    // Sum whichever side has fewer terms: few rows are marked, or few are not.
    let (least, most) = (marked.saturating_sub(n), marked.min(m));
    if most - b <= b.saturating_sub(least) {
        tail(b, most).min(1.0)
    } else if b == least {
        1.0
    } else {
        (1.0 - tail(least, b - 1)).clamp(0.0, 1.0)
    }
}

/// Probability that `k` of `marked` draws without replacement come from a first group of `n` rows,
/// the others from a second of `m`.
fn hypergeometric(k: u64, n: u64, m: u64, marked: u64) -> f64 {
    let ln_choose = |n: u64, k: u64| {
        let (n, k) = (n as f64, k as f64);
        ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
    };
    (ln_choose(n, k) + ln_choose(m, marked - k) - ln_choose(n + m, marked)).exp()
}

/// Fisher's exact test (`scipy.stats.fisher_exact`, two-sided): the probability of all tables with
/// the same margins that are at most as likely as this one.
fn fisher_p_value(a: u64, n: u64, b: u64, m: u64) -> f64 {
    // By symmetry, count whichever outcome is the rarer: the sum has that many terms.
    let (a, b) = if (a + b) * 2 > n + m {
        (n - a, m - b)
    } else {
        (a, b)
    };
    let marked = a + b;
    let probability = |k: u64| hypergeometric(k, n, m, marked);
    // Equally likely tables may differ by rounding.
    let observed = probability(a) * (1.0 + 1e-7);
    (marked.saturating_sub(m)..=marked.min(n))
        .map(probability)
        .filter(|&p| p <= observed)
        .sum::<f64>()
        .min(1.0)
}
