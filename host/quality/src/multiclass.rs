//! Classification into several classes by a probability for each.
//!
//! [`MulticlassScores`] are exact and hold every row; [`BinnedMulticlass`] holds bins, merges, and
//! knows areas of one class against the rest alone.
//!
//! Areas as scikit-learn's `roc_auc_score(multi_class=…)`: against the rest, or of each pair of classes
//! (D. J. Hand and R. J. Till, 2001), averaged plainly or by how often the classes occur. A class that
//! doesn't occur leaves the area without a value. The Brier score is the sum over classes, 0 to 2.

use caisson_stats::bootstrap::{self, Resampling};
use caisson_stats::interval::{Interval, Method, logit};
use caisson_stats::moments::Moments;
use caisson_stats::ranks::Area;
use serde::{Deserialize, Serialize};

use crate::accumulator::{Accumulator, Mismatch};
use crate::answer::{Answer, Undefined, measure};
use crate::calibration::BINS;
use crate::scores::{BinnedScores, Scored, log_loss_of};

/// Areas of single classes stop telling anything long before; binned ones hold 9 KB a class.
pub const SCORED_CLASSES_MAX: usize = 20;
/// Probabilities of a row have to add up to 1 within this: `f32` models' do.
pub const SUM_TOLERANCE: f64 = 1e-3;

/// Which areas are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// Each class against all others.
    Rest,
    /// Each pair of classes.
    One,
}

/// What can be asked of several classes' probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MulticlassMetric {
    /// Area under the ROC curve.
    RocAuc {
        /// Of which comparisons.
        against: Against,
        /// Weigh them by how often the classes occur?
        weighted: bool,
    },
    /// Mean of −ln of the probability given to the class that was right.
    LogLoss,
    /// Mean over rows of the summed squared distances.
    Brier,
}

/// A row: its class, and the probability given to each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredClasses<'a> {
    /// Which class it is; `None` where the label is missing or none of the classes.
    pub label: Option<usize>,
    /// One probability a class.
    pub probabilities: &'a [f64],
}

impl ScoredClasses<'_> {
    /// The label, if the row can be used.
    fn usable(&self, classes: usize) -> Option<usize> {
        let is_probability = |p: &f64| (0.0..=1.0).contains(p);
        let sound = self.probabilities.len() == classes
            && self.probabilities.iter().all(is_probability)
            && (self.probabilities.iter().sum::<f64>() - 1.0).abs() <= SUM_TOLERANCE;
        self.label.filter(|label| sound && *label < classes)
    }

    fn log_loss(&self, label: usize) -> f64 {
        log_loss_of(self.probabilities.get(label).copied().unwrap_or(0.0))
    }

    fn brier(&self, label: usize) -> f64 {
        let squares = self.probabilities.iter().enumerate().map(|(class, p)| {
            let truth = f64::from(u8::from(class == label));
            (p - truth).powi(2)
        });
        squares.sum()
    }
}

/// Probabilities of several classes, all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct MulticlassScores {
    labels: Vec<usize>,
    /// For each class: rows by the probability given to it, and whether each starts a new tie.
    orders: Vec<Vec<(usize, bool)>>,
    log_loss: Moments,
    brier: Moments,
    unusable: u64,
}

impl MulticlassScores {
    /// Of these rows. A row without a label, without one probability for each class, or whose
    /// probabilities don't add up to 1 (see [`SUM_TOLERANCE`]), isn't used, and counted.
    pub fn new<'a>(classes: usize, rows: impl IntoIterator<Item = ScoredClasses<'a>>) -> Self {
        let mut scores = Self {
            labels: Vec::new(),
            orders: vec![Vec::new(); classes],
            log_loss: Moments::default(),
            brier: Moments::default(),
            unusable: 0,
        };
        let mut columns = vec![Vec::new(); classes];
        for row in rows {
            let Some(label) = row.usable(classes) else {
                scores.unusable += 1;
                continue;
            };
            scores.log_loss.add(row.log_loss(label));
            scores.brier.add(row.brier(label));
            for (column, p) in columns.iter_mut().zip(row.probabilities) {
                column.push((*p, scores.labels.len()));
            }
            scores.labels.push(label);
        }
        for (order, mut column) in scores.orders.iter_mut().zip(columns) {
            column.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            let mut before = f64::NAN;
            order.extend(column.into_iter().map(|(p, row)| {
                let is_new = p != before;
                before = p;
                (row, is_new)
            }));
        }
        scores
    }

    /// Rows that were used.
    pub fn rows(&self) -> u64 {
        self.labels.len() as u64
    }

    /// Rows that weren't.
    pub fn unusable(&self) -> u64 {
        self.unusable
    }

    /// The metric's value with its interval; that of areas comes from resampling.
    ///
    /// # Errors
    ///
    /// [`Undefined`] without a row, and for areas where a class doesn't occur.
    pub fn measure(&self, metric: MulticlassMetric, level: f64, resampling: Resampling) -> Answer {
        let (against, weighted) = match metric {
            MulticlassMetric::RocAuc { against, weighted } => (against, weighted),
            MulticlassMetric::LogLoss => return of_losses(&self.log_loss, level),
            MulticlassMetric::Brier => return of_losses(&self.brier, level),
        };
        if self.labels.is_empty() {
            return Err(Undefined::too_few(0, 1));
        }
        let ones = vec![1.0; self.labels.len()];
        let value = self.area(against, weighted, &ones)?;
        let resampled = |rows: &[usize]| {
            let mut weights = vec![0.0; self.labels.len()];
            for row in rows {
                if let Some(weight) = weights.get_mut(*row) {
                    *weight += 1.0;
                }
            }
            self.area(against, weighted, &weights).ok()
        };
        let interval = bootstrap::interval(self.labels.len(), level, resampling, resampled);
        measure(value, interval, self.rows())
    }

    fn area(&self, against: Against, weighted: bool, weights: &[f64]) -> Result<f64, Undefined> {
        let classes = self.orders.len();
        let mut counts = vec![0.0; classes];
        for (label, weight) in self.labels.iter().zip(weights) {
            if let Some(count) = counts.get_mut(*label) {
                *count += weight;
            }
        }
        if let Some(absent) = counts.iter().position(|count| *count == 0.0) {
            let label = absent.to_string();
            return Err(Undefined::NoLabel { label });
        }
        let wins: Vec<Vec<f64>> = (0..classes).map(|class| self.wins(class, weights)).collect();
        let rows: f64 = counts.iter().sum();
        let (mut sum, mut total) = (0.0, 0.0);
        let mut take = |area: f64, weight: f64| {
            let weight = if weighted { weight } else { 1.0 };
            sum += weight * area;
            total += weight;
        };
        for (class, (own, count)) in wins.iter().zip(&counts).enumerate() {
            match against {
                Against::Rest => take(own.iter().sum::<f64>() / (count * (rows - count)), *count),
                Against::One => {
                    let others = wins.iter().zip(&counts).zip(own).enumerate().take(class);
                    for (_, ((theirs, other), won)) in others {
                        let lost = theirs.get(class).copied().unwrap_or(0.0);
                        take((won + lost) / 2.0 / (count * other), count + other);
                    }
                }
            }
        }
        if total > 0.0 && rows > 0.0 {
            Ok(sum / total)
        } else {
            Err(Undefined::Constant)
        }
    }

    /// For each other class, the pairs of a row of `class` and one of that class in which the former
    /// has the larger probability of `class`; ties count half.
    fn wins(&self, class: usize, weights: &[f64]) -> Vec<f64> {
        let classes = self.orders.len();
        let (mut below, mut tie, mut wins) = (vec![0.0; classes], vec![0.0; classes], vec![0.0; classes]);
        let close = |tie: &mut [f64], below: &mut [f64], wins: &mut [f64]| {
            let own = tie.get(class).copied().unwrap_or(0.0);
            for ((tie, below), win) in tie.iter_mut().zip(below).zip(wins) {
                *win += own * (*below + *tie / 2.0);
                *below += *tie;
                *tie = 0.0;
            }
        };
        for (row, is_new) in self.orders.get(class).into_iter().flatten() {
            if *is_new {
                close(&mut tie, &mut below, &mut wins);
            }
            let label = self.labels.get(*row).copied().unwrap_or(0);
            if let (Some(count), Some(weight)) = (tie.get_mut(label), weights.get(*row)) {
                *count += weight;
            }
        }
        close(&mut tie, &mut below, &mut wins);
        if let Some(own) = wins.get_mut(class) {
            *own = 0.0;
        }
        wins
    }
}

fn of_losses(losses: &Moments, level: f64) -> Answer {
    let value = losses.mean().ok_or_else(|| Undefined::too_few(0, 1))?;
    let interval = losses.interval(level).map(|i| i.map(|end| end.max(0.0)));
    measure(value, interval, losses.count())
}

/// Probabilities of several classes in bins: mergeable, at a size that doesn't grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BinnedMulticlass {
    classes: Vec<BinnedScores>,
    log_loss: Moments,
    brier: Moments,
    unusable: u64,
}

impl BinnedMulticlass {
    /// Of so many classes, at most [`SCORED_CLASSES_MAX`]; `None` for more.
    pub fn new(classes: usize) -> Option<Self> {
        (classes <= SCORED_CLASSES_MAX).then(|| Self {
            classes: vec![BinnedScores::new(BINS); classes],
            log_loss: Moments::default(),
            brier: Moments::default(),
            unusable: 0,
        })
    }

    /// Each class against the rest.
    pub fn classes(&self) -> &[BinnedScores] {
        &self.classes
    }

    /// Rows that weren't used.
    pub fn unusable(&self) -> u64 {
        self.unusable
    }

    /// The metric's value with its interval. An area's is as if the classes' areas erred together, which
    /// is the widest that it can be. Each class's area is within its own
    /// [`area_error`](BinnedScores::area_error).
    ///
    /// # Errors
    ///
    /// [`Undefined`] without a row, and for areas where a class doesn't occur. Areas of pairs of classes
    /// need [`MulticlassScores`]: `None`.
    pub fn measure(&self, metric: MulticlassMetric, level: f64) -> Option<Answer> {
        match metric {
            MulticlassMetric::LogLoss => Some(of_losses(&self.log_loss, level)),
            MulticlassMetric::Brier => Some(of_losses(&self.brier, level)),
            MulticlassMetric::RocAuc {
                against: Against::Rest,
                weighted,
            } => Some(self.area(weighted, level)),
            MulticlassMetric::RocAuc { .. } => None,
        }
    }

    fn area(&self, weighted: bool, level: f64) -> Answer {
        let rows = self.log_loss.count();
        if rows == 0 {
            return Err(Undefined::too_few(0, 1));
        }
        let (mut sum, mut errors, mut total) = (0.0, 0.0, 0.0);
        for (class, scores) in self.classes.iter().enumerate() {
            let ties = scores.ties();
            let area = Area::new(&ties).ok_or_else(|| Undefined::NoLabel {
                label: class.to_string(),
            })?;
            let (positives, _) = caisson_stats::ranks::totals(&ties);
            let weight = if weighted { positives } else { 1.0 };
            sum += weight * area.area;
            errors += weight * area.variance.map_or(f64::NAN, f64::sqrt);
            total += weight;
        }
        if total == 0.0 {
            return Err(Undefined::Constant);
        }
        let interval: Option<Interval> = logit(sum / total, errors / total, level, Method::DeLong);
        measure(sum / total, interval, rows)
    }
}

impl Accumulator for BinnedMulticlass {
    type Row<'a> = ScoredClasses<'a>;

    fn add(&mut self, row: ScoredClasses<'_>) {
        let Some(label) = row.usable(self.classes.len()) else {
            self.unusable += 1;
            return;
        };
        self.log_loss.add(row.log_loss(label));
        self.brier.add(row.brier(label));
        for (class, (scores, p)) in self.classes.iter_mut().zip(row.probabilities).enumerate() {
            scores.add(Scored {
                score: *p,
                label: Some(class == label),
            });
        }
    }

    fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        let (ours, theirs) = (self.classes.len(), other.classes.len());
        Mismatch::unless_same("the number of classes", &ours, &theirs)?;
        for (ours, theirs) in self.classes.iter_mut().zip(&other.classes) {
            ours.merge(theirs)?;
        }
        self.log_loss.merge(&other.log_loss);
        self.brier.merge(&other.brier);
        self.unusable += other.unusable;
        Ok(())
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.classes.iter().map(Accumulator::bytes).sum::<usize>()
    }
}
