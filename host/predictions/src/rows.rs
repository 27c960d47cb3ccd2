//! Rows of a log as JSON: a look at what was predicted, not an export of it.

use std::ops::ControlFlow;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, TimeUnit};
use jiff::Timestamp;
use serde_json::{Map, Number, Value, json};

use crate::read::{LogFile, LogReader};
use crate::{Hour, LogError};

/// Bytes of JSON of one selection, about: what an answer may be.
const SELECTED_BYTES_MAX: usize = 32 << 20;

/// Which rows.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Received at this time or later.
    pub from: Option<Timestamp>,
    /// Received before this time.
    pub to: Option<Timestamp>,
    /// Of this request.
    pub request_id: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// Rows that were selected.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// In the order in which they came, but for requests that were answered at the same time.
    pub rows: Vec<Map<String, Value>>,
    /// Are there more?
    pub truncated: bool,
}

impl LogReader {
    /// Rows of a deployment's log. What waits to be written isn't among them.
    ///
    /// # Errors
    ///
    /// The store; a damaged file.
    pub fn select(
        &self,
        tenant: &str,
        deployment: &str,
        selection: &Selection,
    ) -> Result<Selected, LogError> {
        let mut selected = Selected {
            rows: Vec::new(),
            truncated: false,
        };
        let mut bytes = 0;
        for file in self.files(tenant, deployment)? {
            if !selection.may_have(file.hour) {
                continue;
            }
            if self
                .select_of(&file, selection, &mut selected, &mut bytes)?
                .is_break()
            {
                selected.truncated = true;
                break;
            }
        }
        Ok(selected)
    }

    fn select_of(
        &self,
        file: &LogFile,
        selection: &Selection,
        selected: &mut Selected,
        bytes: &mut usize,
    ) -> Result<ControlFlow<()>, LogError> {
        // Most files haven't a request's rows: one column says so.
        if let Some(id) = &selection.request_id {
            let Some(ids) = self.rows(&file.path, Some(&["request_id"]))? else {
                return Ok(ControlFlow::Continue(()));
            };
            let mut found = false;
            for batch in ids {
                found |= texts(&batch?, "request_id").any(|text| text == Some(id));
            }
            if !found {
                return Ok(ControlFlow::Continue(()));
            }
        }
        let Some(rows) = self.rows(&file.path, None)? else {
            return Ok(ControlFlow::Continue(()));
        };
        for batch in rows {
            let batch = batch?;
            let wanted = selection.wanted(&batch);
            for row in wanted {
                if selected.rows.len() >= selection.limit || *bytes > SELECTED_BYTES_MAX {
                    return Ok(ControlFlow::Break(()));
                }
                let row = object(&batch, row);
                *bytes += row
                    .iter()
                    .map(|(name, value)| name.len() + size(value))
                    .sum::<usize>();
                selected.rows.push(row);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Selection {
    fn may_have(&self, hour: Hour) -> bool {
        let of = |time: &Timestamp| Hour::of_micros(time.as_microsecond());
        self.from.as_ref().is_none_or(|from| of(from) <= hour)
            && self.to.as_ref().is_none_or(|to| hour <= of(to))
    }

    fn wanted(&self, batch: &RecordBatch) -> Vec<usize> {
        let received = batch.column_by_name("received_at");
        let received = received.and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        let in_time = |row: usize| {
            let at = received.map(|list| list.value(row));
            self.from.is_none_or(|from| at >= Some(from.as_microsecond()))
                && self.to.is_none_or(|to| at < Some(to.as_microsecond()))
        };
        let ids: Vec<Option<&str>> = match &self.request_id {
            None => Vec::new(),
            Some(_) => texts(batch, "request_id").collect(),
        };
        let is_asked = |row: usize| {
            let asked = self.request_id.as_deref();
            asked.is_none() || ids.get(row).copied().flatten() == asked
        };
        (0..batch.num_rows())
            .filter(|&row| in_time(row) && is_asked(row))
            .collect()
    }
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
    let column = batch.column_by_name(name);
    let column = column.and_then(|column| column.as_string_opt::<i32>());
    column.into_iter().flatten()
}

fn object(batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let fields = batch.schema_ref().fields().iter();
    fields
        .zip(batch.columns())
        .map(|(field, column)| (field.name().clone(), value(field, column.as_ref(), row)))
        .collect()
}

/// One value. What JSON has no number for is null, as it is in answers.
fn value(field: &Field, array: &dyn Array, row: usize) -> Value {
    macro_rules! integer {
        ($kind:ty) => {
            array.as_primitive::<$kind>().value(row).into()
        };
    }
    if array.is_null(row) {
        return Value::Null;
    }
    let float = |number: f64| Number::from_f64(number).map_or(Value::Null, Value::Number);
    // bfloat16 is told from an integer by what the writer says of it.
    let is_bfloat = field.metadata().values().any(|name| name.contains("bfloat16"));
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Binary => hex::encode(array.as_binary::<i32>().value(row)).into(),
        DataType::LargeBinary => hex::encode(array.as_binary::<i64>().value(row)).into(),
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 => integer!(UInt8Type),
        DataType::UInt16 if is_bfloat => {
            let bits = array.as_primitive::<UInt16Type>().value(row);
            float(half::bf16::from_bits(bits).to_f64())
        }
        DataType::UInt16 => integer!(UInt16Type),
        DataType::UInt32 => integer!(UInt32Type),
        DataType::UInt64 => integer!(UInt64Type),
        DataType::Float16 => float(array.as_primitive::<Float16Type>().value(row).to_f64()),
        // The shortest text that is this float, not the double beside it.
        DataType::Float32 => {
            let number = array.as_primitive::<Float32Type>().value(row);
            float(number.to_string().parse().unwrap_or_else(|_| f64::from(number)))
        }
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            Timestamp::from_microsecond(micros).map_or(Value::Null, |time| json!(time.to_string()))
        }
        DataType::FixedSizeList(..) => {
            let list = array.as_fixed_size_list().value(row);
            (0..list.len())
                .map(|at| value(field, list.as_ref(), at))
                .collect()
        }
        _ => Value::Null,
    }
}

/// About how long it is as text.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 6,
        Value::Array(list) => list.iter().map(size).sum(),
        _ => 16,
    }
}
