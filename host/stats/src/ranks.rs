//! Samples of two labels in the order of their scores: what ROC and precision–recall curves hold.
//!
//! A [`Tie`] is all rows of one score, or of one bin of scores. Rows weigh 1, or a fraction where the
//! label itself is only probable. So one set of formulas serves exact scores, binned ones and
//! estimates without labels.

use statrs::function::gamma::digamma;

use crate::interval::{Interval, Method, logit};

/// The rows of one score, or of one bin of neighbouring scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tie {
    /// Weight of the rows with the positive label.
    pub positives: f64,
    /// Weight of the others.
    pub negatives: f64,
}

/// Gather rows of equal score, lowest score first. Scores are not NaN.
pub fn ties(scored: &[(f64, bool)]) -> Vec<Tie> {
    let mut sorted = scored.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let gather = |tie: &[(f64, bool)]| {
        let positives = tie.iter().filter(|(_, label)| *label).count() as f64;
        Tie {
            positives,
            negatives: tie.len() as f64 - positives,
        }
    };
    sorted.chunk_by(|a, b| a.0 == b.0).map(gather).collect()
}

/// Weights of the positive and of the negative rows.
pub fn totals(ties: &[Tie]) -> (f64, f64) {
    ties.iter().fold((0.0, 0.0), |(positives, negatives), tie| {
        (positives + tie.positives, negatives + tie.negatives)
    })
}

/// The area under the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Probability that a random positive scores above a random negative, ties counting half.
    pub area: f64,
    /// Variance of `area` by E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson (1988). `None` where
    /// either label has fewer than two rows.
    pub variance: Option<f64>,
    /// Pairs of a positive and a negative in the same tie, halved, as a share of all pairs. Where ties
    /// are bins, `area` is within this of the area of the scores themselves.
    pub tied: f64,
    /// Rows of the rarer label.
    pub rarer: f64,
}

impl Area {
    /// Of ties, lowest score first. `None` where one of the labels is absent.
    pub fn new(ties: &[Tie]) -> Option<Self> {
        let (positives, negatives) = totals(ties);
        if positives <= 0.0 || negatives <= 0.0 {
            return None;
        }
        let (mut sum, mut tied) = (0.0, 0.0);
        let mut below = (0.0, 0.0);
        // Sums of squares of each row's share of the other label that it is on the right side of.
        let (mut by_positive, mut by_negative) = (0.0, 0.0);
        for tie in ties {
            let half = (tie.positives / 2.0, tie.negatives / 2.0);
            let beaten = (below.1 + half.1) / negatives;
            let beaten_by = 1.0 - (below.0 + half.0) / positives;
            sum += tie.positives * beaten;
            tied += tie.positives * half.1;
            by_positive += tie.positives * beaten * beaten;
            by_negative += tie.negatives * beaten_by * beaten_by;
            below = (below.0 + tie.positives, below.1 + tie.negatives);
        }
        let area = (sum / positives).clamp(0.0, 1.0);
        let spread =
            |squares: f64, count: f64| (squares - count * area * area).max(0.0) / (count - 1.0) / count;
        let rarer = positives.min(negatives);
        Some(Self {
            area,
            variance: (rarer >= 2.0).then(|| spread(by_positive, positives) + spread(by_negative, negatives)),
            tied: tied / (positives * negatives),
            rarer,
        })
    }

    /// On the logit scale, from DeLong's variance. At 0 and 1, where that variance says nothing: pair
    /// each row of the rarer label with another of the other one; all pairs are right with a
    /// probability of at most `area ^ rarer`, and the interval ends where that is half of `1 − level`.
    pub fn interval(&self, level: f64) -> Option<Interval> {
        let bound = ((1.0 - level) / 2.0).powf(1.0 / self.rarer);
        let interval = |low, high| {
            Some(Interval {
                low,
                high,
                level,
                method: Method::DeLong,
            })
        };
        let variance = self.variance?;
        if self.area >= 1.0 {
            interval(bound, 1.0)
        } else if self.area <= 0.0 {
            interval(0.0, 1.0 - bound)
        } else {
            logit(self.area, variance.sqrt(), level, Method::DeLong)
        }
    }
}

/// Average precision, `Σ (Rₙ − Rₙ₋₁) Pₙ` over thresholds from the highest score down
/// (`sklearn.metrics.average_precision_score`). `None` without a positive.
pub fn average_precision(ties: &[Tie]) -> Option<f64> {
    walk_down(ties, |tie, above| {
        let hits = above.0 + tie.positives;
        tie.positives * hits / (hits + above.1 + tie.negatives)
    })
}

/// The least and greatest average precision of any scores inside of the ties: where ties are bins, that
/// of the scores themselves is between the two.
pub fn average_precision_bounds(ties: &[Tie]) -> Option<(f64, f64)> {
    // Worst: the negatives of the tie come first, then the positives one by one. With `b` negatives
    // above, Σ (a + i) / (a + b + i) for i = 1 ..= n.
    let low = walk_down(ties, |tie, (a, above)| {
        let (b, n) = (above + tie.negatives, tie.positives);
        if n <= 0.0 || b <= 0.0 {
            return n;
        }
        n - b * (digamma(a + b + n + 1.0) - digamma(a + b + 1.0))
    })?;
    // Best: the positives come first, with one score.
    let high = walk_down(ties, |tie, (a, above)| {
        let hits = a + tie.positives;
        if hits > 0.0 {
            tie.positives * hits / (hits + above)
        } else {
            0.0
        }
    })?;
    Some((low, high))
}

/// Sum over ties from the highest score down, each seeing the positives and negatives above it, in
/// shares of the positives.
fn walk_down(ties: &[Tie], mut term: impl FnMut(&Tie, (f64, f64)) -> f64) -> Option<f64> {
    let (mut sum, mut above) = (0.0, (0.0, 0.0));
    for tie in ties
        .iter()
        .rev()
        .filter(|tie| tie.positives + tie.negatives > 0.0)
    {
        sum += term(tie, above);
        above = (above.0 + tie.positives, above.1 + tie.negatives);
    }
    (above.0 > 0.0).then(|| (sum / above.0).clamp(0.0, 1.0))
}
