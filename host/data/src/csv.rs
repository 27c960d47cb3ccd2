//! CSV (RFC 4180): a header with the names of columns, in any order, then a line for each row.
//!
//! | column | cell |
//! | --- | --- |
//! | `boolean` | `true` or `false`, in any case |
//! | integers | digits, every bit kept; `12.0` is 12 |
//! | floats | a decimal number; `NaN`, `Infinity`, `-Infinity`, also `inf` and in any case |
//! | `text` | the text |
//! | `bytes` | base64 (RFC 4648 section 4, padded) |
//! | with a shape | lists in lists, as in [rows JSON](crate::rows), in one quoted cell |
//! | missing | an empty cell without quotes, where the column is nullable |
//!
//! So `""`, in quotes, is the empty text and never missing, as in Python's `csv.QUOTE_NOTNULL`; in a
//! text column that isn't nullable an empty cell is the empty text either way. A nullable column
//! may be left out altogether. White space around numbers and booleans is ignored; it is part of a
//! text. Lines end with LF, CRLF or CR; empty lines are skipped, except where there is one column
//! alone: there an empty line is an empty cell. A byte order mark is skipped.
//!
//! Errors name row (from 0, the header not counted), column and line (from 1, as editors count).

use std::borrow::Cow;
use std::sync::Arc;

use crate::batch::{Batch, Column, Values};
use crate::codec::{
    BytesAs, BytesForm, DecodeError, DecodeLimits, ElementWriter, FloatForm, Reader, RowFiller, Sifted,
    Token, code, read_nested, refuse, sift, write_base64,
};
use crate::schema::{DataType, FIELDS_MAX, Field, Schema};

/// Read rows of this schema.
///
/// # Errors
///
/// Whatever isn't as the module says, with row, column and line, and what passes a limit.
pub fn decode(schema: &Arc<Schema>, body: &[u8], limits: &DecodeLimits) -> Result<Batch, DecodeError> {
    decode_with(schema, body, limits, Unknown::Refuse)
}

/// As [`decode`], but columns that the schema doesn't have are passed over: for tables that were not
/// made for this schema alone, such as a training table with its labels.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_known(schema: &Arc<Schema>, body: &[u8], limits: &DecodeLimits) -> Result<Batch, DecodeError> {
    decode_with(schema, body, limits, Unknown::PassOver)
}

/// What becomes of a column that the schema doesn't have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Refuse,
    PassOver,
}

/// Records of a table whose header was read before: for tables that are read in parts.
#[derive(Debug, Clone)]
pub struct Table {
    schema: Arc<Schema>,
    columns: Vec<Option<usize>>,
}

impl Table {
    /// A table with this header.
    ///
    /// # Errors
    ///
    /// As [`decode`].
    pub fn new(schema: &Arc<Schema>, header: &[u8]) -> Result<Self, DecodeError> {
        let mut cells = Cells::new(header)?;
        let columns = read_header(schema, &mut cells, Unknown::Refuse)?;
        Ok(Self {
            schema: Arc::clone(schema),
            columns,
        })
    }

    /// Is an empty line a row here? Where there is one column alone, it is one empty cell.
    pub fn takes_empty_lines(&self) -> bool {
        self.columns.len() == 1
    }

    /// Read records, each a row. Those that can't be read are put aside.
    ///
    /// # Errors
    ///
    /// What passes a limit.
    pub fn decode<'a>(
        &self,
        records: impl Iterator<Item = &'a [u8]>,
        limits: &DecodeLimits,
    ) -> Result<Sifted, DecodeError> {
        sift(&self.schema, records, limits, |record, filler| {
            let mut cells = Cells::new(record)?;
            // An empty line is one empty cell, and `begin_row` sees no row in nothing.
            cells.row_ended = false;
            read_row(&self.schema, &mut cells, &self.columns, filler)
        })
    }
}

fn decode_with(
    schema: &Arc<Schema>,
    body: &[u8],
    limits: &DecodeLimits,
    unknown: Unknown,
) -> Result<Batch, DecodeError> {
    limits.check_body(body)?;
    let mut cells = Cells::new(body)?;
    let columns = read_header(schema, &mut cells, unknown)?;
    let mut filler = RowFiller::new(schema, limits)?;
    while cells.begin_row(columns.len()) {
        let line = cells.line;
        filler.begin()?;
        read_row(schema, &mut cells, &columns, &mut filler).map_err(|mut e| {
            e.message = format!("{} (line {line})", e.message);
            e.in_row(filler.row())
        })?;
    }
    filler.finish()
}

/// The columns that the header names; `None` for one to pass over.
fn read_header(
    schema: &Schema,
    cells: &mut Cells<'_>,
    unknown: Unknown,
) -> Result<Vec<Option<usize>>, DecodeError> {
    if !cells.begin_row(2) {
        return refuse(code::BAD_CSV, "there is no header with the names of the columns");
    }
    let mut columns = Vec::new();
    let mut named = vec![false; schema.len()];
    while let Some(cell) = cells.next()? {
        let index = schema.index_of(&cell.text);
        match index.and_then(|index| Some((index, named.get_mut(index)?))) {
            Some((_, true)) => {
                let error = DecodeError::new(code::DUPLICATE_COLUMN, "the header names the column twice");
                return Err(error.in_column(&cell.text));
            }
            Some((index, named)) => {
                *named = true;
                columns.push(Some(index));
            }
            None if unknown == Unknown::PassOver && columns.len() < FIELDS_MAX => columns.push(None),
            None if unknown == Unknown::PassOver => {
                return refuse(
                    code::BAD_CSV,
                    format!("the header has more than {FIELDS_MAX} cells"),
                );
            }
            None => {
                let error = DecodeError::new(code::UNKNOWN_COLUMN, "the schema has no such column");
                return Err(error.in_column(&cell.text));
            }
        }
    }
    for (field, named) in schema.fields().iter().zip(named) {
        if !field.nullable && !named {
            let error = DecodeError::new(code::MISSING_COLUMN, "the header lacks the column");
            return Err(error.in_column(&field.name));
        }
    }
    Ok(columns)
}

fn read_row(
    schema: &Schema,
    cells: &mut Cells<'_>,
    columns: &[Option<usize>],
    filler: &mut RowFiller,
) -> Result<(), DecodeError> {
    let mut columns_left = columns.iter();
    while let Some(cell) = cells.next()? {
        let Some(column) = columns_left.next() else {
            return refuse(
                code::BAD_CSV,
                format!("the row has more cells than the header's {}", columns.len()),
            );
        };
        let Some((index, field)) = column.and_then(|index| Some((index, schema.field(index)?))) else {
            continue; // A column to pass over.
        };
        read_cell(field, &cell, filler, index).map_err(|e| e.in_column(&field.name))?;
    }
    if !columns_left.as_slice().is_empty() {
        return refuse(
            code::BAD_CSV,
            format!(
                "the row has {} cells and the header {}",
                columns.len() - columns_left.len(),
                columns.len()
            ),
        );
    }
    filler.end()
}

fn read_cell(
    field: &Field,
    cell: &Cell<'_>,
    filler: &mut RowFiller,
    index: usize,
) -> Result<(), DecodeError> {
    let is_text = field.is_scalar() && field.data_type.width().is_none();
    if cell.text.is_empty() && !cell.quoted && (field.nullable || !is_text) {
        return filler.set_missing(index);
    }
    let mut elements = filler.elements(index, BytesAs::Base64)?;
    if field.is_scalar() {
        return elements.put(&token(field.data_type, &cell.text));
    }
    let mut reader = Reader::of_value(&cell.text);
    read_nested(&mut reader, &field.shape, &mut elements)?;
    reader.end()
}

/// What a cell says to a column of this type.
fn token(data_type: DataType, text: &str) -> Token<'_> {
    if data_type.width().is_none() {
        return Token::String(Cow::Borrowed(text));
    }
    let text = text.trim_matches([' ', '\t']);
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if data_type == DataType::Boolean {
        return match (is("true"), is("false")) {
            (false, false) => Token::String(Cow::Borrowed(text)),
            (value, _) => Token::Bool(value),
        };
    }
    let (sign, word) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if word.eq_ignore_ascii_case("nan") {
        Token::Special(f64::NAN)
    } else if word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("infinity") {
        Token::Special(sign * f64::INFINITY)
    } else {
        Token::Number(text)
    }
}

struct Cell<'a> {
    text: Cow<'a, str>,
    quoted: bool,
}

/// The cells of a text, row by row.
struct Cells<'a> {
    text: &'a str,
    at: usize,
    /// Line of the next cell.
    line: usize,
    row_ended: bool,
}

impl<'a> Cells<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => {
                return refuse(
                    code::INVALID_UTF8,
                    format!("invalid UTF-8 at byte {}", error.valid_up_to()),
                );
            }
        };
        Ok(Self {
            text,
            at: 0,
            line: 1,
            row_ended: true,
        })
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Is there another row?
    fn begin_row(&mut self, columns: usize) -> bool {
        while columns > 1 && self.end_line() {}
        self.row_ended = self.byte().is_none();
        !self.row_ended
    }

    /// Read the end of a line, if it comes next.
    fn end_line(&mut self) -> bool {
        let length = match self.text.as_bytes().get(self.at..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([b'\r' | b'\n', ..]) => 1,
            _ => 0,
        };
        self.at += length;
        self.line += usize::from(length > 0);
        length > 0
    }

    /// The next cell of this row, and the comma or the end of the line after it.
    fn next(&mut self) -> Result<Option<Cell<'a>>, DecodeError> {
        if self.row_ended {
            return Ok(None);
        }
        let quoted = self.byte() == Some(b'"');
        let text = if quoted { self.quoted()? } else { self.bare()? };
        if self.byte() == Some(b',') {
            self.at += 1;
        } else if self.end_line() || self.byte().is_none() {
            self.row_ended = true;
        } else {
            return refuse(
                code::BAD_CSV,
                format!("text after a closing quote (line {})", self.line),
            );
        }
        Ok(Some(Cell { text, quoted }))
    }

    fn bare(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.find([',', '\r', '\n', '"']).unwrap_or(rest.len());
        self.at += end;
        if self.byte() == Some(b'"') {
            return refuse(
                code::BAD_CSV,
                format!("a quote in a cell without quotes (line {})", self.line),
            );
        }
        Ok(Cow::Borrowed(rest.get(..end).unwrap_or_default()))
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        self.at += 1;
        let opened_at = self.line;
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(end) = rest.find('"') else {
                return refuse(
                    code::BAD_CSV,
                    format!("a quote that isn't closed (line {opened_at})"),
                );
            };
            let part = rest.get(..end).unwrap_or_default();
            self.at += end + 1;
            self.line += part.bytes().filter(|&b| b == b'\n').count();
            text += part;
            if self.byte() != Some(b'"') {
                return Ok(text);
            }
            // Two quotes stand for one.
            self.at += 1;
            text += "\"";
        }
    }
}

/// Write a batch as CSV with LF line ends. Decoding that with the same schema gives the same batch,
/// for every schema with at least one column.
pub fn encode(batch: &Batch) -> Vec<u8> {
    let mut out = Vec::new();
    encode_header(batch.schema(), &mut out);
    encode_rows(batch, &mut out);
    out
}

/// Append the header alone.
pub fn encode_header(schema: &Schema, out: &mut Vec<u8>) {
    for (i, field) in schema.fields().iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_text(out, &field.name);
    }
    out.push(b'\n');
}

/// Append the rows alone.
pub fn encode_rows(batch: &Batch, out: &mut Vec<u8>) {
    let columns: Vec<_> = (0..batch.schema().len())
        .filter_map(|index| batch.column(index))
        .collect();
    let mut scratch = Vec::new();
    for row in 0..batch.rows() {
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            if column.validity().is_present(row) {
                write_cell(out, column, row, &mut scratch);
            }
        }
        out.push(b'\n');
    }
}

fn write_cell(out: &mut Vec<u8>, column: &Column<'_>, row: usize, scratch: &mut Vec<u8>) {
    let field = column.field();
    if !field.is_scalar() {
        let writer = ElementWriter::new(column, FloatForm::Quoted, BytesForm::Base64);
        scratch.clear();
        writer.write_nested(scratch, &field.shape, &mut (row * field.row_elements()));
        if let Ok(list) = std::str::from_utf8(scratch) {
            write_text(out, list);
        }
        return;
    }
    match column.block_range().0 {
        Values::Text(_) => write_text(out, column.text(row).unwrap_or_default()),
        Values::Bytes(_) => match column.bytes(row) {
            Some(bytes) if !bytes.is_empty() => write_base64(out, bytes),
            _ => write_text(out, ""),
        },
        _ => ElementWriter::new(column, FloatForm::Bare, BytesForm::Base64).write(out, row),
    }
}

/// Write a text, in quotes where it has to be, or where a reader might take it for something else:
/// empty, with white space at an end, or with a byte order mark.
fn write_text(out: &mut Vec<u8>, text: &str) {
    let plain = !text.is_empty()
        && !text.contains([',', '"', '\r', '\n'])
        && !text.starts_with([' ', '\t', '\u{feff}'])
        && !text.ends_with([' ', '\t']);
    if plain {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    for (i, part) in text.split('"').enumerate() {
        if i > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'"');
}
