//! How many different values? A HyperLogLog sketch of Apache DataSketches.
//!
//! Exact up to a few dozen, then within about 2.3 % (one standard error) however many there are, after
//! any merging; merging gives the same estimate in any order within that error. At most 2 KB.

use std::hash::Hash;

use datasketches::common::NumStdDev;
use datasketches::hll::{HllSketch, HllType, HllUnion};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 2¹¹ registers of a byte.
const LG_REGISTERS: u8 = 11;

/// A sketch of the set of values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distinct(Option<HllSketch>);

impl Distinct {
    /// Take a value in.
    pub fn add(&mut self, value: impl Hash) {
        if self.0.is_none() {
            self.0 = HllSketch::new(LG_REGISTERS, HllType::Hll8).ok();
        }
        if let Some(sketch) = &mut self.0 {
            sketch.update(value);
        }
    }

    /// Take in another set.
    pub fn merge(&mut self, other: &Self) {
        let (Some(ours), Some(theirs)) = (&self.0, &other.0) else {
            if self.0.is_none() {
                self.0.clone_from(&other.0);
            }
            return;
        };
        if let Ok(mut union) = HllUnion::new(LG_REGISTERS) {
            union.update(ours);
            union.update(theirs);
            self.0 = Some(union.to_sketch(HllType::Hll8));
        }
    }

    /// About how many different values there are.
    pub fn estimate(&self) -> f64 {
        self.0.as_ref().map_or(0.0, HllSketch::estimate)
    }

    /// The number is between these with 95 % confidence.
    pub fn bounds(&self) -> (f64, f64) {
        self.0.as_ref().map_or((0.0, 0.0), |sketch| {
            (
                sketch.lower_bound(NumStdDev::Two),
                sketch.upper_bound(NumStdDev::Two),
            )
        })
    }

    /// About how many bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.as_ref().map_or(0, HllSketch::estimated_size)
    }
}

impl Serialize for Distinct {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().map(HllSketch::serialize).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(bytes) = Option::<Vec<u8>>::deserialize(deserializer)? else {
            return Ok(Self(None));
        };
        let sketch = HllSketch::deserialize(&bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(Some(sketch)))
    }
}
