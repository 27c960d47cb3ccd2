//! How many rows a column has, and how many of them without a value to compare.

use serde::{Deserialize, Serialize};

/// Rows of one feature, by what they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// All rows.
    pub rows: u64,
    /// Rows without a value.
    pub missing: u64,
    /// Rows with a value that the method can't compare: NaN, for some methods infinity too. Kept
    /// apart from `missing`, since NaN is a value.
    pub unusable: u64,
}

impl Rates {
    /// Rows with a value to compare.
    pub fn values(&self) -> u64 {
        self.rows
            .saturating_sub(self.missing)
            .saturating_sub(self.unusable)
    }

    /// Share of rows without a value; 0 where there is no row.
    pub fn missing_rate(&self) -> f64 {
        share(self.missing, self.rows)
    }

    /// Share of rows with a value that can't be compared; 0 where there is no row.
    pub fn unusable_rate(&self) -> f64 {
        share(self.unusable, self.rows)
    }

    /// Do the parts fit the whole?
    pub(crate) fn is_sound(&self) -> bool {
        self.missing
            .checked_add(self.unusable)
            .is_some_and(|without| without <= self.rows)
    }
}

/// `part / whole`, 0 where the whole is 0.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
