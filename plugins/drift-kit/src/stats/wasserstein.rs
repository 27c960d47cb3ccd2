//! The first Wasserstein distance of two samples, and a permutation test for it.
//!
//! `W = ∫ |F(x) − G(x)| dx` over the empirical distribution functions: the mean distance that a
//! value has to travel to turn one sample into the other, in the column's own unit
//! (`scipy.stats.wasserstein_distance`).

use crate::numbers::{magnitude, thin};
use crate::rng::Rng;
use crate::stats::tail::gamma_sf;

/// Random relabellings of the permutation test. The tail beyond what they resolve is that of the
/// gamma distribution with their mean and variance (as in T. A. Knijnenburg et al.,
/// *Fewer permutations, more accurate P-values*, Bioinformatics 25, 2009).
const PERMUTATIONS: u32 = 199;
/// Relabellings at least as large as the observed distance below which the tail is extrapolated.
const EXCEEDANCES_MIN: u32 = 10;
/// Values of both samples together that are relabelled. Larger samples are thinned by rank and the
/// null distances scaled by the square root of the effective sample sizes, which is how they shrink;
/// keeps the test at a few milliseconds.
const PERMUTED_VALUES_MAX: usize = 8_192;

/// `W` of two sorted samples of finite numbers; 0 if either is empty. At most `f64::MAX`.
pub fn wasserstein_distance(reference: &[f64], current: &[f64]) -> f64 {
    let Some(scale) = scale(reference, current) else {
        return 0.0;
    };
    (scaled_distance(reference, current, scale) * scale).min(f64::MAX)
}

/// `W` divided by the scale of the samples.
fn scaled_distance(reference: &[f64], current: &[f64], scale: f64) -> f64 {
    let (n, m) = (reference.len() as f64, current.len() as f64);
    let (mut a, mut b) = (reference.iter().peekable(), current.iter().peekable());
    let (mut below_a, mut below_b) = (0.0, 0.0);
    let mut previous: Option<f64> = None;
    let mut area = 0.0;
    loop {
        let (from_a, value) = match (a.peek(), b.peek()) {
            (Some(&&x), Some(&&y)) => (x <= y, x.min(y)),
            (Some(&&x), None) => (true, x),
            (None, Some(&&y)) => (false, y),
            (None, None) => return area,
        };
        let value = value / scale;
        if let Some(previous) = previous {
            area += (below_a / n - below_b / m).abs() * (value - previous);
        }
        previous = Some(value);
        if from_a {
            a.next();
            below_a += 1.0;
        } else {
            b.next();
            below_b += 1.0;
        }
    }
}

/// What values are divided by, so that the difference of two huge ones doesn't overflow; `None` where
/// all are 0 or a sample is empty.
fn scale(reference: &[f64], current: &[f64]) -> Option<f64> {
    let ends = [
        reference.first()?,
        reference.last()?,
        current.first()?,
        current.last()?,
    ];
    let largest = ends.into_iter().fold(0.0f64, |largest, v| largest.max(v.abs()));
    (largest > 0.0).then(|| magnitude(largest))
}

/// Probability of a distance at least this large if both samples came from one distribution.
/// 1 if either is empty or all values are equal. Deterministic: the relabellings come from a fixed
/// seed.
///
/// `full` are the numbers of values that the two samples stand for, where they are sketches.
pub fn wasserstein_p_value(reference: &[f64], current: &[f64], full: (u64, u64)) -> f64 {
    let Some(scale) = scale(reference, current) else {
        return 1.0;
    };
    let observed = scaled_distance(reference, current, scale);
    let (n, m) = (full.0 as f64, full.1 as f64);
    // Thin both to the same share, at least two values each.
    let share = (PERMUTED_VALUES_MAX as f64 / (reference.len() + current.len()) as f64).min(1.0);
    let kept = |sample: &[f64]| ((sample.len() as f64 * share) as usize).max(2).min(sample.len());
    let (a, b) = (thin(reference, kept(reference)), thin(current, kept(current)));
    let shrink = (effective(a.len() as f64, b.len() as f64) / effective(n, m)).sqrt();
    let gaps = gaps(&a, &b, scale);
    let mut rng = Rng::new(SEED);
    let (mut sum, mut squares, mut exceedances) = (0.0, 0.0, 0u32);
    for _ in 0..PERMUTATIONS {
        let distance = relabelled(&gaps, a.len(), b.len(), &mut rng) * shrink;
        sum += distance;
        squares += distance * distance;
        // A relabelling that gives the same split again must count in spite of rounding.
        exceedances += u32::from(distance >= observed * (1.0 - 1e-12));
    }
    let count = f64::from(PERMUTATIONS);
    let counted = (f64::from(exceedances) + 1.0) / (count + 1.0);
    let mean = sum / count;
    let variance = squares / count - mean * mean;
    if exceedances >= EXCEEDANCES_MIN || variance.is_nan() || variance <= 0.0 {
        return counted;
    }
    gamma_sf(observed * mean / variance, mean * mean / variance).min(counted)
}

/// Any fixed number.
const SEED: u64 = 0x5741_5353;

fn effective(n: f64, m: f64) -> f64 {
    n * m / (n + m)
}

/// Distances between neighbours of the pooled, sorted sample, divided by `scale`.
fn gaps(a: &[f64], b: &[f64], scale: f64) -> Vec<f64> {
    let mut pooled: Vec<f64> = a.iter().chain(b).map(|v| v / scale).collect();
    pooled.sort_unstable_by(f64::total_cmp);
    let next = pooled.iter().skip(1);
    pooled.iter().zip(next).map(|(x, y)| y - x).collect()
}

/// The distance after the labels were dealt out anew.
fn relabelled(gaps: &[f64], n: usize, m: usize, rng: &mut Rng) -> f64 {
    let (size_a, size_b) = (n as f64, m as f64);
    let (mut left_a, mut left_all) = (n as u64, (n + m) as u64);
    // F − G after the values so far; each value moves it by one step of its own sample.
    let mut difference = 0.0f64;
    let mut area = 0.0;
    for gap in gaps {
        if rng.below(left_all) < left_a {
            left_a -= 1;
            difference += 1.0 / size_a;
        } else {
            difference -= 1.0 / size_b;
        }
        left_all -= 1;
        area += difference.abs() * gap;
    }
    area
}
