//! Intervals by resampling with a seed, for statistics whose spread has no formula.

use crate::interval::{Interval, Method};
use crate::rng::Rng;
use crate::tail::{normal_quantile, normal_sf};

/// How much resampling may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resampling {
    /// Resamples, from [`REPLICATES_MIN`] to [`REPLICATES_MAX`].
    pub replicates: usize,
    /// The same seed and rows give the same interval.
    pub seed: u64,
}

/// A 95 % interval needs the 2.5 % quantile: fewer resamples have five beyond it.
pub const REPLICATES_MIN: usize = 200;
/// More change the third digit of the ends, for ten times the time.
pub const REPLICATES_MAX: usize = 10_000;
/// Rows drawn in all: about a second. Resamples are fewer where rows are many.
pub const DRAWS_MAX: usize = 20_000_000;

impl Default for Resampling {
    fn default() -> Self {
        Self {
            replicates: 1000,
            seed: 1,
        }
    }
}

impl Resampling {
    /// Resamples of so many rows that stay within the limits.
    fn affordable(self, rows: usize) -> usize {
        let budget = DRAWS_MAX / rows.max(1);
        self.replicates.min(budget).clamp(REPLICATES_MIN, REPLICATES_MAX)
    }
}

/// The interval of `statistic(rows)`, where rows are given as indices below `rows`: bias-corrected and
/// accelerated (B. Efron, 1987) where the rows are at most [`JACKKNIFE_ROWS_MAX`], else corrected for
/// bias alone. Resamples of which the statistic doesn't exist (one label only) are left out; `None`
/// where those are more than half, or where all resamples agree.
///
/// Of more than `DRAWS_MAX / REPLICATES_MIN` rows, so many are resampled out of all, and the interval
/// is narrowed by the root of the ratio (m out of n).
pub fn interval(
    rows: usize,
    level: f64,
    resampling: Resampling,
    statistic: impl Fn(&[usize]) -> Option<f64>,
) -> Option<Interval> {
    let all: Vec<usize> = (0..rows).collect();
    let value = statistic(&all)?;
    let drawn = rows.min(DRAWS_MAX / REPLICATES_MIN);
    let mut rng = Rng::new(resampling.seed);
    let mut sample = vec![0; drawn];
    let mut found = Vec::new();
    let replicates = resampling.affordable(drawn);
    for _ in 0..replicates {
        sample.fill_with(|| rng.below(rows as u64) as usize);
        found.extend(statistic(&sample).filter(|found| found.is_finite()));
    }
    found.sort_unstable_by(f64::total_cmp);
    let (first, last) = (*found.first()?, *found.last()?);
    if found.len() * 2 < replicates || first == last {
        return None;
    }
    let acceleration = if rows <= JACKKNIFE_ROWS_MAX {
        acceleration(&all, &statistic)
    } else {
        0.0
    };
    let below = found.partition_point(|&f| f < value);
    let equal = found.partition_point(|&f| f <= value) - below;
    // Half of those that are equal count as below; held off the ends, where it would be infinite.
    let count = found.len() as f64;
    let share = (below as f64 + equal as f64 / 2.0).clamp(0.5, count - 0.5) / count;
    let bias = normal_quantile(share);
    let end = |p: f64| {
        let z = bias + normal_quantile(p);
        let shifted = bias + z / (1.0 - acceleration * z);
        quantile(&found, 1.0 - normal_sf(shifted))
    };
    let narrowed = (drawn as f64 / rows as f64).sqrt();
    let scale = |end: f64| value + (end - value) * narrowed;
    Some(Interval {
        low: scale(end((1.0 - level) / 2.0)),
        high: scale(end((1.0 + level) / 2.0)),
        level,
        method: Method::Bootstrap,
    })
}

/// The jackknife costs a statistic a row.
pub const JACKKNIFE_ROWS_MAX: usize = 1000;

/// Efron's acceleration: the skewness of the statistic without each row in turn, over six.
fn acceleration(all: &[usize], statistic: impl Fn(&[usize]) -> Option<f64>) -> f64 {
    let mut rest = all.to_vec();
    let mut without = Vec::with_capacity(all.len());
    for place in 0..all.len() {
        rest.clear();
        rest.extend(all.iter().take(place).chain(all.iter().skip(place + 1)));
        without.extend(statistic(&rest));
    }
    let mean = without.iter().sum::<f64>() / (without.len() as f64).max(1.0);
    let sum = |power: i32| without.iter().map(|v| (mean - v).powi(power)).sum::<f64>();
    let spread = sum(2).powf(1.5);
    if spread > 0.0 {
        sum(3) / (6.0 * spread)
    } else {
        0.0
    }
}

/// The `p` quantile of a sorted sample, between neighbours by their distance
/// (`numpy.quantile(…, method="linear")`). 0 of none.
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    let place = p.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let lower = sorted.get(place as usize).copied().unwrap_or(0.0);
    let upper = sorted.get(place as usize + 1).copied().unwrap_or(lower);
    let part = place.fract();
    if part == 0.0 {
        lower
    } else {
        lower + (upper - lower) * part
    }
}

/// One-sided p-value for a statistic being no larger in a second sample than in a first one, from the
/// difference of seeded resamples of each (second less first), with `(k + 1) / (n + 1)` so that it is
/// never 0. `None` where the statistic exists for fewer than half of the resamples.
pub fn rise_p_value(
    rows: (usize, usize),
    resampling: Resampling,
    first: impl Fn(&[usize]) -> Option<f64>,
    second: impl Fn(&[usize]) -> Option<f64>,
) -> Option<f64> {
    let mut rng = Rng::new(resampling.seed);
    let (mut a, mut b) = (vec![0; rows.0], vec![0; rows.1]);
    let replicates = resampling.affordable(rows.0 + rows.1);
    let (mut found, mut fell) = (0usize, 0.0);
    for _ in 0..replicates {
        a.fill_with(|| rng.below(rows.0 as u64) as usize);
        b.fill_with(|| rng.below(rows.1 as u64) as usize);
        if let (Some(before), Some(after)) = (first(&a), second(&b)) {
            found += 1;
            fell += if after < before {
                1.0
            } else if after == before {
                0.5
            } else {
                0.0
            };
        }
    }
    (found * 2 >= replicates).then(|| (fell + 1.0) / (found as f64 + 1.0))
}
