//! How values and places are shown in messages to people.
//!
//! Values from requests are cut to [`SHOWN_CHARS_MAX`] characters, since messages end in logs and
//! answers.

use caisson_data::{Column, Field, match_values};

/// Characters of a text value that a message quotes: enough to recognise it, too little to flood a
/// log.
pub const SHOWN_CHARS_MAX: usize = 64;

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
    use crate::DataType;

    #[test]
    fn quotes_are_cut_and_escaped() {
        assert_eq!(quote("a\nb"), r#""a\nb""#);
        assert_eq!(
            quote(&"é".repeat(100)),
            format!("\"{}\"…", "é".repeat(SHOWN_CHARS_MAX))
        );
    }

    #[test]
    fn places_count_in_the_shape() {
        let field = Field::new("image", DataType::Text).with_shape([2, 3]);
        assert_eq!(place_in_row(&field, 6 + 5), " at [1, 2]");
        assert_eq!(place_in_row(&Field::new("x", DataType::Fp32), 7), "");
    }
}
