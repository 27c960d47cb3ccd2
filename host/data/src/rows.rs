//! Rows JSON: `{"rows": [{"recency": 12, "name": "Ada"}, …]}`.
//!
//! One object a row, one member a column:
//!
//! | column | JSON |
//! | --- | --- |
//! | `boolean` | `true`, `false` |
//! | integers | a number without a fraction, every bit kept; `12.0` is 12 |
//! | floats | a number; `"NaN"`, `"Infinity"`, `"-Infinity"`, for JSON has no such numbers |
//! | `text` | a string |
//! | `bytes` | a string of base64 (RFC 4648 section 4, padded) |
//! | with a shape | lists in lists, as long as the dimensions say |
//! | missing | `null`, or no such member; only where the column is nullable |
//!
//! NaN never becomes missing, nor missing NaN. Which NaN it was (its payload bits) is lost. A
//! number is rounded once to the column's type; an overflow is an error, never infinity.
//!
//! Errors name the row and the column: a member that the schema doesn't have, a member that comes
//! twice, one that lacks, a value of the wrong type or shape or out of range.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::batch::{Batch, Column};
use crate::codec::{
    BytesAs, BytesForm, DecodeError, DecodeLimits, ElementWriter, FloatForm, Reader, RowFiller, code,
    is_plain, read_nested, refuse, write_json_string,
};
use crate::schema::Schema;

/// Bytes of the `parameters` of a request: names and flags, not data.
const PARAMETERS_BYTES_MAX: usize = 64 << 10;

/// What a rows request says.
#[derive(Debug, Clone, PartialEq)]
pub struct RowsRequest {
    /// Its rows.
    pub batch: Batch,
    /// Its top-level `parameters`, unchanged.
    pub parameters: Option<Map<String, Value>>,
}

/// Read rows of this schema.
///
/// # Errors
///
/// Whatever isn't as the module says, with row and column, and what passes a limit.
pub fn decode(schema: &Arc<Schema>, body: &[u8], limits: &DecodeLimits) -> Result<RowsRequest, DecodeError> {
    limits.check_body(body)?;
    let mut reader = Reader::new(body, false)?;
    if !reader.opens(b'{')? {
        return refuse(
            code::BAD_REQUEST,
            "the body must be an object with a member `rows`",
        );
    }
    let mut batch = None;
    let mut parameters = None;
    let mut first = true;
    while reader.more(b'}', &mut first)? {
        match reader.key()?.as_ref() {
            "rows" if batch.is_none() => batch = Some(decode_rows(schema, &mut reader, limits)?),
            "parameters" if parameters.is_none() => {
                parameters = Some(reader.object("parameters", PARAMETERS_BYTES_MAX)?);
            }
            other => {
                let message = format!(
                    "unexpected member `{}`: a request has one `rows` and may have one `parameters`",
                    crate::codec::cut(other)
                );
                return refuse(code::BAD_REQUEST, message);
            }
        }
    }
    reader.end()?;
    match batch {
        Some(batch) => Ok(RowsRequest {
            batch,
            parameters: parameters.flatten(),
        }),
        None => refuse(code::BAD_REQUEST, "the body has no member `rows`"),
    }
}

fn decode_rows(
    schema: &Arc<Schema>,
    reader: &mut Reader<'_>,
    limits: &DecodeLimits,
) -> Result<Batch, DecodeError> {
    if !reader.opens(b'[')? {
        return refuse(code::BAD_REQUEST, "`rows` must be a list of objects");
    }
    let mut filler = RowFiller::new(schema, limits)?;
    let mut order = Guess::order(schema);
    let mut first = true;
    while reader.more(b']', &mut first)? {
        filler.begin()?;
        decode_row(schema, reader, &mut filler, &mut order).map_err(|e| e.in_row(filler.row()))?;
    }
    filler.finish()
}

/// Read one row, an object.
pub(crate) fn decode_row(
    schema: &Schema,
    reader: &mut Reader<'_>,
    filler: &mut RowFiller,
    order: &mut [Guess],
) -> Result<(), DecodeError> {
    if !reader.opens(b'{')? {
        return refuse(code::WRONG_TYPE, "a row must be an object");
    }
    let mut first = true;
    let mut position = 0;
    while reader.more(b'}', &mut first)? {
        let index = read_column_name(schema, reader, order.get_mut(position))?;
        position += 1;
        let field = schema.field(index);
        let shape = field.map_or(&[][..], |field| &field.shape);
        decode_value(shape, reader, filler, index)
            .map_err(|e| e.in_column(field.map_or("", |field| &field.name)))?;
    }
    filler.end()
}

/// Which column comes at one position of a row.
#[derive(Clone, Copy)]
pub(crate) struct Guess {
    column: usize,
    /// Is its name the same in JSON?
    is_plain: bool,
}

impl Guess {
    /// The columns in the schema's order. [`decode_row`] makes it the order of the row before, which is
    /// nearly always that of the next.
    pub(crate) fn order(schema: &Schema) -> Vec<Self> {
        (0..schema.len()).map(|column| Self::of(schema, column)).collect()
    }

    fn of(schema: &Schema, column: usize) -> Self {
        Self {
            column,
            is_plain: schema.field(column).is_some_and(|field| is_plain(&field.name)),
        }
    }
}

fn read_column_name(
    schema: &Schema,
    reader: &mut Reader<'_>,
    guess: Option<&mut Guess>,
) -> Result<usize, DecodeError> {
    if let Some(&mut Guess {
        column,
        is_plain: true,
    }) = guess
        && let Some(field) = schema.field(column)
        && reader.plain_key(&field.name)?
    {
        return Ok(column);
    }
    let key = reader.key()?;
    let Some(column) = schema.index_of(&key) else {
        let error = DecodeError::new(code::UNKNOWN_COLUMN, "the schema has no such column");
        return Err(error.in_column(&key));
    };
    if let Some(guess) = guess {
        *guess = Guess::of(schema, column);
    }
    Ok(column)
}

fn decode_value(
    shape: &[u32],
    reader: &mut Reader<'_>,
    filler: &mut RowFiller,
    index: usize,
) -> Result<(), DecodeError> {
    if reader.null()? {
        return filler.set_missing(index);
    }
    read_nested(reader, shape, &mut filler.elements(index, BytesAs::Base64)?)
}

/// Write a batch as `{"rows":[…]}`. Decoding that with the same schema gives the same batch.
pub fn encode(batch: &Batch) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(b"{\"rows\":");
    encode_array(batch, &mut out);
    out.push(b'}');
    out
}

/// Append the list of rows alone, `[{…},…]`, for a body that has more to say.
pub fn encode_array(batch: &Batch, out: &mut Vec<u8>) {
    out.push(b'[');
    encode_separated(batch, b",", out);
    out.push(b']');
}

/// Append the rows as objects with a separator between them, and nothing around them.
pub fn encode_separated(batch: &Batch, separator: &[u8], out: &mut Vec<u8>) {
    let writer = RowWriter::new(batch);
    out.reserve(batch.rows().saturating_mul(writer.row_bytes() + separator.len()));
    for row in 0..batch.rows() {
        if row > 0 {
            out.extend_from_slice(separator);
        }
        writer.write(row, out);
    }
}

/// Writes single rows of a batch, as objects.
pub struct RowWriter<'a> {
    columns: Vec<ColumnWriter<'a>>,
}

struct ColumnWriter<'a> {
    /// `"name":`, written once and then copied.
    key: Vec<u8>,
    column: Column<'a>,
    elements: ElementWriter<'a>,
}

impl std::fmt::Debug for RowWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowWriter({} columns)", self.columns.len())
    }
}

impl<'a> RowWriter<'a> {
    /// A writer of this batch's rows.
    pub fn new(batch: &'a Batch) -> Self {
        let columns = (0..batch.schema().len()).filter_map(|index| batch.column(index));
        let columns = columns.map(|column| {
            let name = &column.field().name;
            let mut key = Vec::with_capacity(name.len() + 4);
            write_json_string(&mut key, name);
            key.push(b':');
            ColumnWriter {
                key,
                column,
                elements: ElementWriter::new(&column, FloatForm::Quoted, BytesForm::Base64),
            }
        });
        Self {
            columns: columns.collect(),
        }
    }

    /// About as many bytes as a row takes.
    fn row_bytes(&self) -> usize {
        let bytes = |c: &ColumnWriter<'_>| c.key.len() + 12 * c.column.field().row_elements();
        self.columns.iter().map(bytes).sum()
    }

    /// Append one row, `{…}`.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&column.key);
            let field = column.column.field();
            if column.column.validity().is_present(row) {
                let mut next = row * field.row_elements();
                column.elements.write_nested(out, &field.shape, &mut next);
            } else {
                out.extend_from_slice(b"null");
            }
        }
        out.push(b'}');
    }
}
