//! NDJSON: one row a line, each as in [rows JSON](crate::rows).
//!
//! `{"recency": 12, "name": "Ada"}` and a line feed, with an optional carriage return before it. Lines of
//! white space alone are no rows. A line that is no row is put aside and the others are read all the same.

use std::sync::Arc;

use crate::batch::Batch;
use crate::codec::{DecodeError, DecodeLimits, Reader, Sifted, sift};
use crate::rows::{self, Guess};
use crate::schema::Schema;

/// Read lines, each a row.
///
/// # Errors
///
/// What passes a limit.
pub fn decode<'a>(
    schema: &Arc<Schema>,
    lines: impl Iterator<Item = &'a [u8]>,
    limits: &DecodeLimits,
) -> Result<Sifted, DecodeError> {
    let mut order = Guess::order(schema);
    sift(schema, lines, limits, |line, filler| {
        let mut reader = Reader::new(line, false)?;
        rows::decode_row(schema, &mut reader, filler, &mut order)?;
        reader.end()
    })
}

/// Append a batch, a line a row.
pub fn encode(batch: &Batch, out: &mut Vec<u8>) {
    if batch.rows() > 0 {
        rows::encode_separated(batch, b"\n", out);
        out.push(b'\n');
    }
}
