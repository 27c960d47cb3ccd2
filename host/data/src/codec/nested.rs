//! Lists in lists: the written form of a value with a shape.

use super::element::{Elements, Token};
use super::error::{DecodeError, code, refuse};
use super::json::Reader;

/// Read one value of this shape: a bare element where the shape is empty, else lists in lists whose
/// lengths are the dimensions. The recursion is as deep as the shape, so at most `RANK_MAX`.
pub(crate) fn read_nested(
    reader: &mut Reader<'_>,
    shape: &[u32],
    elements: &mut Elements<'_>,
) -> Result<(), DecodeError> {
    let Some((&length, inner)) = shape.split_first() else {
        if elements.put_plain(reader) {
            return Ok(());
        }
        let token = reader.token()?;
        if token == Token::List {
            return refuse(code::WRONG_SHAPE, "lists nest deeper than the column's shape");
        }
        return elements.put(&token);
    };
    if !reader.opens(b'[')? {
        return refuse(
            code::WRONG_SHAPE,
            format!("the shape has one more dimension here: a list of {length} is needed"),
        );
    }
    let mut first = true;
    let mut found = 0;
    while reader.more(b']', &mut first)? {
        if found == length {
            return refuse(
                code::WRONG_SHAPE,
                format!("a list has more elements than its dimension of {length}"),
            );
        }
        found += 1;
        read_nested(reader, inner, elements)?;
    }
    if found != length {
        return refuse(
            code::WRONG_SHAPE,
            format!("a list has {found} elements where its dimension is {length}"),
        );
    }
    Ok(())
}
