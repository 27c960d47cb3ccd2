//! Single values of columns, as labels and keys are compared.

use std::borrow::Cow;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};

/// A column, if it is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells<'a>(Option<&'a ArrayRef>);

impl<'a> Cells<'a> {
    pub(crate) fn of(batch: &'a RecordBatch, name: &str) -> Self {
        Self(batch.column_by_name(name))
    }

    fn at(self, row: usize) -> Option<&'a ArrayRef> {
        self.0.filter(|array| row < array.len() && !array.is_null(row))
    }

    /// The value as text: names as they are, whole numbers as decimals, truth values as words. A float
    /// that is whole has the text of that number.
    pub(crate) fn text(self, row: usize) -> Option<Cow<'a, str>> {
        let array = self.at(row)?;
        Some(match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().value(row).into(),
            DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
            DataType::Boolean => (if array.as_boolean().value(row) {
                "true"
            } else {
                "false"
            })
            .into(),
            DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string().into(),
            DataType::Float32 | DataType::Float64 => {
                let number = element(array, row)?;
                if !number.is_finite() {
                    return None;
                }
                number.to_string().into()
            }
            _ => int(array, row)?.to_string().into(),
        })
    }

    /// The value as a number.
    pub(crate) fn number(self, row: usize) -> Option<f64> {
        element(self.at(row)?, row)
    }

    /// A whole number.
    pub(crate) fn int(self, row: usize) -> Option<i64> {
        int(self.at(row)?, row)
    }

    /// A time, in microseconds.
    pub(crate) fn micros(self, row: usize) -> Option<i64> {
        let array = self.at(row)?;
        match array.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Some(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            _ => None,
        }
    }

    /// The numbers of a row whose column has a shape, all of them or one; those of a scalar column are it.
    pub(crate) fn numbers(self, row: usize, which: Option<usize>, out: &mut Vec<f64>) {
        let Some(array) = self.at(row) else {
            return;
        };
        let mut list = ArrayRef::clone(array);
        let mut at = row;
        while matches!(list.data_type(), DataType::FixedSizeList(..)) {
            list = list.as_fixed_size_list().value(at);
            at = 0;
            if !matches!(list.data_type(), DataType::FixedSizeList(..)) {
                let wanted = which.map_or(0..list.len(), |at| at..(at + 1).min(list.len()));
                out.extend(wanted.filter_map(|at| element(&list, at)));
                return;
            }
            // Rows of rows: each in its order.
            if list.len() > 1 {
                let mut all = Vec::new();
                flatten(&list, &mut all);
                match which {
                    Some(at) => out.extend(all.get(at)),
                    None => out.extend(all),
                }
                return;
            }
        }
        out.extend(element(&list, at));
    }
}

fn flatten(list: &ArrayRef, out: &mut Vec<f64>) {
    for at in 0..list.len() {
        match list.data_type() {
            DataType::FixedSizeList(..) => flatten(&list.as_fixed_size_list().value(at), out),
            _ => out.extend(element(list, at)),
        }
    }
}

fn element(array: &ArrayRef, row: usize) -> Option<f64> {
    match array.data_type() {
        DataType::Float32 => Some(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Some(array.as_primitive::<Float64Type>().value(row)),
        DataType::UInt64 => Some(array.as_primitive::<UInt64Type>().value(row) as f64),
        DataType::Boolean => Some(f64::from(u8::from(array.as_boolean().value(row)))),
        _ => int(array, row).map(|number| number as f64),
    }
}

fn int(array: &ArrayRef, row: usize) -> Option<i64> {
    macro_rules! value {
        ($kind:ty) => {
            Some(array.as_primitive::<$kind>().value(row).into())
        };
    }
    match array.data_type() {
        DataType::Int8 => value!(Int8Type),
        DataType::Int16 => value!(Int16Type),
        DataType::Int32 => value!(Int32Type),
        DataType::Int64 => value!(Int64Type),
        DataType::UInt8 => value!(UInt8Type),
        DataType::UInt16 => value!(UInt16Type),
        DataType::UInt32 => value!(UInt32Type),
        DataType::UInt64 => i64::try_from(array.as_primitive::<UInt64Type>().value(row)).ok(),
        _ => None,
    }
}

/// The text of a key of one or several values: that of the value, or a list of them in JSON.
pub(crate) fn entity(columns: &[Cells<'_>], row: usize) -> Option<String> {
    if let [one] = columns {
        return one.text(row).map(Cow::into_owned);
    }
    let texts: Option<Vec<Cow<'_, str>>> = columns.iter().map(|column| column.text(row)).collect();
    serde_json::to_string(&texts?).ok()
}
