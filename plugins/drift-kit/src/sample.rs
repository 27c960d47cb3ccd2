//! A batch taken apart into one sample a feature.

use std::collections::HashMap;

use caisson_plugin::{Batch, Error};

use crate::categories::{Counts, key_of};
use crate::features::{Cell, Feature, Kind, for_each_cell};
use crate::rates::Rates;

/// What to make of ±∞.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Infinity {
    /// A value like any other, at the end of the order.
    Keep,
    /// Unusable, as NaN is: for methods that measure distances.
    Drop,
}

/// One feature's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// How many there are, and how many of them without a value to compare.
    pub rates: Rates,
    /// The values to compare.
    pub values: Values,
}

/// Values to compare.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Sorted, without NaN and −0.
    Numbers(Vec<f64>),
    /// Rows by category.
    Categories(Counts),
}

impl Values {
    /// The numbers, where they are numbers.
    pub fn numbers(&self) -> Option<&[f64]> {
        match self {
            Self::Numbers(sorted) => Some(sorted),
            Self::Categories(_) => None,
        }
    }

    /// The counts, where they are categories.
    pub fn categories(&self) -> Option<&Counts> {
        match self {
            Self::Numbers(_) => None,
            Self::Categories(counts) => Some(counts),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Integer(i128),
    Text(&'a str),
}

#[derive(Default)]
struct Collected<'a> {
    rates: Rates,
    numbers: Vec<f64>,
    categories: HashMap<Key<'a>, u64>,
}

/// The samples of all features, in their order.
///
/// # Errors
///
/// [`Error::Internal`] where the batch isn't of the schema that the features were selected from.
pub fn samples(batch: &Batch, features: &[Feature], infinity: Infinity) -> Result<Vec<Sample>, Error> {
    let mut collected: Vec<Collected<'_>> = Vec::new();
    for feature in features {
        let mut one = Collected::default();
        if feature.kind == Kind::Number {
            one.numbers.reserve(batch.rows());
        }
        collected.push(one);
    }
    for_each_cell(batch, features, |position, cell| {
        if let Some(one) = collected.get_mut(position) {
            one.take(cell, infinity);
        }
    })?;
    Ok(features
        .iter()
        .zip(collected)
        .map(|(feature, one)| one.finish(feature.kind))
        .collect())
}

impl<'a> Collected<'a> {
    fn take(&mut self, cell: Cell<'a>, infinity: Infinity) {
        self.rates.rows += 1;
        let key = match cell {
            Cell::Missing => {
                self.rates.missing += 1;
                return;
            }
            Cell::Number(number) => {
                if number.is_nan() || (infinity == Infinity::Drop && number.is_infinite()) {
                    self.rates.unusable += 1;
                } else {
                    // Adding 0 turns −0 into 0, which is the same value.
                    self.numbers.push(number + 0.0);
                }
                return;
            }
            Cell::Integer(integer) => Key::Integer(integer),
            Cell::Text(text) => Key::Text(text),
        };
        *self.categories.entry(key).or_default() += 1;
    }

    fn finish(mut self, kind: Kind) -> Sample {
        let values = match kind {
            Kind::Number => {
                self.numbers.sort_unstable_by(f64::total_cmp);
                Values::Numbers(self.numbers)
            }
            Kind::Category => {
                let mut counts = Counts::new();
                for (key, rows) in self.categories {
                    let name = match key {
                        Key::Integer(integer) => integer.to_string(),
                        Key::Text(text) => key_of(text),
                    };
                    *counts.entry(name).or_default() += rows;
                }
                Values::Categories(counts)
            }
        };
        Sample {
            rates: self.rates,
            values,
        }
    }
}

#[cfg(test)]
mod tests {
    use caisson_plugin::testing::batch;
    use caisson_plugin::{Batch, Columns};

    use super::*;
    use crate::features::{COMPARABLE, kinds, select};

    fn features(batch: &Batch, categorical: &[&str]) -> Vec<Feature> {
        let categorical: Vec<String> = categorical.iter().map(|&name| name.to_owned()).collect();
        let kinds = kinds(batch.schema(), &categorical).unwrap();
        select(batch.schema(), &Columns::default(), COMPARABLE, kinds).unwrap()
    }

    #[test]
    fn missing_nan_and_infinity_are_told_apart() {
        let rows = batch!["x": fp32 = [3.0, None, f32::NAN, -0.0, f32::INFINITY, 1.0]];
        let features = features(&rows, &[]);
        let kept = samples(&rows, &features, Infinity::Keep).unwrap();
        assert_eq!(
            kept[0].rates,
            Rates {
                rows: 6,
                missing: 1,
                unusable: 1
            }
        );
        let Values::Numbers(numbers) = &kept[0].values else {
            panic!("numbers")
        };
        assert_eq!(numbers, &[0.0, 1.0, 3.0, f64::INFINITY]);
        assert!(numbers[0].is_sign_positive());
        let dropped = samples(&rows, &features, Infinity::Drop).unwrap();
        assert_eq!(
            dropped[0].rates,
            Rates {
                rows: 6,
                missing: 1,
                unusable: 2
            }
        );
        assert_eq!(dropped[0].values, Values::Numbers(vec![0.0, 1.0, 3.0]));
    }

    #[test]
    fn categories_are_counted_and_integers_keep_every_bit() {
        let rows = batch![
            "plan": text = ["gold", None, "gold", "lead"],
            "id": uint64 = [u64::MAX, u64::MAX - 1, u64::MAX, 0],
            "paid": boolean = [true, true, false, None],
        ];
        let samples = samples(&rows, &features(&rows, &["id"]), Infinity::Keep).unwrap();
        let counts = |position: usize| -> Vec<(String, u64)> {
            let Values::Categories(counts) = &samples[position].values else {
                panic!("categories")
            };
            counts.clone().into_iter().collect()
        };
        assert_eq!(counts(0), [("gold".into(), 2), ("lead".into(), 1)]);
        assert_eq!(
            counts(1),
            [
                ("0".into(), 1),
                (u64::MAX.to_string(), 2),
                ((u64::MAX - 1).to_string(), 1)
            ]
            .into_iter()
            .collect::<Counts>()
            .into_iter()
            .collect::<Vec<_>>()
        );
        assert_eq!(counts(2), [("false".into(), 1), ("true".into(), 2)]);
        assert_eq!(samples[2].rates.missing, 1);
    }

    #[test]
    fn elements_of_a_column_with_a_shape_are_features() {
        let rows = batch!["a": int8 = [1, 2], "x": fp64[2, 2] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]];
        let features = features(&rows, &[]);
        let names: Vec<_> = features.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["a", "x[0, 0]", "x[0, 1]", "x[1, 0]", "x[1, 1]"]);
        let samples = samples(&rows, &features, Infinity::Keep).unwrap();
        assert_eq!(samples[0].values, Values::Numbers(vec![1.0, 2.0]));
        assert_eq!(samples[3].values, Values::Numbers(vec![3.0, 7.0]));
    }
}
