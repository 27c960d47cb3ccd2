//! Columns of a batch as they leave the server.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};
use arrow_schema::{DataType as ArrowType, Field as ArrowField};
use caisson_data::arrow::record_batch;
use caisson_data::{Batch, Column, Values};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{LogError, Redaction};

/// Bytes of a hash that are kept: no two of 2⁶⁴ values have the same.
const HASH_BYTES: usize = 16;

/// A tenant's key.
pub(crate) type Key = [u8; 32];

/// The columns of a batch under `prefix`, redacted.
pub(crate) fn columns(
    prefix: &str,
    batch: &Batch,
    redact: &BTreeMap<String, Redaction>,
    key: &Key,
) -> Result<Vec<(ArrowField, ArrayRef)>, LogError> {
    let plain = record_batch(batch).map_err(|e| LogError::Encode(e.to_string()))?;
    let mut columns = Vec::with_capacity(plain.num_columns());
    for (index, (field, array)) in plain.schema().fields().iter().zip(plain.columns()).enumerate() {
        let name = format!("{prefix}{}", field.name());
        columns.push(match redact.get(field.name()) {
            Some(Redaction::Drop) => continue,
            None => (field.as_ref().clone().with_name(name), Arc::clone(array)),
            Some(Redaction::Hash) => {
                let column = batch.column(index);
                let hashes: StringArray = (0..batch.rows())
                    .map(|row| hash(column.as_ref()?, row, key))
                    .collect();
                let field = ArrowField::new(name, ArrowType::Utf8, true);
                (field, Arc::new(hashes) as ArrayRef)
            }
        });
    }
    Ok(columns)
}

/// Of one value; none where it is missing. A number is hashed as its decimal text, so that it has one
/// hash whatever its type.
fn hash(column: &Column<'_>, row: usize, key: &Key) -> Option<String> {
    if !column.validity().is_present(row) {
        return None;
    }
    let (values, range) = column.block_range();
    let at = range.start + row;
    let number = match values {
        Values::Text(list) | Values::Bytes(list) => return mac(list.get(at)?, key),
        Values::Boolean(list) => (*list.get(at)? != 0).to_string(),
        Values::Uint8(list) => list.get(at)?.to_string(),
        Values::Uint16(list) => list.get(at)?.to_string(),
        Values::Uint32(list) => list.get(at)?.to_string(),
        Values::Uint64(list) => list.get(at)?.to_string(),
        Values::Int8(list) => list.get(at)?.to_string(),
        Values::Int16(list) => list.get(at)?.to_string(),
        Values::Int32(list) => list.get(at)?.to_string(),
        Values::Int64(list) => list.get(at)?.to_string(),
        // Refused when the deployment was checked.
        Values::Fp16(_) | Values::Bf16(_) | Values::Fp32(_) | Values::Fp64(_) => return None,
    };
    mac(number.as_bytes(), key)
}

fn mac(value: &[u8], key: &Key) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(value);
    let bytes = mac.finalize().into_bytes();
    bytes.get(..HASH_BYTES).map(hex::encode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_data::{DataType, Field, Schema, rows};

    fn batch(json: &str) -> Batch {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64),
            Field::new("code", DataType::Text).nullable(),
            Field::new("x", DataType::Fp32),
        ]);
        let limits = caisson_data::DecodeLimits::default();
        rows::decode(&Arc::new(schema.unwrap()), json.as_bytes(), &limits)
            .unwrap()
            .batch
    }

    #[test]
    fn columns_are_dropped_hashed_or_left() {
        let batch = batch(
            r#"{"rows":[{"id":7,"code":"7","x":1.5},{"id":8,"code":null,"x":2},{"id":7,"code":"a","x":3}]}"#,
        );
        let redact = BTreeMap::from([
            ("id".to_owned(), Redaction::Hash),
            ("code".to_owned(), Redaction::Hash),
        ]);
        let under = |key: u8| {
            let columns = columns("input_", &batch, &redact, &[key; 32]).unwrap();
            let names: Vec<String> = columns.iter().map(|(field, _)| field.name().clone()).collect();
            assert_eq!(names, ["input_id", "input_code", "input_x"]);
            let texts = |at: usize| -> Vec<Option<String>> {
                let array = columns[at].1.as_any().downcast_ref::<StringArray>().unwrap();
                array.iter().map(|text| text.map(str::to_owned)).collect()
            };
            (texts(0), texts(1))
        };
        let (ids, codes) = under(1);
        assert_eq!(ids[0], ids[2]);
        assert_ne!(ids[0], ids[1]);
        assert_eq!(ids[0], codes[0], "one value, one hash");
        assert_eq!(codes[1], None);
        assert_eq!(ids[0].as_ref().unwrap().len(), 2 * HASH_BYTES);
        assert_ne!(under(2).0, ids, "another key, other hashes");
        let all = BTreeMap::from([("x".to_owned(), Redaction::Drop)]);
        let left = columns("", &batch, &all, &[0; 32]).unwrap();
        assert_eq!(left.len(), 2);
        assert!(left.iter().all(|(field, _)| field.name() != "x"));
    }
}
