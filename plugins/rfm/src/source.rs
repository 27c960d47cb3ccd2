//! Reading a row's transactions: from JSON text, or from columns of dates and amounts.

use std::borrow::Cow;

use caisson_plugin::dates::{self, DAY_SECONDS, Timestamp};
use caisson_plugin::prelude::*;
use caisson_plugin::show::{quote, show};

use crate::measures::Transaction;

/// Columns of dates and amounts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arrays {
    /// `int32[k]` or `int64[k]`.
    dates: String,
    /// Numbers of the same shape.
    amounts: String,
    /// How many of the k places are in use: a scalar of an integer type.
    count: Option<String>,
    /// What `dates` counts since 1970-01-01.
    #[serde(default)]
    unit: Unit,
    /// The date of an empty place, where there is no `count`; absent: the least value of the type.
    padding: Option<i64>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    #[default]
    Days,
    S,
    Ms,
    Ns,
}

impl Unit {
    /// How many make a day.
    const fn per_day(self) -> i64 {
        match self {
            Self::Days => 1,
            Self::S => DAY_SECONDS,
            Self::Ms => DAY_SECONDS * 1_000,
            Self::Ns => DAY_SECONDS * 1_000_000_000,
        }
    }
}

/// Where the transactions are.
#[derive(Debug)]
pub(crate) enum Source {
    Json(usize),
    Arrays {
        dates: usize,
        amounts: usize,
        count: Option<usize>,
        unit: Unit,
        padding: i64,
    },
}

const DATES: Need = Need::new("int32 or int64 of one dimension", |field| {
    field.shape.len() == 1 && matches!(field.data_type, DataType::Int32 | DataType::Int64)
});
const AMOUNTS: Need = Need::new("numbers of one dimension", |field| {
    field.shape.len() == 1
        && !matches!(
            field.data_type,
            DataType::Boolean | DataType::Text | DataType::Bytes
        )
});
const COUNT: Need = Need::new("a scalar of an integer type", |field| {
    Need::NUMBER.suits(field) && !field.data_type.is_float()
});

impl Source {
    pub(crate) fn json(input: &Schema, name: &str) -> Result<Self, Error> {
        Need::TEXT.find(input, name).map(Self::Json)
    }

    pub(crate) fn arrays(input: &Schema, config: &Arrays) -> Result<Self, Error> {
        let (dates, amounts) = (
            DATES.find(input, &config.dates)?,
            AMOUNTS.find(input, &config.amounts)?,
        );
        let count = config
            .count
            .as_ref()
            .map(|name| COUNT.find(input, name))
            .transpose()?;
        if let (Some(dates), Some(amounts)) = (input.field(dates), input.field(amounts))
            && dates.shape != amounts.shape
        {
            return Err(Error::schema_mismatch(format!(
                "columns `{dates}` and `{amounts}` must have the same shape"
            )));
        }
        if count.is_some() && config.padding.is_some() {
            return Err(Error::invalid_config("give `count` or `padding`, not both"));
        }
        let narrow = input.field(dates).is_some_and(|f| f.data_type == DataType::Int32);
        let least = if narrow { i64::from(i32::MIN) } else { i64::MIN };
        let padding = config.padding.unwrap_or(least);
        Ok(Self::Arrays {
            dates,
            amounts,
            count,
            unit: config.unit,
            padding,
        })
    }

    /// The input columns.
    pub(crate) fn columns(&self) -> Vec<usize> {
        match self {
            Self::Json(index) => vec![*index],
            Self::Arrays {
                dates,
                amounts,
                count,
                ..
            } => [*dates, *amounts].into_iter().chain(*count).collect(),
        }
    }

    /// Look the columns of a batch up.
    pub(crate) fn open<'a>(&self, input: &'a Batch) -> Result<Rows<'a>, Error> {
        match *self {
            Self::Json(index) => Ok(Rows::Json(input.at(index)?)),
            Self::Arrays {
                dates,
                amounts,
                count,
                unit,
                padding,
            } => {
                let (dates, amounts) = (input.at(dates)?, input.at(amounts)?);
                let mut flat = Vec::with_capacity(amounts.elements());
                amounts.numbers()?.for_each(|amount| flat.push(amount));
                let count = count.map(|index| input.at(index)).transpose()?;
                Ok(Rows::Arrays {
                    dates,
                    amounts: flat,
                    count,
                    unit,
                    padding,
                })
            }
        }
    }
}

/// The transactions of a batch.
#[derive(Debug)]
pub(crate) enum Rows<'a> {
    Json(Column<'a>),
    Arrays {
        dates: Column<'a>,
        /// `None` where the row is missing.
        amounts: Vec<Option<f64>>,
        count: Option<Column<'a>>,
        unit: Unit,
        padding: i64,
    },
}

impl Rows<'_> {
    /// The column that errors name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Json(column) | Self::Arrays { dates: column, .. } => &column.field().name,
        }
    }

    /// Read a row's transactions into the list, in place of what was there. False where they are
    /// missing.
    pub(crate) fn read(&self, row: usize, into: &mut Vec<Transaction>) -> Result<bool, Error> {
        into.clear();
        match self {
            Self::Json(column) => match column.text(row).filter(|_| !column.is_missing(row)) {
                None => Ok(false),
                Some(text) => {
                    parse(text, into).map_err(|message| Error::bad_input(row, self.name(), message))?;
                    Ok(true)
                }
            },
            Self::Arrays {
                dates,
                amounts,
                count,
                unit,
                padding,
            } => {
                let width = dates.field().row_elements();
                let missing = |column: &Column<'_>| column.is_missing(row);
                if missing(dates) || count.as_ref().is_some_and(missing) {
                    return Ok(false);
                }
                let used = match count {
                    None => width,
                    Some(count) => places_used(count, row, width)?,
                };
                let places = row * width..row * width + used;
                for (place, element) in places.enumerate() {
                    let (Some(date), Some(amount)) = (integer(dates, element), amounts.get(element)) else {
                        return Err(Error::internal("a column is shorter than its rows"));
                    };
                    let Some(amount) = *amount else { return Ok(false) };
                    if count.is_none() && (date == *padding || amount.is_nan()) {
                        continue;
                    }
                    if !amount.is_finite() {
                        let message = format!("the amount at [{place}] is {amount}");
                        return Err(Error::bad_input(row, self.name(), message));
                    }
                    into.push(Transaction {
                        day: date.div_euclid(unit.per_day()),
                        amount,
                    });
                }
                Ok(true)
            }
        }
    }
}

/// A row's count, which must lie between 0 and the places that there are.
fn places_used(count: &Column<'_>, row: usize, width: usize) -> Result<usize, Error> {
    let used = count
        .to_f64(row)
        .filter(|used| (0.0..=width as f64).contains(used));
    used.map(|used| used as usize).ok_or_else(|| {
        let message = format!("{} transactions in {width} places", show(count, row));
        Error::bad_input(row, &count.field().name, message)
    })
}

fn integer(column: &Column<'_>, element: usize) -> Option<i64> {
    match column.int64s() {
        Some(list) => list.get(element).copied(),
        None => column.int32s()?.get(element).copied().map(i64::from),
    }
}

/// Read `[["1997-01-01", 11.77], …]`. The error is for the caller.
fn parse(text: &str, into: &mut Vec<Transaction>) -> Result<(), String> {
    let pairs: Vec<(Cow<'_, str>, f64)> =
        serde_json::from_str(text).map_err(|error| format!("no JSON list of [date, amount]: {error}"))?;
    into.reserve(pairs.len());
    for (date, amount) in pairs {
        let time = Timestamp::parse(&date)
            .ok_or_else(|| format!("{} is no date such as 1997-01-01", quote(&date)))?;
        into.push(Transaction {
            day: time.day_at(0),
            amount,
        });
    }
    Ok(())
}

/// A column of days.
#[derive(Debug)]
pub(crate) struct Days(usize);

impl Days {
    pub(crate) fn find(input: &Schema, name: &str) -> Result<Self, Error> {
        dates::NEEDED.find(input, name).map(Self)
    }

    /// Position in the input.
    pub(crate) fn index(&self) -> usize {
        self.0
    }

    /// The day of a row, `None` where missing.
    pub(crate) fn get(&self, input: &Batch, row: usize) -> Result<Option<i64>, Error> {
        let column = input.at(self.0)?;
        if column.is_missing(row) {
            return Ok(None);
        }
        let day = match column.text(row) {
            Some(text) => Timestamp::parse(text).map(|time| time.day_at(0)),
            None => integer(&column, row),
        };
        let refused = || {
            let message = format!("{} is no date such as 1997-12-31", show(&column, row));
            Error::bad_input(row, &column.field().name, message)
        };
        day.map(Some).ok_or_else(refused)
    }
}
