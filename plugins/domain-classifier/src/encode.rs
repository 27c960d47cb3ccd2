//! Values of a feature as codes of 0 to 63, by what is known of the reference.
//!
//! | code | numbers | categories |
//! | --- | --- | --- |
//! | 0 | missing | missing |
//! | 1 | NaN | |
//! | 2 to 62 | the bin, of equal shares of the reference, outer ends open | the most frequent ones |
//! | 63 | (the last bin of 62) | all others |
//!
//! A missing value is thus a value like any other to the classifier.

use std::collections::BTreeMap;

use drift_kit::categories::{CategorySketch, key_of};
use drift_kit::features::Cell;
use drift_kit::numbers::{Summary, quantile_edges};
use drift_kit::sample::Values;
use serde::{Deserialize, Serialize};

use crate::forest::CODES;

const MISSING: u8 = 0;
const NAN: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = CODES as u8 - 1;
/// Bins of numbers. A value that alone fills a bin takes two edges, so there may be twice as many:
/// still no more than there are codes.
const BINS: usize = 30;
/// Rows of the reference in a bin at the least: the bins are the reference's own, and narrow ones fit
/// it better than any other sample.
const BIN_ROWS_MIN: usize = 20;

/// What is known of a feature's reference.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Encoder {
    /// Of numbers.
    Numbers {
        /// Inner edges of the bins.
        edges: Vec<f64>,
        /// For the words.
        summary: Summary,
    },
    /// Of categories.
    Categories(CategorySketch),
}

impl Encoder {
    /// Of the reference's values.
    pub fn of(values: &Values) -> Self {
        match values {
            Values::Numbers(sorted) => {
                let bins = BINS.min(sorted.len() / BIN_ROWS_MIN).max(2);
                Self::Numbers {
                    edges: quantile_edges(sorted, bins),
                    summary: Summary::of(sorted),
                }
            }
            Values::Categories(counts) => Self::Categories(CategorySketch::of(counts)),
        }
    }

    /// May this have come from [`Self::of`]?
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Numbers { edges, summary } => {
                edges.is_sorted_by(|a, b| a < b)
                    && edges.len() <= usize::from(LAST - FIRST)
                    && summary.is_sound()
            }
            Self::Categories(sketch) => sketch.is_sound(),
        }
    }

    /// How current values stand to the reference, in words; `None` for values of the other kind.
    pub fn compare(&self, current: &Values) -> Option<String> {
        match self {
            Self::Numbers { summary, .. } => current.numbers().map(|sorted| summary.compare(sorted)),
            Self::Categories(sketch) => current.categories().map(|counts| sketch.compare(counts)),
        }
    }

    /// Ready to encode many values.
    pub fn codes(&self) -> Codes<'_> {
        match self {
            Self::Numbers { edges, .. } => Codes::Numbers(edges),
            Self::Categories(sketch) => Codes::Categories(sketch.positions()),
        }
    }
}

/// Gives the code of a value.
pub enum Codes<'a> {
    /// By the edges of its bin.
    Numbers(&'a [f64]),
    /// By its position.
    Categories(BTreeMap<&'a str, usize>),
}

impl Codes<'_> {
    /// The code of one value. Numbers are no categories, and the other way round: code 63.
    pub fn of(&self, cell: Cell<'_>) -> u8 {
        match (self, cell) {
            (_, Cell::Missing) => MISSING,
            (Self::Numbers(_), Cell::Number(number)) if number.is_nan() => NAN,
            (Self::Numbers(edges), Cell::Number(number)) => {
                nth(Some(edges.partition_point(|&edge| edge <= number)))
            }
            (Self::Categories(positions), Cell::Text(text)) => {
                nth(positions.get(key_of(text).as_str()).copied())
            }
            (Self::Categories(positions), Cell::Integer(integer)) => {
                nth(positions.get(integer.to_string().as_str()).copied())
            }
            (Self::Numbers(_), _) | (Self::Categories(_), Cell::Number(_)) => LAST,
        }
    }
}

/// The code of the bin or category at this position; the last one where there is none left.
fn nth(position: Option<usize>) -> u8 {
    let code = position
        .and_then(|p| u8::try_from(p).ok())
        .and_then(|p| p.checked_add(FIRST));
    code.map_or(LAST, |code| code.min(LAST))
}
