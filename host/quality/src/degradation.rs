//! Is the current performance worse than the baseline's, by test?
//!
//! A fixed tolerance ("5 % worse") alarms on chance where rows are few and sleeps where they are many.
//! Here a window is **worse** where the change is both significant (one-sided p-value at most `alpha`)
//! and large enough to matter (`change_min` in the metric's own unit, `effect_min` in a unit without
//! one). Below `rows_min` rows in either there is no verdict.
//!
//! | metric | test | effect size |
//! | --- | --- | --- |
//! | accuracy, precision and recall of a class, directional accuracy | two proportions, Fisher's exact test for few rows | Cohen's h |
//! | log loss, Brier, MAE, RMSE, MAPE, sMAPE, MASE, bias | Welch's test on the rows' losses | Cohen's d |
//! | area under the ROC curve | DeLong's variances | Cohen's d of the scores that gives such an area |
//! | all others | the standard errors of the two intervals | the change in standard errors |
//!
//! The two samples are different rows: a window and a baseline.

use caisson_stats::contingency::proportion_rise_p_value;
use caisson_stats::moments::{Moments, Welch};
use caisson_stats::ranks::{Area, Tie};
use caisson_stats::tail::{normal_quantile, normal_sf};
use serde::{Deserialize, Serialize};

use crate::answer::{Better, Measure, Undefined};
use crate::confusion::{Average, ClassMetric, Confusion};
use crate::hysteresis::Outcome;
use crate::regression::{Regression, RegressionMetric};
use crate::scores::{BinnedScores, ScoreMetric};

/// When a change is worse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// The largest one-sided p-value of a change that isn't chance.
    pub alpha: f64,
    /// The smallest change that matters, in the metric's unit.
    pub change_min: f64,
    /// The smallest effect size that matters. 0.1 is half of what Cohen calls small; 0.2, 0.5 and 0.8
    /// are small, medium and large.
    pub effect_min: f64,
    /// Rows that both need for a verdict.
    pub rows_min: u64,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            change_min: 0.0,
            effect_min: 0.1,
            rows_min: 30,
        }
    }
}

impl Rule {
    /// Is a change significant, and large both ways?
    pub(crate) fn outcome(&self, rows: u64, p_value: f64, change: f64, effect: f64) -> Outcome {
        if rows < self.rows_min {
            Outcome::Unknown
        } else if p_value <= self.alpha
            && change > 0.0
            && change >= self.change_min
            && effect >= self.effect_min
        {
            Outcome::Bad
        } else {
            Outcome::Good
        }
    }
}

/// Which test was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Of two proportions.
    Proportions,
    /// Welch's, of two means.
    Welch,
    /// Of two areas with DeLong's variances.
    DeLong,
    /// Of two values with the standard errors of their intervals.
    Intervals,
}

/// What a test found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The baseline's value.
    pub baseline: f64,
    /// The current value.
    pub current: f64,
    /// How much worse, in the metric's unit; negative where it is better.
    pub worse_by: f64,
    /// The same without a unit.
    pub effect: f64,
    /// Chance of a change at least this bad where nothing got worse.
    pub p_value: f64,
    /// How it was tested.
    pub test: Test,
    /// Rows of the smaller of the two.
    pub rows: u64,
}

impl Comparison {
    /// Worse, not worse, or too few rows to say.
    pub fn outcome(&self, rule: &Rule) -> Outcome {
        rule.outcome(self.rows, self.p_value, self.worse_by, self.effect)
    }
}

/// Shares that should be high: hits of rows. `None` where either has no row.
pub fn proportions(baseline: (u64, u64), current: (u64, u64)) -> Option<Comparison> {
    let ((a, n), (b, m)) = (baseline, current);
    if n == 0 || m == 0 {
        return None;
    }
    let (p, q) = (a.min(n) as f64 / n as f64, b.min(m) as f64 / m as f64);
    let misses = (n - a.min(n), m - b.min(m));
    Some(Comparison {
        baseline: p,
        current: q,
        worse_by: p - q,
        effect: cohens_h(p, q),
        p_value: proportion_rise_p_value(misses.0, n, misses.1, m),
        test: Test::Proportions,
        rows: n.min(m),
    })
}

/// Cohen's h of a fall from `p` to `q`: the same step of a share means more near 0 and 1.
pub(crate) fn cohens_h(p: f64, q: f64) -> f64 {
    let angle = |share: f64| 2.0 * share.clamp(0.0, 1.0).sqrt().asin();
    angle(p) - angle(q)
}

/// Means of the rows' losses. `None` where either has fewer than two rows, or sums aren't finite.
pub fn means(baseline: &Moments, current: &Moments, better: Better) -> Option<Comparison> {
    let test = Welch::new(baseline, current)?;
    let (before, after) = (baseline.mean()?, current.mean()?);
    let (worse_by, effect, p_value) = match better {
        Better::Lower => (test.difference, test.cohens_d, test.rise_p_value()),
        Better::Higher => (-test.difference, -test.cohens_d, 1.0 - test.rise_p_value()),
        // Farther from 0: a change, to whichever side, that ends farther out.
        Better::Zero => {
            let farther = after.abs() - before.abs();
            (farther, test.cohens_d.abs().copysign(farther), test.p_value())
        }
    };
    (before.is_finite() && after.is_finite() && !test.t.is_nan()).then(|| Comparison {
        baseline: before,
        current: after,
        worse_by,
        // Neither sample varies and the means differ: larger than any rule asks for.
        effect: effect.clamp(-f64::MAX, f64::MAX),
        p_value,
        test: Test::Welch,
        rows: baseline.count().min(current.count()),
    })
}

/// Areas under two ROC curves, of scores or of their bins. `None` where either has fewer than two rows
/// of a label.
pub fn areas(baseline: &[Tie], current: &[Tie]) -> Option<Comparison> {
    let (before, after) = (Area::new(baseline)?, Area::new(current)?);
    let error = (before.variance? + after.variance?).sqrt();
    let worse_by = before.area - after.area;
    // Of two normal distributions with this distance, in standard deviations.
    let distance = |area: f64| std::f64::consts::SQRT_2 * normal_quantile(area.clamp(1e-6, 1.0 - 1e-6));
    Some(Comparison {
        baseline: before.area,
        current: after.area,
        worse_by,
        effect: distance(before.area) - distance(after.area),
        p_value: rise_by_errors(worse_by, error),
        test: Test::DeLong,
        rows: weight(baseline).min(weight(current)),
    })
}

fn weight(ties: &[Tie]) -> u64 {
    ties.iter().map(|tie| tie.positives + tie.negatives).sum::<f64>() as u64
}

fn rise_by_errors(rise: f64, error: f64) -> f64 {
    if error > 0.0 {
        normal_sf(rise / error)
    } else if rise > 0.0 {
        0.0
    } else {
        1.0
    }
}

/// Two values with intervals, whatever they are of; each interval's half width gives a standard error.
/// `None` where either has no interval.
pub fn intervals(baseline: &Measure, current: &Measure, better: Better) -> Option<Comparison> {
    let error = |measure: &Measure| {
        let interval = measure.interval?;
        Some((interval.high - interval.low) / 2.0 / normal_quantile(0.5 + interval.level / 2.0))
    };
    let (before, after) = (baseline.value, current.value);
    let worse_by = match better {
        Better::Higher => before - after,
        Better::Lower => after - before,
        Better::Zero => after.abs() - before.abs(),
    };
    let error = error(baseline)?.hypot(error(current)?);
    Some(Comparison {
        baseline: before,
        current: after,
        worse_by,
        effect: if worse_by == 0.0 {
            0.0
        } else {
            (worse_by / error).clamp(-f64::MAX, f64::MAX)
        },
        p_value: rise_by_errors(worse_by, error),
        test: Test::Intervals,
        rows: baseline.rows.min(current.rows),
    })
}

const LEVEL: f64 = caisson_stats::interval::LEVEL;

fn by_intervals((baseline, current): &(Measure, Measure), better: Better) -> Result<Comparison, Undefined> {
    intervals(baseline, current, better).ok_or(Undefined::NoSpread)
}

/// Compare two confusion matrices.
///
/// # Errors
///
/// [`Undefined`] where the metric has no value in either, or shows no spread.
pub fn classes(
    metric: &ClassMetric,
    baseline: &Confusion,
    current: &Confusion,
) -> Result<Comparison, Undefined> {
    let answers = (baseline.measure(metric, LEVEL)?, current.measure(metric, LEVEL)?);
    let is_share = match metric {
        ClassMetric::Accuracy => true,
        ClassMetric::Precision(average) | ClassMetric::Recall(average) => {
            matches!(average, Average::Class(_) | Average::Micro)
        }
        ClassMetric::F1(average) => *average == Average::Micro,
        ClassMetric::Mcc => false,
    };
    if !is_share {
        return by_intervals(&answers, metric.better());
    }
    let counts = |m: &Measure| ((m.value * m.rows as f64).round() as u64, m.rows);
    proportions(counts(&answers.0), counts(&answers.1)).ok_or(Undefined::NoSpread)
}

/// Compare two sets of scores.
///
/// # Errors
///
/// [`Undefined`] where the metric has no value in either, or shows no spread.
pub fn scores(
    metric: ScoreMetric,
    baseline: &BinnedScores,
    current: &BinnedScores,
) -> Result<Comparison, Undefined> {
    let answers = (baseline.measure(metric, LEVEL)?, current.measure(metric, LEVEL)?);
    if let (Some(before), Some(after)) = (baseline.loss(metric), current.loss(metric)) {
        return means(before, after, metric.better()).ok_or(Undefined::NoSpread);
    }
    if metric == ScoreMetric::RocAuc {
        return areas(&baseline.ties(), &current.ties()).ok_or(Undefined::NoSpread);
    }
    by_intervals(&answers, metric.better())
}

/// Compare two sets of predicted numbers. `baseline` and `current` of the comparison are values of the
/// metric; the test is on the rows' losses.
///
/// # Errors
///
/// [`Undefined`] where the metric has no value in either, or shows no spread.
pub fn regression(
    metric: RegressionMetric,
    baseline: &Regression,
    current: &Regression,
) -> Result<Comparison, Undefined> {
    let answers = (baseline.measure(metric, LEVEL)?, current.measure(metric, LEVEL)?);
    if metric == RegressionMetric::DirectionalAccuracy {
        return proportions(baseline.directed(), current.directed()).ok_or(Undefined::NoSpread);
    }
    let (Some(before), Some(after)) = (baseline.loss(metric), current.loss(metric)) else {
        return by_intervals(&answers, metric.better());
    };
    let test = means(before, after, metric.better()).ok_or(Undefined::NoSpread)?;
    Ok(Comparison {
        baseline: answers.0.value,
        current: answers.1.value,
        worse_by: match metric.better() {
            Better::Zero => test.worse_by,
            _ => answers.1.value - answers.0.value,
        },
        ..test
    })
}
