//! From scores to probabilities: isotonic regression or Platt's sigmoid, fitted on labelled rows.

use caisson_stats::rng::Rng;
use serde::{Deserialize, Serialize};

use crate::answer::Undefined;
use crate::calibration::{BINS, Calibration};

/// Which curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// Any rising one; needs a thousand rows or so.
    Isotonic,
    /// A sigmoid of the score; for few rows.
    Platt,
}

/// Rows that a fit needs: with fewer a curve says nothing.
pub const ROWS_MIN: u64 = 10;
/// Knots of an isotonic curve. A step of less than 1 in 2,000 is below what any calibration resolves.
pub const KNOTS_MAX: usize = 2_000;
/// Newton's method on two parameters needs about ten.
const STEPS_MAX: usize = 100;

/// A fitted curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibrator {
    /// Straight lines between knots (score, probability), both rising.
    Isotonic {
        /// At least one.
        knots: Vec<(f64, f64)>,
    },
    /// `1 / (1 + exp(a score + b))`.
    Platt {
        /// Slope; negative where higher scores are likelier.
        a: f64,
        /// Intercept.
        b: f64,
    },
}

impl Calibrator {
    /// Fit on scores and what happened; rows whose score isn't finite are left out.
    ///
    /// # Errors
    ///
    /// [`Undefined`] for fewer than [`ROWS_MIN`] rows, one label only, or (Platt) a score that is always
    /// the same.
    pub fn fit(curve: Curve, rows: &[(f64, bool)]) -> Result<Self, Undefined> {
        let mut sorted: Vec<(f64, bool)> = rows.iter().copied().filter(|(s, _)| s.is_finite()).collect();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let count = sorted.len() as u64;
        if count < ROWS_MIN {
            return Err(Undefined::TooFew {
                rows: count,
                needed: ROWS_MIN,
            });
        }
        let positives = sorted.iter().filter(|(_, label)| *label).count();
        for (rows, label) in [(positives, "1"), (sorted.len() - positives, "0")] {
            if rows == 0 {
                return Err(Undefined::NoLabel { label: label.into() });
            }
        }
        match curve {
            Curve::Isotonic => Ok(Self::Isotonic {
                knots: isotonic(&sorted),
            }),
            Curve::Platt => platt(&sorted, positives as f64).ok_or(Undefined::Constant),
        }
    }

    /// The probability for a score; `None` for NaN. Scores beyond those of the fit get its first or last
    /// probability (isotonic), or the sigmoid's.
    pub fn probability(&self, score: f64) -> Option<f64> {
        if score.is_nan() {
            return None;
        }
        match self {
            Self::Platt { a, b } => Some(sigmoid(-(a * score + b))),
            Self::Isotonic { knots } => {
                let after = knots.partition_point(|knot| knot.0 < score);
                let below = after.checked_sub(1).and_then(|at| knots.get(at));
                match (below, knots.get(after)) {
                    (Some(below), Some(above)) => {
                        let part = (score - below.0) / (above.0 - below.0);
                        Some(below.1 + (above.1 - below.1) * part)
                    }
                    (only, other) => only.or(other).map(|knot| knot.1),
                }
            }
        }
    }

    /// The expected calibration error on rows that the fit hasn't seen, by cross-validation in five
    /// parts with a seed: how far estimates made with it may be off. Too high rather than too low, since
    /// it holds the noise of its bins.
    ///
    /// # Errors
    ///
    /// As [`Self::fit`], of four fifths of the rows.
    pub fn held_out_error(curve: Curve, rows: &[(f64, bool)], seed: u64) -> Result<f64, Undefined> {
        const PARTS: usize = 5;
        let mut shuffled = rows.to_vec();
        Rng::new(seed).shuffle(&mut shuffled);
        let mut calibration = Calibration::new(BINS);
        for part in 0..PARTS {
            let is_held = |index: usize| index % PARTS == part;
            let (mut held, mut fitted) = (Vec::new(), Vec::new());
            for (index, row) in shuffled.iter().enumerate() {
                if is_held(index) { &mut held } else { &mut fitted }.push(*row);
            }
            let calibrator = Self::fit(curve, &fitted)?;
            for (score, label) in held {
                if let Some(probability) = calibrator.probability(score) {
                    calibration.add(probability, label);
                }
            }
        }
        calibration.expected_error().ok_or(Undefined::TooFew {
            rows: 0,
            needed: ROWS_MIN,
        })
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Pool adjacent violators (M. Ayer and others, 1955), rows of one score as one; the ends of each pool
/// are the knots (as scikit-learn's `IsotonicRegression`). Sorted by score.
fn isotonic(sorted: &[(f64, bool)]) -> Vec<(f64, f64)> {
    struct Pool {
        first: f64,
        last: f64,
        positives: f64,
        rows: f64,
    }
    let mut pools: Vec<Pool> = Vec::new();
    for tie in sorted.chunk_by(|a, b| a.0 == b.0) {
        let Some((score, _)) = tie.first() else {
            continue;
        };
        let mut pool = Pool {
            first: *score,
            last: *score,
            positives: tie.iter().filter(|(_, label)| *label).count() as f64,
            rows: tie.len() as f64,
        };
        while let Some(before) = pools.pop_if(|b| b.positives * pool.rows >= pool.positives * b.rows) {
            pool.first = before.first;
            pool.positives += before.positives;
            pool.rows += before.rows;
        }
        pools.push(pool);
    }
    let ends = |pool: &Pool| {
        let probability = pool.positives / pool.rows;
        let last = (pool.last > pool.first).then_some((pool.last, probability));
        std::iter::once((pool.first, probability)).chain(last)
    };
    let knots: Vec<(f64, f64)> = pools.iter().flat_map(ends).collect();
    let stride = knots.len().div_ceil(KNOTS_MAX).max(1);
    let last = knots.len().saturating_sub(1);
    let kept = |(index, _): &(usize, (f64, f64))| index % stride == 0 || *index == last;
    knots
        .into_iter()
        .enumerate()
        .filter(kept)
        .map(|(_, knot)| knot)
        .collect()
}

/// Platt's sigmoid with his corrected targets (1999), by Newton's method with halved steps (H.-T. Lin,
/// C.-J. Lin and R. C. Weng, 2007). `None` where it doesn't converge: a constant score.
fn platt(sorted: &[(f64, bool)], positives: f64) -> Option<Calibrator> {
    let negatives = sorted.len() as f64 - positives;
    let high = (positives + 1.0) / (positives + 2.0);
    let low = 1.0 / (negatives + 2.0);
    // Scores in units of their range, so that steps are of one size whatever the unit.
    let (first, last) = (sorted.first()?.0, sorted.last()?.0);
    let (centre, unit) = (first / 2.0 + last / 2.0, last / 2.0 - first / 2.0);
    if unit <= 0.0 {
        return None;
    }
    let rows = || {
        let target = |label: bool| if label { high } else { low };
        sorted
            .iter()
            .map(move |(s, label)| ((s - centre) / unit, target(*label)))
    };
    // −ln likelihood of `x` with target `t` under the sigmoid of `−f`, without overflow.
    let loss = |a: f64, b: f64| -> f64 {
        let of = |(x, t): (f64, f64)| {
            let f = a * x + b;
            t * f + (-f).max(0.0) + (-f.abs()).exp().ln_1p()
        };
        rows().map(of).sum()
    };
    let (mut a, mut b) = (0.0, ((negatives + 1.0) / (positives + 1.0)).ln());
    let mut now = loss(a, b);
    for _ in 0..STEPS_MAX {
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, 1e-12, 0.0, 1e-12);
        for (x, t) in rows() {
            let p = sigmoid(-(a * x + b));
            let (gap, spread) = (t - p, p * (1.0 - p));
            ga += x * gap;
            gb += gap;
            haa += x * x * spread;
            hab += x * spread;
            hbb += spread;
        }
        let determinant = haa * hbb - hab * hab;
        let (da, db) = (
            (hab * gb - hbb * ga) / determinant,
            (hab * ga - haa * gb) / determinant,
        );
        let slope = ga * da + gb * db;
        if slope > -1e-14 * now.abs().max(1.0) {
            // In the scores' own unit.
            return Some(Calibrator::Platt {
                a: a / unit,
                b: b - a * centre / unit,
            });
        }
        let mut step = 1.0;
        loop {
            let next = loss(a + step * da, b + step * db);
            if next <= now + 1e-4 * step * slope {
                (a, b, now) = (a + step * da, b + step * db, next);
                break;
            }
            step /= 2.0;
            if step < 1e-10 {
                // No step is downhill by more than rounding.
                return Some(Calibrator::Platt {
                    a: a / unit,
                    b: b - a * centre / unit,
                });
            }
        }
    }
    None
}
