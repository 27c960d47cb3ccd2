//! Rows that fail alone: the others of their part go on.

use std::sync::Arc;

use super::error::DecodeError;
use super::limits::DecodeLimits;
use super::rows::RowFiller;
use crate::batch::Batch;
use crate::schema::Schema;

/// Records, those that are no rows put aside.
#[derive(Debug, Clone, PartialEq)]
pub struct Sifted {
    /// The rows.
    pub batch: Batch,
    /// The others: the position among all records, from 0 and ascending, and why. The errors name no row.
    pub refused: Vec<(usize, DecodeError)>,
}

/// Read records one by one.
pub(crate) fn sift<'a>(
    schema: &Arc<Schema>,
    records: impl Iterator<Item = &'a [u8]>,
    limits: &DecodeLimits,
    mut read: impl FnMut(&'a [u8], &mut RowFiller) -> Result<(), DecodeError>,
) -> Result<Sifted, DecodeError> {
    let mut filler = RowFiller::new(schema, limits)?;
    let mut refused = Vec::new();
    for (position, record) in records.enumerate() {
        filler.begin()?;
        if let Err(error) = read(record, &mut filler) {
            filler.undo()?;
            refused.push((position, error));
        }
    }
    Ok(Sifted {
        batch: filler.finish()?,
        refused,
    })
}
