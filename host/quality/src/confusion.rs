//! Classification by labels: the confusion matrix and what follows from it.
//!
//! Counts are exact and mergeable. Up to [`CLASSES_MAX`] classes are kept by name, those named at the
//! start first, then those that come; rows of further ones are "other", a class of its own in which a
//! row is right only where both names are the same. Accuracy is exact whatever the number of classes.
//!
//! Averages are over the classes that occur or are predicted, as scikit-learn's without `labels`; there
//! a class that is never predicted has precision 0, one that never occurs has recall 0.

use std::collections::BTreeMap;

use caisson_stats::interval::{Interval, Method, logit, normal, wilson};
use serde::{Deserialize, Serialize};

use crate::accumulator::{Accumulator, Mismatch};
use crate::answer::{Answer, Better, Undefined, measure};

/// A matrix of 100 × 100 counts is 80 KB; nobody reads a larger one.
pub const CLASSES_MAX: usize = 100;
/// A label longer than this is "other": labels are names, not texts.
pub const LABEL_BYTES_MAX: usize = 256;

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

/// One class of a [`Confusion`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class<'a> {
    /// `None` is "other".
    pub name: Option<&'a str>,
    /// Rows of the class that are predicted as it.
    pub hits: u64,
    /// Rows of the class.
    pub actual: u64,
    /// Rows predicted as it.
    pub predicted: u64,
}

/// A labelled prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labelled<'a> {
    /// The true label; `None` where it is missing (NaN is missing too).
    pub actual: Option<&'a str>,
    /// The predicted label.
    pub predicted: Option<&'a str>,
}

/// Counts of rows by actual and predicted label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    classes_max: usize,
    /// Place in `cells` by name; place 0 is "other".
    places: BTreeMap<String, usize>,
    /// `cells[actual][predicted]`; rows may be short of trailing zeros. `cells[0][0]` are rows of two
    /// different other classes.
    cells: Vec<Vec<u64>>,
    /// Rows of an other class that were predicted right.
    other_hits: u64,
    unusable: u64,
}

impl Default for Confusion {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Confusion {
    /// An empty matrix that keeps these classes by name, as far as [`CLASSES_MAX`] allows, and others
    /// as they come.
    pub fn new(classes: &[&str]) -> Self {
        Self::with_max(classes, CLASSES_MAX)
    }

    /// The same with another limit, at most [`CLASSES_MAX`].
    pub fn with_max(classes: &[&str], classes_max: usize) -> Self {
        let mut confusion = Self {
            classes_max: classes_max.min(CLASSES_MAX),
            places: BTreeMap::new(),
            cells: vec![Vec::new()],
            other_hits: 0,
            unusable: 0,
        };
        for class in classes {
            confusion.place(class);
        }
        confusion
    }

    /// The matrix of predicted probabilities of one label, `"1"` from the threshold on, `"0"` below.
    pub fn at_threshold(rows: impl IntoIterator<Item = (f64, bool)>, threshold: f64) -> Self {
        let mut confusion = Self::new(&["0", "1"]);
        let name = |label| if label { "1" } else { "0" };
        for (score, label) in rows {
            confusion.add(Labelled {
                actual: Some(name(label)),
                predicted: score.is_finite().then(|| name(score >= threshold)),
            });
        }
        confusion
    }

    /// Where a class is counted; makes a place while there is one.
    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        if self.places.len() >= self.classes_max || name.len() > LABEL_BYTES_MAX {
            return 0;
        }
        let place = self.cells.len();
        self.places.insert(name.to_owned(), place);
        self.cells.push(Vec::new());
        place
    }

    fn count(&mut self, actual: usize, predicted: usize, rows: u64) {
        if rows == 0 {
            return;
        }
        let Some(cells) = self.cells.get_mut(actual) else {
            return;
        };
        if cells.len() <= predicted {
            cells.resize(predicted + 1, 0);
        }
        if let Some(cell) = cells.get_mut(predicted) {
            *cell += rows;
        }
    }

    fn cell(&self, actual: usize, predicted: usize) -> u64 {
        let row = self.cells.get(actual);
        row.and_then(|row| row.get(predicted)).copied().unwrap_or(0)
    }

    /// Rows that were counted.
    pub fn rows(&self) -> u64 {
        self.other_hits + self.cells.iter().flatten().sum::<u64>()
    }

    /// Rows without an actual or a predicted label.
    pub fn unusable(&self) -> u64 {
        self.unusable
    }

    /// Classes by name, "other" first.
    fn names(&self) -> Vec<(Option<&str>, usize)> {
        let named = self
            .places
            .iter()
            .map(|(name, place)| (Some(name.as_str()), *place));
        std::iter::once((None, 0)).chain(named).collect()
    }

    /// The counts as a table, classes by name and "other" at the head: names, and rows of cells
    /// `[actual][predicted]`.
    pub fn table(&self) -> (Vec<Option<&str>>, Vec<Vec<u64>>) {
        let names = self.names();
        let row = |&(_, actual): &(Option<&str>, usize)| {
            let cell = |&(_, predicted): &(Option<&str>, usize)| {
                let hits = if actual + predicted == 0 {
                    self.other_hits
                } else {
                    0
                };
                self.cell(actual, predicted) + hits
            };
            names.iter().map(cell).collect()
        };
        let cells = names.iter().map(row).collect();
        (names.into_iter().map(|(name, _)| name).collect(), cells)
    }

    /// What is known of each class that occurs or is predicted.
    pub fn classes(&self) -> Vec<Class<'_>> {
        let (classes, _) = self.classes_by_place();
        classes
            .into_iter()
            .filter(|c| c.actual + c.predicted > 0)
            .collect()
    }

    /// All classes, by name, and where each place is among them.
    fn classes_by_place(&self) -> (Vec<Class<'_>>, Vec<usize>) {
        let mut predicted = vec![0; self.cells.len()];
        for row in &self.cells {
            for (sum, cell) in predicted.iter_mut().zip(row) {
                *sum += cell;
            }
        }
        let mut order = vec![0; self.cells.len()];
        let class = |(index, (name, place)): (usize, (Option<_>, usize))| {
            if let Some(slot) = order.get_mut(place) {
                *slot = index;
            }
            let of_other = if place == 0 { self.other_hits } else { 0 };
            let hits = if place == 0 { 0 } else { self.cell(place, place) };
            let actual: u64 = self.cells.get(place).map_or(0, |row| row.iter().sum());
            Class {
                name,
                hits: hits + of_other,
                actual: actual + of_other,
                predicted: predicted.get(place).copied().unwrap_or(0) + of_other,
            }
        };
        let classes = self.names().into_iter().enumerate().map(class).collect();
        (classes, order)
    }

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

impl Accumulator for Confusion {
    type Row<'a> = Labelled<'a>;

    fn add(&mut self, row: Labelled<'_>) {
        let (Some(actual), Some(predicted)) = (row.actual, row.predicted) else {
            self.unusable += 1;
            return;
        };
        let is_hit = actual == predicted;
        let actual = self.place(actual);
        let predicted = if is_hit { actual } else { self.place(predicted) };
        if is_hit && actual == 0 {
            self.other_hits += 1;
        } else {
            self.count(actual, predicted, 1);
        }
    }

    fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        Mismatch::unless_same("the limit of classes", &self.classes_max, &other.classes_max)?;
        let mut places = vec![0; other.cells.len()];
        for (name, theirs) in &other.places {
            let ours = self.place(name);
            if let Some(slot) = places.get_mut(*theirs) {
                *slot = ours;
            }
        }
        for (theirs, row) in other.cells.iter().enumerate() {
            let actual = places.get(theirs).copied().unwrap_or(0);
            for (column, &count) in row.iter().enumerate() {
                let predicted = places.get(column).copied().unwrap_or(0);
                if actual == 0 && theirs == column && theirs > 0 {
                    self.other_hits += count;
                } else {
                    self.count(actual, predicted, count);
                }
            }
        }
        self.other_hits += other.other_hits;
        self.unusable += other.unusable;
        Ok(())
    }

    fn bytes(&self) -> usize {
        let cells: usize = self.cells.iter().map(|row| 24 + 8 * row.len()).sum();
        let names: usize = self.places.keys().map(|name| name.len() + 48).sum();
        size_of::<Self>() + cells + names
    }
}
