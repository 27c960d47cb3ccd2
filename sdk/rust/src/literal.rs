//! Values that a config writes for a column: fill values, bounds, categories.
//!
//! A [`Literal`] is what JSON can say; [`values`] turns a list of them into elements of the column's
//! own type, exactly or not at all, so that comparisons at run time are between equal types. A
//! [`Lookup`] finds a column's elements in such a list.

use caisson_data::{Column, DataType, Field, Values, VarLen};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Error;
use crate::show::quote;

/// A value in a config: a boolean, a number or text.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Literal {
    /// For boolean columns.
    Boolean(bool),
    /// For numeric columns; must be exact for integers and finite for floats, which round it to
    /// their nearest value.
    Number(serde_json::Number),
    /// For text columns, and for bytes as the text's UTF-8.
    Text(String),
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => f.write_str(&quote(value)),
        }
    }
}

impl From<f64> for Literal {
    /// JSON has no NaN and no infinity: those become text, which no numeric column takes.
    fn from(value: f64) -> Self {
        serde_json::Number::from_f64(value).map_or_else(|| Self::Text(value.to_string()), Self::Number)
    }
}

/// One value for every element of a column, or for a column with a shape one for each element of a
/// row, in row-major order.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PerElement<T> {
    /// The same for all.
    All(T),
    /// One each.
    Each(Vec<T>),
}

impl<T> PerElement<T> {
    /// One value, or as many as the field's row has elements.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] for a list of another length; `what` names the value in it.
    pub fn of(&self, field: &Field, what: &str) -> Result<&[T], Error> {
        match self {
            Self::All(value) => Ok(std::slice::from_ref(value)),
            Self::Each(values) if values.len() == field.row_elements() && !field.is_scalar() => Ok(values),
            Self::Each(values) => Err(Error::invalid_config(format!(
                "column `{}`: {what} lists {} values where a row has {} {}",
                field.name,
                values.len(),
                field.row_elements(),
                if field.is_scalar() {
                    "element: give one number"
                } else {
                    "elements"
                },
            ))),
        }
    }
}

/// The literals as elements of a type.
///
/// # Errors
///
/// [`Error::InvalidConfig`] for the first that is no value of the type; `what` says whose it is.
pub fn values(literals: &[Literal], data_type: DataType, what: &str) -> Result<Values, Error> {
    let mut values = Values::empty(data_type);
    for literal in literals {
        push(&mut values, literal).ok_or_else(|| {
            Error::invalid_config(format!("{what}: {literal} is no value of type {data_type}"))
        })?;
    }
    Ok(values)
}

fn push(values: &mut Values, literal: &Literal) -> Option<()> {
    match (values, literal) {
        (Values::Boolean(list), Literal::Boolean(value)) => list.push(u8::from(*value)),
        (Values::Uint8(list), Literal::Number(n)) => list.push(integer(n)?.try_into().ok()?),
        (Values::Uint16(list), Literal::Number(n)) => list.push(integer(n)?.try_into().ok()?),
        (Values::Uint32(list), Literal::Number(n)) => list.push(integer(n)?.try_into().ok()?),
        (Values::Uint64(list), Literal::Number(n)) => list.push(integer(n)?.try_into().ok()?),
        (Values::Int8(list), Literal::Number(n)) => list.push(integer(n)?.try_into().ok()?),
        (Values::Int16(list), Literal::Number(n)) => list.push(integer(n)?.try_into().ok()?),
        (Values::Int32(list), Literal::Number(n)) => list.push(integer(n)?.try_into().ok()?),
        (Values::Int64(list), Literal::Number(n)) => list.push(integer(n)?.try_into().ok()?),
        (Values::Fp16(list), Literal::Number(n)) => {
            let half = half::f16::from_f64(n.as_f64()?);
            list.push(half.is_finite().then(|| half.to_bits())?);
        }
        (Values::Bf16(list), Literal::Number(n)) => {
            let half = half::bf16::from_f64(n.as_f64()?);
            list.push(half.is_finite().then(|| half.to_bits())?);
        }
        (Values::Fp32(list), Literal::Number(n)) => {
            list.push(Some(n.as_f64()? as f32).filter(|x| x.is_finite())?);
        }
        (Values::Fp64(list), Literal::Number(n)) => list.push(n.as_f64().filter(|x| x.is_finite())?),
        (Values::Text(list) | Values::Bytes(list), Literal::Text(text)) => list.push(text.as_bytes())?,
        _ => return None,
    }
    Some(())
}

/// A number without a fraction; `3.0` counts as 3.
fn integer(number: &serde_json::Number) -> Option<i128> {
    if let Some(value) = number.as_i64() {
        return Some(value.into());
    }
    if let Some(value) = number.as_u64() {
        return Some(value.into());
    }
    // Every `f64` without a fraction below 2¹²⁷ is an `i128`.
    number
        .as_f64()
        .filter(|x| x.fract() == 0.0 && x.abs() < 1e38)
        .map(|x| x as i128)
}

/// Finds elements in a fixed list of values by binary search, and so without a hash that a request
/// could be aimed at.
///
/// Elements are equal as [`number_keys`] says; no list holds NaN.
#[derive(Debug)]
pub struct Lookup(Keys);

#[derive(Debug)]
enum Keys {
    /// Sorted keys with their positions in the list.
    Number(Vec<(u64, u32)>),
    Text(Vec<(Box<[u8]>, u32)>),
}

impl Lookup {
    /// What [`find_all`](Self::find_all) gives for an element that isn't in the list, and for one
    /// of a missing row.
    pub const ABSENT: u32 = u32::MAX;

    /// Prepare the literals for a column's type. `what` says in errors whose values they are.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] for a literal that is no value of the type, or one that is there
    /// twice.
    pub fn new(literals: &[Literal], data_type: DataType, what: &str) -> Result<Self, Error> {
        let values = values(literals, data_type, what)?;
        let mut keys = match &values {
            Values::Text(list) | Values::Bytes(list) => Keys::Text(text_keys(list)),
            list => Keys::Number(
                (0..)
                    .zip(number_keys(list, 0..list.len()))
                    .map(|(i, k)| (k, i))
                    .collect(),
            ),
        };
        let twice = match &mut keys {
            Keys::Number(keys) => first_twice(keys),
            Keys::Text(keys) => first_twice(keys),
        };
        match twice.and_then(|position| literals.get(position as usize)) {
            Some(literal) => Err(Error::invalid_config(format!(
                "{what}: {literal} is listed twice"
            ))),
            None => Ok(Self(keys)),
        }
    }

    /// For each element of a column its position in the list, or [`ABSENT`](Self::ABSENT).
    pub fn find_all(&self, column: &Column<'_>) -> Vec<u32> {
        let mut found: Vec<u32> = match &self.0 {
            Keys::Number(keys) => {
                let (values, range) = column.block_range();
                let elements = number_keys(values, range).into_iter();
                elements.map(|key| search(keys, &key)).collect()
            }
            Keys::Text(keys) => (0..column.elements())
                .map(|i| column.bytes(i).map_or(Self::ABSENT, |bytes| search(keys, bytes)))
                .collect(),
        };
        if column.validity().bits().is_some() {
            let width = column.field().row_elements().max(1);
            for (row, elements) in found.chunks_mut(width).enumerate() {
                if !column.validity().is_present(row) {
                    elements.fill(Self::ABSENT);
                }
            }
        }
        found
    }
}

fn text_keys(list: &VarLen) -> Vec<(Box<[u8]>, u32)> {
    let texts = (0..list.len()).map(|i| list.get(i).unwrap_or_default().into());
    texts.zip(0..).collect()
}

/// Sort by key; the position of a value whose key was there before.
fn first_twice<K: Ord>(keys: &mut [(K, u32)]) -> Option<u32> {
    keys.sort_unstable();
    let pairs = keys.iter().zip(keys.iter().skip(1));
    pairs.filter(|(a, b)| a.0 == b.0).map(|(_, b)| b.1).min()
}

fn search<K: std::borrow::Borrow<B>, B: Ord + ?Sized>(keys: &[(K, u32)], key: &B) -> u32 {
    keys.binary_search_by(|(k, _)| k.borrow().cmp(key))
        .ok()
        .and_then(|at| keys.get(at))
        .map_or(Lookup::ABSENT, |(_, position)| *position)
}

/// A number for each element of a range that is equal exactly where the elements are, as numbers:
/// −0 is 0, and NaN is NaN whatever its bits. Nothing for text and bytes.
pub fn number_keys(values: &Values, range: std::ops::Range<usize>) -> Vec<u64> {
    fn key(value: f64) -> u64 {
        if value.is_nan() {
            return f64::NAN.to_bits();
        }
        // Adding 0 turns −0 into 0.
        (value + 0.0).to_bits()
    }
    macro_rules! keys {
        ($list:expr, $key:expr) => {
            $list
                .get(range)
                .unwrap_or_default()
                .iter()
                .map($key)
                .collect()
        };
    }
    match values {
        Values::Boolean(v) | Values::Uint8(v) => keys!(v, |&x| u64::from(x)),
        Values::Uint16(v) => keys!(v, |&x| u64::from(x)),
        Values::Uint32(v) => keys!(v, |&x| u64::from(x)),
        Values::Uint64(v) => keys!(v, |&x| x),
        Values::Int8(v) => keys!(v, |&x| i64::from(x) as u64),
        Values::Int16(v) => keys!(v, |&x| i64::from(x) as u64),
        Values::Int32(v) => keys!(v, |&x| i64::from(x) as u64),
        Values::Int64(v) => keys!(v, |&x| x as u64),
        Values::Fp16(v) => keys!(v, |&x| key(half::f16::from_bits(x).to_f64())),
        Values::Bf16(v) => keys!(v, |&x| key(half::bf16::from_bits(x).to_f64())),
        Values::Fp32(v) => keys!(v, |&x| key(x.into())),
        Values::Fp64(v) => keys!(v, |&x| key(x)),
        Values::Text(_) | Values::Bytes(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use caisson_data::{Batch, Block, Schema};

    use super::*;

    fn literals(json: &str) -> Vec<Literal> {
        serde_json::from_str(json).expect("literals")
    }

    #[test]
    fn integers_are_exact_or_refused() {
        let ok = |json, data_type| values(&literals(json), data_type, "x").is_ok();
        assert!(ok("[0, 255, 3.0]", DataType::Uint8));
        assert!(
            !ok("[256]", DataType::Uint8) && !ok("[-1]", DataType::Uint8) && !ok("[0.5]", DataType::Int64)
        );
        assert!(!ok("[true]", DataType::Int8) && !ok("[1]", DataType::Boolean) && !ok("[1]", DataType::Text));
        assert_eq!(
            values(&literals("[18446744073709551615]"), DataType::Uint64, "x"),
            Ok(Values::Uint64(vec![u64::MAX]))
        );
        assert_eq!(
            values(&literals("[-9223372036854775808]"), DataType::Int64, "x"),
            Ok(Values::Int64(vec![i64::MIN]))
        );
        assert!(!ok("[9223372036854775808]", DataType::Int64));
        assert!(
            ok("[1e38]", DataType::Fp32) && !ok("[1e39]", DataType::Fp32) && !ok("[70000]", DataType::Fp16)
        );
        let error = values(&literals("[\"n/a\"]"), DataType::Fp32, "column `age`").expect_err("text");
        assert_eq!(
            error.to_string(),
            "invalid config: column `age`: \"n/a\" is no value of type fp32"
        );
    }

    #[test]
    fn lookups_find_by_value_and_skip_missing_rows() {
        let one = |field: Field, values, validity| {
            let rows = 4;
            let schema = Arc::new(Schema::new(vec![field.nullable()]).expect("a schema"));
            Batch::new(schema, rows, vec![Block { values, validity }]).expect("a batch")
        };
        let found = |batch: &Batch, json| {
            let column = batch.column(0).expect("a column");
            let lookup = Lookup::new(&literals(json), column.field().data_type, "x").expect("a list");
            lookup.find_all(&column)
        };
        const NO: u32 = Lookup::ABSENT;
        let floats = Values::Fp32(vec![-0.0, f32::NAN, 0.1, 7.0]);
        let batch = one(Field::new("x", DataType::Fp32), floats, None);
        assert_eq!(found(&batch, "[0.1, 0]"), [1, NO, 0, NO]);
        let ints = Values::Int64(vec![-1, i64::MAX, 3, 3]);
        let batch = one(Field::new("x", DataType::Int64), ints, Some(vec![0b0111]));
        assert_eq!(found(&batch, "[3, 9223372036854775807]"), [NO, 1, 0, NO]);
        let mut text = VarLen::default();
        for t in ["b", "", "é", "a"] {
            text.push(t.as_bytes()).expect("short");
        }
        let batch = one(Field::new("x", DataType::Text), Values::Text(text), None);
        assert_eq!(found(&batch, r#"["a", "é", ""]"#), [NO, 2, 1, 0]);
    }

    #[test]
    fn a_value_may_be_listed_once() {
        for (json, data_type) in [
            ("[1, 2, 1.0]", DataType::Fp32),
            (r#"["a","b","a"]"#, DataType::Text),
        ] {
            let error = Lookup::new(&literals(json), data_type, "x")
                .expect_err("twice")
                .to_string();
            assert!(error.contains("listed twice"), "{error}");
        }
    }

    #[test]
    fn one_value_or_one_for_each_element() {
        let tensor = Field::new("x", DataType::Fp32).with_shape([2, 2]);
        let scalar = Field::new("y", DataType::Fp32);
        let each = PerElement::Each(vec![1.0, 2.0, 3.0, 4.0]);
        assert_eq!(each.of(&tensor, "mean").map(<[f64]>::len), Ok(4));
        assert_eq!(PerElement::All(1.0).of(&tensor, "mean").map(<[f64]>::len), Ok(1));
        assert!(
            each.of(&scalar, "mean").is_err() && PerElement::Each(vec![1.0]).of(&scalar, "mean").is_err()
        );
        assert!(PerElement::Each(vec![1.0; 3]).of(&tensor, "mean").is_err());
    }
}
