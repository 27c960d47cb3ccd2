//! Classification by labels: the confusion matrix and what follows from it.
//!
//! Counts are exact and mergeable. Up to [`CLASSES_MAX`] classes are kept by name, those named at the
//! start first, then those that come; rows of further ones are "other", a class of its own in which a
//! row is right only where both names are the same. Accuracy is exact whatever the number of classes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::accumulator::{Accumulator, Mismatch};

mod metrics;

pub use metrics::{Average, ClassMetric};

/// A matrix of 100 × 100 counts is 80 KB; nobody reads a larger one.
pub const CLASSES_MAX: usize = 100;
/// A label longer than this is "other": labels are names, not texts.
pub const LABEL_BYTES_MAX: usize = 256;

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
