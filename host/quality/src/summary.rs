//! What a window keeps of the rows themselves, column by column: counts, moments, quantiles, the most
//! frequent values, how many different ones.
//!
//! Counts are exact, moments within rounding, the rest within the error of its sketch. A column holds
//! about 8 KB of a number, and of a category up to 10 KB besides the names. For up to
//! [`COLUMNS_MAX`] columns; further ones need another accumulator.

use caisson_stats::moments::Moments;
use serde::{Deserialize, Serialize};

use crate::accumulator::{Accumulator, Mismatch};
use crate::distinct::Distinct;
use crate::frequent::Frequent;
use crate::quantiles::Quantiles;

/// 1,000 columns are 10 MB a pane.
pub const COLUMNS_MAX: usize = 1000;

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// None.
    Missing,
    /// A number, of any type.
    Number(f64),
    /// A text, or the name of a category.
    Text(&'a str),
    /// A truth value.
    Bool(bool),
}

/// What kind of column it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Numbers with an order.
    Number,
    /// Names, numbers that are names, truth values.
    Category,
}

/// A column of numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// All rows.
    pub rows: u64,
    /// Rows without a value.
    pub missing: u64,
    /// Rows with NaN.
    pub nan: u64,
    /// Rows with an infinity. It counts in `quantiles`, not in `moments`.
    pub infinite: u64,
    /// Rows with something that is no number.
    pub unusable: u64,
    /// Of the finite values.
    pub moments: Moments,
    /// Of the values.
    pub quantiles: Quantiles,
    /// Of the values.
    pub distinct: Distinct,
}

/// A column of categories.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Categories {
    /// All rows.
    pub rows: u64,
    /// Rows without a value; NaN counts as none.
    pub missing: u64,
    /// Of the values.
    pub frequent: Frequent,
    /// Of the values.
    pub distinct: Distinct,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Column {
    /// Of numbers.
    Numbers(Box<Numbers>),
    /// Of categories.
    Categories(Box<Categories>),
}

/// Columns of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    columns: Vec<Column>,
    misfits: u64,
}

impl Summary {
    /// Of columns of these kinds, at most [`COLUMNS_MAX`]; `None` for more.
    pub fn new(kinds: &[Kind]) -> Option<Self> {
        (kinds.len() <= COLUMNS_MAX).then(|| Self::of(kinds))
    }

    /// Of columns of these kinds, of which the caller knows that they aren't too many.
    pub fn of(kinds: &[Kind]) -> Self {
        let column = |kind: &Kind| match kind {
            Kind::Number => Column::Numbers(Box::default()),
            Kind::Category => Column::Categories(Box::default()),
        };
        Self {
            columns: kinds.iter().map(column).collect(),
            misfits: 0,
        }
    }

    /// The columns, in their order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Rows that had another number of values than there are columns; none of them is counted.
    pub fn misfits(&self) -> u64 {
        self.misfits
    }
}

impl Numbers {
    /// Take a value in.
    pub fn add(&mut self, cell: Cell<'_>) {
        self.rows += 1;
        let value = match cell {
            Cell::Number(value) => value,
            Cell::Bool(value) => f64::from(u8::from(value)),
            Cell::Missing => {
                self.missing += 1;
                return;
            }
            Cell::Text(_) => {
                self.unusable += 1;
                return;
            }
        };
        if value.is_nan() {
            self.nan += 1;
            return;
        }
        // −0 is 0.
        let value = value + 0.0;
        if value.is_finite() {
            self.moments.add(value);
        } else {
            self.infinite += 1;
        }
        self.quantiles.add(value);
        self.distinct.add(value.to_bits());
    }

    fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        self.quantiles.merge(&other.quantiles)?;
        self.moments.merge(&other.moments);
        self.distinct.merge(&other.distinct);
        self.rows += other.rows;
        self.missing += other.missing;
        self.nan += other.nan;
        self.infinite += other.infinite;
        self.unusable += other.unusable;
        Ok(())
    }
}

impl Categories {
    /// Take a value in.
    pub fn add(&mut self, cell: Cell<'_>) {
        self.rows += 1;
        match cell {
            Cell::Missing => self.missing += 1,
            Cell::Number(value) if value.is_nan() => self.missing += 1,
            Cell::Text(value) => self.name(value),
            Cell::Bool(value) => self.name(if value { "true" } else { "false" }),
            Cell::Number(value) => self.name(&value.to_string()),
        }
    }

    fn name(&mut self, value: &str) {
        self.frequent.add(value);
        self.distinct.add(value);
    }

    fn merge(&mut self, other: &Self) {
        self.frequent.merge(&other.frequent);
        self.distinct.merge(&other.distinct);
        self.rows += other.rows;
        self.missing += other.missing;
    }
}

impl Column {
    fn kind(&self) -> Kind {
        match self {
            Self::Numbers(_) => Kind::Number,
            Self::Categories(_) => Kind::Category,
        }
    }

    /// All rows, and those without a value.
    pub fn missing(&self) -> (u64, u64) {
        match self {
            Self::Numbers(column) => (column.rows, column.missing),
            Self::Categories(column) => (column.rows, column.missing),
        }
    }

    /// Of the values.
    pub fn distinct(&self) -> &Distinct {
        match self {
            Self::Numbers(column) => &column.distinct,
            Self::Categories(column) => &column.distinct,
        }
    }
}

impl Accumulator for Summary {
    type Row<'a> = &'a [Cell<'a>];

    fn add(&mut self, row: &[Cell<'_>]) {
        if row.len() != self.columns.len() {
            self.misfits += 1;
            return;
        }
        for (column, cell) in self.columns.iter_mut().zip(row) {
            match column {
                Column::Numbers(column) => column.add(*cell),
                Column::Categories(column) => column.add(*cell),
            }
        }
    }

    fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        let kinds = |of: &Self| of.columns.iter().map(Column::kind).collect::<Vec<_>>();
        Mismatch::unless_same("the columns", &kinds(self), &kinds(other))?;
        for (ours, theirs) in self.columns.iter_mut().zip(&other.columns) {
            match (ours, theirs) {
                (Column::Numbers(ours), Column::Numbers(theirs)) => ours.merge(theirs)?,
                (Column::Categories(ours), Column::Categories(theirs)) => ours.merge(theirs),
                // The kinds are the same.
                _ => {}
            }
        }
        self.misfits += other.misfits;
        Ok(())
    }

    fn bytes(&self) -> usize {
        let column = |column: &Column| match column {
            Column::Numbers(c) => size_of::<Numbers>() + c.quantiles.bytes() + c.distinct.bytes(),
            Column::Categories(c) => size_of::<Categories>() + c.frequent.bytes() + c.distinct.bytes(),
        };
        size_of::<Self>() + self.columns.iter().map(column).sum::<usize>()
    }
}
