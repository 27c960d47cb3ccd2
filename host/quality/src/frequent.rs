//! The most frequent values and their counts: the frequent-items sketch of Apache DataSketches
//! (Misra–Gries with purges).
//!
//! Exact while there are at most [`KEPT`] different values. Beyond, a count is between the row's
//! `at_least` and `at_least + `[`Frequent::error`], and every value with more rows than that error is
//! listed; the error is at most 3.5 / 256 of all rows, after any merging.

use datasketches::frequencies::{ErrorType, FrequentItemsSketch};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MAP: usize = 256;
/// Values that are listed at most.
pub const KEPT: usize = MAP * 3 / 4;
/// Longer values are texts, not categories: they are counted as "other".
pub const VALUE_BYTES_MAX: usize = 256;

/// A value with its count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frequency {
    /// The value.
    pub value: String,
    /// Rows that surely have it.
    pub at_least: u64,
}

/// Counts of values.
#[derive(Debug, Clone, Default)]
pub struct Frequent {
    /// Made with the first value.
    sketch: Option<FrequentItemsSketch<String>>,
    long: u64,
}

impl Frequent {
    /// Take a value in.
    pub fn add(&mut self, value: &str) {
        if value.len() > VALUE_BYTES_MAX {
            self.long += 1;
            return;
        }
        if self.sketch.is_none() {
            self.sketch = FrequentItemsSketch::new(MAP).ok();
        }
        if let Some(sketch) = &mut self.sketch {
            sketch.update_ref(value);
        }
    }

    /// Take in other counts.
    pub fn merge(&mut self, other: &Self) {
        match (&mut self.sketch, &other.sketch) {
            (Some(ours), Some(theirs)) => ours.merge(theirs),
            (None, Some(_)) => self.sketch.clone_from(&other.sketch),
            (_, None) => {}
        }
        self.long += other.long;
    }

    /// Values taken in.
    pub fn total(&self) -> u64 {
        self.sketch.as_ref().map_or(0, FrequentItemsSketch::total_weight) + self.long
    }

    /// How much a count may be too low. 0: all counts are exact.
    pub fn error(&self) -> u64 {
        self.sketch.as_ref().map_or(0, FrequentItemsSketch::maximum_error)
    }

    /// Are all values listed, with exact counts?
    pub fn is_exact(&self) -> bool {
        self.error() == 0 && self.long == 0
    }

    /// What is listed, most frequent first, at most [`KEPT`].
    pub fn list(&self) -> Vec<Frequency> {
        let all = |sketch: &FrequentItemsSketch<String>| {
            sketch.frequent_items_with_threshold(ErrorType::NoFalseNegatives, 0)
        };
        let rows = self.sketch.iter().flat_map(all);
        let mut list: Vec<Frequency> = rows
            .map(|row| Frequency {
                value: row.item().clone(),
                at_least: row.lower_bound(),
            })
            .collect();
        list.sort_by(|a, b| b.at_least.cmp(&a.at_least).then_with(|| a.value.cmp(&b.value)));
        list
    }

    /// Is the value listed?
    pub fn lists(&self, value: &str) -> bool {
        self.sketch
            .as_ref()
            .is_some_and(|sketch| sketch.lower_bound(value) > 0)
    }

    /// Rows that no listed value accounts for.
    pub fn other(&self) -> u64 {
        let listed: u64 = self.list().iter().map(|row| row.at_least).sum();
        self.total().saturating_sub(listed)
    }

    /// About how many bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        let names: usize = self.list().iter().map(|row| row.value.len()).sum();
        self.sketch
            .as_ref()
            .map_or(0, FrequentItemsSketch::estimated_size)
            + names
    }
}

impl PartialEq for Frequent {
    fn eq(&self, other: &Self) -> bool {
        self.long == other.long && self.error() == other.error() && self.list() == other.list()
    }
}

impl Serialize for Frequent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sketch = self.sketch.as_ref().map(FrequentItemsSketch::serialize);
        (sketch, self.long).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Frequent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (bytes, long) = <(Option<Vec<u8>>, u64)>::deserialize(deserializer)?;
        let sketch = bytes.map(|bytes| FrequentItemsSketch::deserialize(&bytes));
        let sketch = sketch.transpose().map_err(serde::de::Error::custom)?;
        Ok(Self { sketch, long })
    }
}
