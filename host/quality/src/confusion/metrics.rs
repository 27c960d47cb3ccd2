//! What follows from a confusion matrix: shares, their averages, Matthews' coefficient.
//!
//! Averages are over the classes that occur or are predicted, as scikit-learn's without `labels`; there
//! a class that is never predicted has precision 0, one that never occurs has recall 0. Asked for alone,
//! such a class has no value.

use caisson_stats::interval::{Interval, Method, logit, normal, wilson};
use serde::{Deserialize, Serialize};

use super::{Class, Confusion};
use crate::answer::{Answer, Better, Undefined, measure};

/// How the numbers of single classes become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// The mean over classes.
    Macro,
    /// Over all rows; for one label a row this is accuracy.
    Micro,
    /// The mean over classes, by how often each occurs.
    Weighted,
    /// Of this class alone.
    Class(String),
}

/// What can be asked of a [`Confusion`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassMetric {
    /// Share of rows whose predicted label is right.
    Accuracy,
    /// Of the rows predicted as a class, the share that is of it.
    Precision(Average),
    /// Of the rows of a class, the share that is predicted as it.
    Recall(Average),
    /// Harmonic mean of the two.
    F1(Average),
    /// Matthews' correlation coefficient.
    Mcc,
}

impl ClassMetric {
    /// Which way it gets better.
    pub fn better(&self) -> Better {
        Better::Higher
    }
}

impl Confusion {
    /// The metric's value with its interval.
    ///
    /// # Errors
    ///
    /// [`Undefined`] without a row, for a class that isn't there, for the precision of one that was
    /// never predicted, and for Matthews' coefficient where either side has one label only.
    pub fn measure(&self, metric: &ClassMetric, level: f64) -> Answer {
        let rows = self.rows();
        if rows == 0 {
            return Err(Undefined::too_few(0, 1));
        }
        let accuracy = || {
            let hits: u64 = self.classes().iter().map(|class| class.hits).sum();
            let (hits, of) = (hits as f64, rows as f64);
            measure(hits / of, wilson(hits, of, level), rows)
        };
        match metric {
            ClassMetric::Accuracy
            | ClassMetric::Precision(Average::Micro)
            | ClassMetric::Recall(Average::Micro)
            | ClassMetric::F1(Average::Micro) => accuracy(),
            ClassMetric::Precision(Average::Class(name)) => {
                let class = self.class(name)?;
                if class.predicted == 0 {
                    return Err(Undefined::NeverPredicted { label: name.clone() });
                }
                let interval = precision_interval(&class, level);
                measure(precision(&class), interval, class.predicted)
            }
            ClassMetric::Recall(Average::Class(name)) => {
                let class = self.class(name)?;
                if class.actual == 0 {
                    return Err(Undefined::NoLabel { label: name.clone() });
                }
                measure(recall(&class), recall_interval(&class, level), class.actual)
            }
            ClassMetric::F1(Average::Class(name)) => {
                let class = self.class(name)?;
                let involved = class.actual + class.predicted - class.hits;
                measure(f1(&class), f1_interval(&class, level), involved)
            }
            ClassMetric::Precision(average) => self.averaged(average, precision, precision_interval, level),
            ClassMetric::Recall(average) => self.averaged(average, recall, recall_interval, level),
            ClassMetric::F1(average) => self.averaged(average, f1, f1_interval, level),
            ClassMetric::Mcc => {
                let value = mcc(&self.classes()).ok_or(Undefined::Constant)?;
                let error = self.jackknife(mcc).sqrt();
                let within = |i: Interval| i.map(|end| end.clamp(-1.0, 1.0));
                let interval = (error > 0.0).then(|| normal(value, error, level, Method::Jackknife));
                measure(value, interval.flatten().map(within), rows)
            }
        }
    }

    fn class(&self, name: &str) -> Result<Class<'_>, Undefined> {
        let classes = self.classes();
        let found = classes.into_iter().find(|class| class.name == Some(name));
        found.ok_or_else(|| Undefined::UnknownClass { label: name.into() })
    }

    fn averaged(
        &self,
        average: &Average,
        of: fn(&Class<'_>) -> f64,
        interval: fn(&Class<'_>, f64) -> Option<Interval>,
        level: f64,
    ) -> Answer {
        let is_weighted = *average == Average::Weighted;
        let weight = move |c: &Class<'_>| if is_weighted { c.actual as f64 } else { 1.0 };
        let mean = |classes: &[Class<'_>], of: &dyn Fn(&Class<'_>) -> f64| {
            let used = || classes.iter().filter(|c| c.actual + c.predicted > 0);
            let sum: f64 = used().map(|c| weight(c) * of(c)).sum();
            sum / used().map(weight).sum::<f64>().max(f64::MIN_POSITIVE)
        };
        let classes = self.classes();
        let value = mean(&classes, &of);
        let error = self.jackknife(|classes| Some(mean(classes, &of))).sqrt();
        // Where all is right, or all wrong, the rows show no spread: the mean of the classes' own
        // intervals, as if all erred together.
        let together = || {
            let ends = |c: &Class<'_>| interval(c, level).unwrap_or(EVERYTHING);
            Some(Interval {
                low: mean(&classes, &|c| ends(c).low),
                high: mean(&classes, &|c| ends(c).high),
                level,
                method: Method::Wilson,
            })
        };
        let interval = logit(value, error, level, Method::Jackknife).or_else(together);
        measure(value, interval, self.rows())
    }

    /// Variance of a statistic of the classes, from leaving out each row in turn. Rows of one cell are
    /// alike, so that takes as many steps as there are cells.
    fn jackknife(&self, statistic: impl Fn(&[Class<'_>]) -> Option<f64>) -> f64 {
        let (mut classes, order) = self.classes_by_place();
        let mut found: Vec<(f64, f64)> = Vec::new();
        let at = |place: usize| order.get(place).copied().unwrap_or(0);
        let mut leave_out = |actual: usize, predicted: usize, is_hit: bool, rows: u64| {
            let step = |classes: &mut [Class<'_>], step: fn(&mut u64)| {
                if let Some(class) = classes.get_mut(at(actual)) {
                    step(&mut class.actual);
                    if is_hit {
                        step(&mut class.hits);
                    }
                }
                if let Some(class) = classes.get_mut(at(predicted)) {
                    step(&mut class.predicted);
                }
            };
            step(&mut classes, |n| *n -= 1);
            found.extend(statistic(&classes).map(|value| (value, rows as f64)));
            step(&mut classes, |n| *n += 1);
        };
        for (actual, row) in self.cells.iter().enumerate() {
            for (predicted, &count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
                leave_out(actual, predicted, actual == predicted && actual > 0, count);
            }
        }
        if self.other_hits > 0 {
            leave_out(0, 0, true, self.other_hits);
        }
        let rows: f64 = found.iter().map(|(_, count)| count).sum();
        let mean = found.iter().map(|(value, count)| value * count).sum::<f64>() / rows.max(1.0);
        let squares = found.iter().map(|(value, count)| count * (value - mean).powi(2));
        squares.sum::<f64>() * (rows - 1.0).max(0.0) / rows.max(1.0)
    }
}

const EVERYTHING: Interval = Interval {
    low: 0.0,
    high: 1.0,
    level: 1.0,
    method: Method::Wilson,
};

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn precision(class: &Class<'_>) -> f64 {
    ratio(class.hits as f64, class.predicted as f64)
}

fn recall(class: &Class<'_>) -> f64 {
    ratio(class.hits as f64, class.actual as f64)
}

fn f1(class: &Class<'_>) -> f64 {
    ratio(2.0 * class.hits as f64, (class.actual + class.predicted) as f64)
}

fn precision_interval(class: &Class<'_>, level: f64) -> Option<Interval> {
    wilson(class.hits as f64, class.predicted as f64, level)
}

fn recall_interval(class: &Class<'_>, level: f64) -> Option<Interval> {
    wilson(class.hits as f64, class.actual as f64, level)
}

/// F1 rises with `hits / (actual or predicted)`, which is a proportion: Wilson's interval of that.
fn f1_interval(class: &Class<'_>, level: f64) -> Option<Interval> {
    let involved = class.actual + class.predicted - class.hits;
    let jaccard = wilson(class.hits as f64, involved as f64, level)?;
    Some(jaccard.map(|j| 2.0 * j / (1.0 + j)))
}

/// J. Gorodkin's form for any number of classes (2004). `None` where either side has one label only.
fn mcc(classes: &[Class<'_>]) -> Option<f64> {
    let rows: f64 = classes.iter().map(|c| c.actual as f64).sum();
    let sum = |of: fn(&Class<'_>) -> f64| classes.iter().map(of).sum::<f64>();
    let hits = sum(|c| c.hits as f64);
    let both = sum(|c| c.actual as f64 * c.predicted as f64);
    let actual = rows * rows - sum(|c| (c.actual as f64).powi(2));
    let predicted = rows * rows - sum(|c| (c.predicted as f64).powi(2));
    let spread = (actual * predicted).sqrt();
    (spread > 0.0).then(|| (hits * rows - both) / spread)
}
