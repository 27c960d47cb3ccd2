//! Find the columns that a config names, and say plainly what is wrong with them.
//!
//! Every message names the column, what was found and what is needed; values from requests are cut
//! to [`SHOWN_CHARS_MAX`] characters, since messages end in logs and answers.

use std::borrow::Cow;

use caisson_data::{Column, DataType, Field, Schema, Values, match_values};

use crate::Error;

/// Characters of a text value that a message quotes: enough to recognise it, too little to flood a
/// log.
pub const SHOWN_CHARS_MAX: usize = 64;
/// Column names that a message lists: a wide table has thousands.
const NAMES_SHOWN_MAX: usize = 16;

/// Position and field of a column that a config names.
///
/// # Errors
///
/// [`Error::SchemaMismatch`] that lists the columns that there are.
pub fn find<'a>(input: &'a Schema, name: &str) -> Result<(usize, &'a Field), Error> {
    let found = input.index_of(name).and_then(|i| Some((i, input.field(i)?)));
    found.ok_or_else(|| {
        let names = input.fields().iter().take(NAMES_SHOWN_MAX);
        let names: Vec<String> = names.map(|f| format!("`{}`", f.name)).collect();
        let rest = match input.len().saturating_sub(NAMES_SHOWN_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Error::schema_mismatch(format!(
            "there is no column `{name}`; the input has {}{rest}",
            names.join(", ")
        ))
    })
}

/// [`find`], and insist on what the column must be: `needed` completes "needed is …".
///
/// # Errors
///
/// [`Error::SchemaMismatch`] for a column that isn't there or doesn't fit.
pub fn find_that<'a>(
    input: &'a Schema,
    name: &str,
    fits: impl FnOnce(&Field) -> bool,
    needed: &str,
) -> Result<(usize, &'a Field), Error> {
    let (index, field) = find(input, name)?;
    if fits(field) {
        Ok((index, field))
    } else {
        Err(Error::schema_mismatch(format!(
            "column `{name}` is {}; needed is {needed}",
            type_of(field)
        )))
    }
}

/// Type and shape as messages show them: `fp32[3, 4]`.
pub fn type_of(field: &Field) -> String {
    if field.is_scalar() {
        field.data_type.to_string()
    } else {
        format!("{}{:?}", field.data_type, field.shape)
    }
}

/// Is this a type of whole numbers, signed or not?
pub fn is_integer(data_type: DataType) -> bool {
    !data_type.is_float()
        && !matches!(
            data_type,
            DataType::Boolean | DataType::Text | DataType::Bytes
        )
}

/// Is this a number: an integer or a float of any width?
pub fn is_number(data_type: DataType) -> bool {
    data_type.is_float() || is_integer(data_type)
}

/// The elements of a numeric or boolean column as `f64`, borrowed where they are that already.
/// 64-bit integers past 2⁵³ round to the nearest. Elements of missing rows are converted too and
/// mean nothing. `None` for text and bytes.
pub fn to_fp64s<'a>(column: &Column<'a>) -> Option<Cow<'a, [f64]>> {
    if let Some(own) = column.fp64s() {
        return Some(Cow::Borrowed(own));
    }
    let (values, range) = column.block_range();
    macro_rules! convert {
        ($list:expr, $convert:expr) => {
            $list.get(range)?.iter().map($convert).collect::<Vec<f64>>()
        };
    }
    Some(Cow::Owned(match values {
        Values::Boolean(v) | Values::Uint8(v) => convert!(v, |&x| f64::from(x)),
        Values::Uint16(v) => convert!(v, |&x| f64::from(x)),
        Values::Uint32(v) => convert!(v, |&x| f64::from(x)),
        Values::Uint64(v) => convert!(v, |&x| x as f64),
        Values::Int8(v) => convert!(v, |&x| f64::from(x)),
        Values::Int16(v) => convert!(v, |&x| f64::from(x)),
        Values::Int32(v) => convert!(v, |&x| f64::from(x)),
        Values::Int64(v) => convert!(v, |&x| x as f64),
        Values::Fp16(v) => convert!(v, |&x| half::f16::from_bits(x).to_f64()),
        Values::Bf16(v) => convert!(v, |&x| half::bf16::from_bits(x).to_f64()),
        Values::Fp32(v) => convert!(v, |&x| f64::from(x)),
        Values::Fp64(_) | Values::Text(_) | Values::Bytes(_) => return None,
    }))
}

/// One element as messages show it: numbers in their shortest form, text quoted and cut.
pub fn show(column: &Column<'_>, element: usize) -> String {
    if let Some(text) = column.text(element) {
        return quote(text);
    }
    if let Some(bytes) = column.bytes(element) {
        return quote(&String::from_utf8_lossy(bytes));
    }
    if let Some(&half) = column.fp16s().and_then(|v| v.get(element)) {
        return half::f16::from_bits(half).to_string();
    }
    if let Some(&half) = column.bf16s().and_then(|v| v.get(element)) {
        return half::bf16::from_bits(half).to_string();
    }
    if let Some(&bit) = column.booleans().and_then(|v| v.get(element)) {
        return (bit == 1).to_string();
    }
    let (values, range) = column.block_range();
    match_values!(
        values,
        list => list.get(range.start + element).map_or_else(String::new, ToString::to_string),
        _text => String::new()
    )
}

/// Text in quotes, at most [`SHOWN_CHARS_MAX`] characters of it, control characters escaped.
pub fn quote(text: &str) -> String {
    let mut chars = text.chars();
    let shown: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    let rest = if chars.next().is_some() { "…" } else { "" };
    format!("{shown:?}{rest}")
}

/// Where an element of a column with a shape lies, for a message: ` at [2, 0]`, empty for a scalar.
/// `element` counts over the whole column.
pub fn place_in_row(field: &Field, element: usize) -> String {
    if field.is_scalar() {
        return String::new();
    }
    let mut rest = element % field.row_elements().max(1);
    let mut indices: Vec<usize> = Vec::with_capacity(field.shape.len());
    for &dimension in field.shape.iter().rev() {
        let dimension = (dimension as usize).max(1);
        indices.push(rest % dimension);
        rest /= dimension;
    }
    indices.reverse();
    format!(" at {indices:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_what_was_found_and_what_is_needed() {
        let fields = (0..20).map(|i| Field::new(format!("c{i}"), DataType::Text).with_shape([2, 3]));
        let schema = Schema::new(fields.collect()).expect("a schema");
        let error = find(&schema, "age").expect_err("not there").to_string();
        assert!(error.contains("no column `age`") && error.contains("`c15` and 4 more"), "{error}");
        let error = find_that(&schema, "c3", Field::is_scalar, "a scalar").expect_err("has a shape");
        assert!(error.to_string().ends_with("column `c3` is text[2, 3]; needed is a scalar"));
        assert_eq!(place_in_row(&schema.fields()[0], 6 + 5), " at [1, 2]");
    }

    #[test]
    fn quotes_are_cut_and_escaped() {
        assert_eq!(quote("a\nb"), r#""a\nb""#);
        assert_eq!(quote(&"é".repeat(100)), format!("\"{}\"…", "é".repeat(SHOWN_CHARS_MAX)));
    }
}
