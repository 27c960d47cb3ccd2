//! Drift that a summary of columns shows: missing values, categories that are new, how many different
//! values there are.
//!
//! Shifts of a distribution are for the drift checks among the plugins, which see the rows. These three
//! need only what a window keeps anyway. Like a fall of performance, a change counts where it is both
//! significant and large; see [`Rule`].

use caisson_stats::contingency::{proportion_rise_p_value, two_proportions_p_value};
use caisson_stats::tail::normal_sf;
use serde::{Deserialize, Serialize};

use crate::degradation::{Rule, cohens_h};
use crate::hysteresis::Outcome;
use crate::summary::{Categories, Column};

/// What a comparison of two summaries found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// The baseline's share, or number.
    pub baseline: f64,
    /// The current one.
    pub current: f64,
    /// What `change_min` is compared with: the difference of shares, or the logarithm of the ratio of
    /// numbers (0.69 for twice or half as many).
    pub change: f64,
    /// Without a unit: Cohen's h of shares; for numbers the same as `change`.
    pub effect: f64,
    /// Chance of a change at least this large where nothing changed.
    pub p_value: f64,
    /// Rows of the smaller of the two.
    pub rows: u64,
}

impl Shift {
    /// Drifted, not drifted, or too few rows to say.
    pub fn outcome(&self, rule: &Rule) -> Outcome {
        rule.outcome(self.rows, self.p_value, self.change.abs(), self.effect.abs())
    }
}

/// Has the share of rows without a value changed, to either side? Two-sided test of two proportions.
/// `None` where either has no row.
pub fn missing_rate(baseline: &Column, current: &Column) -> Option<Shift> {
    let ((n, a), (m, b)) = (baseline.missing(), current.missing());
    shares((a, n), (b, m), two_proportions_p_value(a, n, b, m))
}

/// Are there more rows in categories that the baseline doesn't list than the baseline itself has in
/// such? One-sided test of two proportions. `None` where either has no value.
///
/// Where the baseline lists all of its categories, every row in another is new. Where it had too many
/// to list, its own rare ones count the same way on both sides. A current row that no list accounts for
/// counts as known, so that many rare categories don't pass for new ones.
pub fn new_categories(baseline: &Categories, current: &Categories) -> Option<Shift> {
    let unlisted = baseline.frequent.other();
    let new = current.frequent.list().into_iter();
    let new = new
        .filter(|row| !baseline.frequent.lists(&row.value))
        .map(|row| row.at_least);
    let (n, m) = (baseline.frequent.total(), current.frequent.total());
    let new: u64 = new.sum();
    shares(
        (unlisted, n),
        (new, m),
        proportion_rise_p_value(unlisted, n, new, m),
    )
}

fn shares(baseline: (u64, u64), current: (u64, u64), p_value: f64) -> Option<Shift> {
    let ((a, n), (b, m)) = (baseline, current);
    if n == 0 || m == 0 {
        return None;
    }
    let (p, q) = (a as f64 / n as f64, b as f64 / m as f64);
    Some(Shift {
        baseline: p,
        current: q,
        change: q - p,
        effect: cohens_h(q, p),
        p_value,
        rows: n.min(m),
    })
}

/// How many times more rows one may have for a comparison of how many different values there are: more
/// rows find more rare values.
pub const ROWS_RATIO_MAX: f64 = 1.25;
/// One standard error of a [`Distinct`](crate::distinct::Distinct) estimate, of the logarithm.
const SKETCH_ERROR: f64 = 0.023;

/// Are there more, or fewer, different values? The logarithm of the ratio, against the sketches' error
/// and the chance in which rare values are met (Poisson, at most one for each different value).
///
/// `None` where either has no value, or where the two aren't of about as many rows (see
/// [`ROWS_RATIO_MAX`]): compare windows with windows.
pub fn cardinality(baseline: &Column, current: &Column) -> Option<Shift> {
    let values = |column: &Column| {
        let (rows, missing) = column.missing();
        rows.saturating_sub(missing)
    };
    let (n, m) = (values(baseline), values(current));
    let (a, b) = (baseline.distinct().estimate(), current.distinct().estimate());
    let ratio = n.max(m) as f64 / n.min(m).max(1) as f64;
    if a <= 0.0 || b <= 0.0 || ratio > ROWS_RATIO_MAX {
        return None;
    }
    let change = (b / a).ln();
    let error = (2.0 * SKETCH_ERROR * SKETCH_ERROR + 1.0 / a + 1.0 / b).sqrt();
    Some(Shift {
        baseline: a,
        current: b,
        change,
        effect: change,
        p_value: (2.0 * normal_sf(change.abs() / error)).min(1.0),
        rows: n.min(m),
    })
}
