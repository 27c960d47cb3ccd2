//! Numbers of one feature: quantiles, bins, and a summary to say in words what moved.
//!
//! Samples are sorted and hold no NaN. Infinite values keep their place in the order and are left
//! out of means and deviations.

use serde::{Deserialize, Serialize};

use crate::rates::share;
use crate::stats::ks::EXACT_ROWS_MAX;
use crate::words::{percent, short};

/// A quantile by linear interpolation between the two nearest values (`numpy.quantile`). `None` for
/// an empty sample.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = q.clamp(0.0, 1.0) * last as f64;
    let lower = position.floor();
    let weight = position - lower;
    let a = *sorted.get(lower as usize)?;
    let b = *sorted.get((lower as usize + 1).min(last))?;
    let step = b - a;
    Some(if a == b || weight == 0.0 {
        a
    } else if !step.is_finite() {
        // Opposite ends of the doubles, or infinite: no way between them but to choose one.
        if weight < 0.5 { a } else { b }
    } else if weight < 0.5 {
        a + step * weight
    } else {
        b - step * (1.0 - weight)
    })
}

/// `kept` values of a sorted sample that stand for all of it: each from the middle of its share by
/// rank, so that the distribution functions differ by at most `1 / (2 kept)` plus one value's share.
/// The whole sample where it is no larger.
pub fn thin(sorted: &[f64], kept: usize) -> Vec<f64> {
    if kept >= sorted.len() {
        return sorted.to_vec();
    }
    let step = sorted.len() as f64 / kept as f64;
    (0..kept)
        .filter_map(|i| sorted.get(((i as f64 + 0.5) * step) as usize).copied())
        .collect()
}

/// Edges of about `bins` bins that hold equal shares of a sorted sample: its quantiles, without
/// repetition.
///
/// Value `v` is in bin `i` where `edges[i − 1] <= v < edges[i]`; the first and last bin are open, so
/// every value has a bin. A value that alone fills more than one bin's share gets a bin of its own
/// (an edge at the value and one right above it), so a constant column has three: below, equal,
/// above. No edge where the sample is empty.
pub fn quantile_edges(sorted: &[f64], bins: usize) -> Vec<f64> {
    let mut edges: Vec<f64> = Vec::new();
    for i in 1..bins {
        let Some(edge) = quantile(sorted, i as f64 / bins as f64) else {
            return edges;
        };
        if edges.last().is_none_or(|&last| last < edge) {
            edges.push(edge);
        } else {
            continue;
        }
        let above = edge.next_up();
        let equal = below(sorted, above) - below(sorted, edge);
        if above > edge && equal as f64 * bins as f64 > sorted.len() as f64 {
            edges.push(above);
        }
    }
    edges
}

/// Rows of a sorted sample in each bin between ascending edges: one more than there are edges.
pub fn count_bins(sorted: &[f64], edges: &[f64]) -> Vec<u64> {
    let ends = edges
        .iter()
        .map(|&edge| below(sorted, edge))
        .chain([sorted.len()]);
    ends.scan(0, |start, end| {
        let count = end.saturating_sub(*start);
        *start = end;
        Some(count as u64)
    })
    .collect()
}

/// Number of values below `limit`.
fn below(sorted: &[f64], limit: f64) -> usize {
    sorted.partition_point(|&v| v < limit)
}

/// Mean and standard deviation (divided by the count) of the finite values; 0 and 0 where there is
/// none.
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    // Divided by their magnitude first: squares of huge and tiny values stay in range.
    let largest = finite().fold(0.0f64, |largest, v| largest.max(v.abs()));
    if largest == 0.0 {
        return (0.0, 0.0);
    }
    let scale = magnitude(largest);
    let count = finite().count() as f64;
    let mean = finite().map(|v| v / scale).sum::<f64>() / count;
    let variance = finite().map(|v| (v / scale - mean).powi(2)).sum::<f64>() / count;
    // A constant sample has no deviation, whatever rounding says.
    let constant = finite().zip(finite().skip(1)).all(|(a, b)| a == b);
    let deviation = if constant { 0.0 } else { variance.sqrt() };
    (mean * scale, deviation * scale)
}

/// Values that a sketch of a sample keeps: as many as there may be for an exact p-value, so that a
/// thinned sketch only ever meets the asymptotic one; 80 KB a feature. Thinning moves the
/// distribution function by at most 1/20,000, a tenth of what a sample of this size leaves to
/// chance.
pub const SKETCH_VALUES_MAX: usize = EXACT_ROWS_MAX as usize;

/// A sample, thinned where it is large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberSketch {
    /// Values that it stands for.
    pub count: u64,
    /// All values or [`SKETCH_VALUES_MAX`] of them, sorted.
    pub values: Vec<f64>,
    /// Of all values.
    pub summary: Summary,
}

impl NumberSketch {
    /// Sketch a sorted sample.
    pub fn of(sorted: &[f64]) -> Self {
        Self {
            count: sorted.len() as u64,
            values: thin(sorted, SKETCH_VALUES_MAX),
            summary: Summary::of(sorted),
        }
    }

    /// May this have come from [`Self::of`]?
    pub fn is_sound(&self) -> bool {
        self.values.len() as u64 == self.count.min(SKETCH_VALUES_MAX as u64)
            && self.values.iter().all(|v| !v.is_nan())
            && self.values.is_sorted()
            && self.summary.is_sound()
    }
}

/// The power of two at or below a positive number: to divide by it changes no digit. The smallest
/// normal double for anything below that.
pub fn magnitude(x: f64) -> f64 {
    const EXPONENT: u64 = 0x7ff0_0000_0000_0000;
    f64::from_bits(x.to_bits() & EXPONENT).max(f64::MIN_POSITIVE)
}

/// What a report says of the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Mean of the finite values.
    pub mean: f64,
    /// Standard deviation of the finite values.
    pub deviation: f64,
    /// The 10th and 90th percentile.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// Share of the values below `low`.
    pub below: f64,
    /// Share of the values above `high`.
    pub above: f64,
}

impl Summary {
    /// Of a sorted sample; all 0 where it is empty.
    pub fn of(sorted: &[f64]) -> Self {
        let (mean, deviation) = mean_and_deviation(sorted);
        let low = quantile(sorted, 0.1).unwrap_or_default();
        let high = quantile(sorted, 0.9).unwrap_or_default();
        let (below, above) = outside(sorted, low, high);
        Self {
            mean,
            deviation,
            low,
            high,
            below,
            above,
        }
    }

    /// No NaN?
    pub fn is_sound(&self) -> bool {
        let all = [
            self.mean,
            self.deviation,
            self.low,
            self.high,
            self.below,
            self.above,
        ];
        all.iter().all(|v| !v.is_nan())
    }

    /// How a sorted sample stands to this reference, in words.
    pub fn compare(&self, current: &[f64]) -> String {
        let (mean, deviation) = mean_and_deviation(current);
        let mut text = format!(
            "mean {} → {}, standard deviation {} → {}",
            short(self.mean),
            short(mean),
            short(self.deviation),
            short(deviation)
        );
        let (below, above) = outside(current, self.low, self.high);
        let (more_below, more_above) = ((below - self.below).abs(), (above - self.above).abs());
        let (now, before, tail) = if more_above >= more_below {
            (
                above,
                self.above,
                format!("above {}, the reference's 90th percentile", short(self.high)),
            )
        } else {
            (
                below,
                self.below,
                format!("below {}, the reference's 10th percentile", short(self.low)),
            )
        };
        // Less than a point is no news.
        if more_below.max(more_above) >= 0.01 {
            text.push_str(&format!("; {} → {} {tail}", percent(before), percent(now)));
        }
        text
    }
}

fn outside(sorted: &[f64], low: f64, high: f64) -> (f64, f64) {
    let all = sorted.len() as u64;
    let above = sorted.len() - sorted.partition_point(|&v| v <= high);
    (share(below(sorted, low) as u64, all), share(above as u64, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(section: &str, text: &str) -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(text).unwrap()[section].clone()
    }

    fn numbers(value: &serde_json::Value) -> Vec<f64> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect()
    }

    fn sorted(value: &serde_json::Value) -> Vec<f64> {
        let mut values = numbers(value);
        values.sort_by(f64::total_cmp);
        values
    }

    #[test]
    fn quantiles_agree_with_numpy() {
        let case = reference("quantiles", include_str!("../reference/more.json"));
        let sample = sorted(&case["values"]);
        for (q, expected) in numbers(&case["at"]).into_iter().zip(numbers(&case["quantiles"])) {
            let found = quantile(&sample, q).unwrap();
            assert!(
                (found - expected).abs() < 1e-14 * expected,
                "{q}: {found} instead of {expected}"
            );
        }
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(
            quantile(&[f64::NEG_INFINITY, f64::INFINITY], 0.5),
            Some(f64::INFINITY)
        );
        assert_eq!(quantile(&[-f64::MAX, f64::MAX], 0.25), Some(-f64::MAX));
        assert_eq!(quantile(&[f64::INFINITY; 3], 0.3), Some(f64::INFINITY));
    }

    #[test]
    fn edges_and_counts_agree_with_the_reference_values() {
        let cases = reference("psi", include_str!("../reference/stats.json"));
        for case in cases.as_array().unwrap() {
            let (a, b) = (sorted(&case["reference"]), sorted(&case["current"]));
            let edges = quantile_edges(&a, 10);
            for (found, expected) in edges.iter().zip(numbers(&case["inner_edges_right_open"])) {
                assert!((found - expected).abs() < 1e-14, "{found} instead of {expected}");
            }
            assert_eq!(edges.len(), 9);
            let whole = |key: &str| -> Vec<u64> {
                case[key]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|v| v.as_u64().unwrap())
                    .collect()
            };
            assert_eq!(count_bins(&a, &edges), whole("reference_counts"));
            assert_eq!(count_bins(&b, &edges), whole("current_counts"));
        }
    }

    #[test]
    fn a_value_that_fills_more_than_a_bin_has_its_own() {
        let constant = quantile_edges(&[5.0; 40], 10);
        assert_eq!(count_bins(&[5.0; 40], &constant), [0, 40, 0]);
        assert_eq!(count_bins(&[4.0, 5.0, 5.0, 6.0, 6.0, 6.0], &constant), [1, 2, 3]);
        // 60 % zeros, then 1 to 40.
        let mut inflated = vec![0.0; 60];
        inflated.extend((1..=40).map(f64::from));
        let edges = quantile_edges(&inflated, 10);
        let counts = count_bins(&inflated, &edges);
        assert_eq!((counts[0], counts[1]), (0, 60));
        assert_eq!(counts.iter().sum::<u64>(), 100);
        assert_eq!(count_bins(&[1e-300], &edges)[2], 1);
        assert!(quantile_edges(&[], 10).is_empty());
        assert_eq!(count_bins(&[1.0, 2.0], &[]), [2]);
        // Infinity has no value above it.
        assert_eq!(quantile_edges(&[f64::INFINITY; 9], 4), [f64::INFINITY]);
    }

    #[test]
    fn means_and_deviations_stay_in_range() {
        assert_eq!(mean_and_deviation(&[]), (0.0, 0.0));
        assert_eq!(mean_and_deviation(&[0.1; 30]).1, 0.0);
        let (mean, deviation) = mean_and_deviation(&[-f64::MAX, f64::MAX]);
        assert_eq!((mean, deviation), (0.0, f64::MAX));
        assert_eq!(
            mean_and_deviation(&[1.0, 2.0, 6.0]),
            (3.0, (14.0f64 / 3.0).sqrt())
        );
        let (mean, deviation) = mean_and_deviation(&[1e-310, 3e-310, f64::INFINITY]);
        assert!((mean / 2e-310 - 1.0).abs() < 1e-9 && (deviation / 1e-310 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn magnitudes_are_powers_of_two() {
        let cases = [
            (1.0, 1.0),
            (3.9, 2.0),
            (0.3, 0.25),
            (f64::MAX, 2f64.powi(1023)),
            (5e-324, f64::MIN_POSITIVE),
        ];
        for (x, expected) in cases {
            assert_eq!(magnitude(x), expected);
        }
    }

    #[test]
    fn thinning_keeps_the_distribution() {
        let sample: Vec<f64> = (0..25_000).map(f64::from).collect();
        let kept = thin(&sample, 10_000);
        assert_eq!(kept.len(), 10_000);
        assert!(kept.is_sorted());
        assert!(crate::stats::ks::ks_statistic(&sample, &kept) <= 0.5e-4 + 1.0 / 25_000.0);
        assert_eq!(thin(&sample, 25_000), sample);
    }

    #[test]
    fn words_say_which_tail_moved() {
        let reference: Vec<f64> = (0..100).map(f64::from).collect();
        let summary = Summary::of(&reference);
        let up: Vec<f64> = (20..120).map(f64::from).collect();
        assert_eq!(
            summary.compare(&up),
            "mean 49.5 → 69.5, standard deviation 28.87 → 28.87; \
             10 % → 30 % above 89.1, the reference's 90th percentile"
        );
        assert_eq!(
            summary.compare(&reference),
            "mean 49.5 → 49.5, standard deviation 28.87 → 28.87"
        );
    }
}
