//! From bytes to parts: rows that are decoded, predicted and answered together.
//!
//! A part has a bounded number of rows and bytes. Rows that can't be read are put aside with their
//! places, so that one of them is no other's problem.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use caisson_data::arrow::{StreamReader, StreamTable};
use caisson_data::records::{Ends, Records, Splitter};
use caisson_data::{Batch, DecodeError, DecodeLimits, Schema, Sifted, csv, ndjson};
use tokio::time::Instant;

use super::super::body;
use super::super::error::ApiError;
use super::chunks::Chunks;

/// Rows of a part. What a part costs beside its rows (an instance of each stage, a run of the model) is
/// spread over this many, and an answer begins when they are done.
const PART_ROWS_MAX: usize = 1024;
/// Bytes of text of a part; one longer record is a part alone.
const PART_TEXT_BYTES: usize = 1 << 20;
/// Bytes of a part's numbers, coming or going. Images and embeddings have fewer rows a part.
const PART_BATCH_BYTES: usize = 4 << 20;
/// Bytes of one line or row of CSV: an image of 1,024 × 1,024 × 3 as JSON has 11 MiB.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// How long a part that isn't full waits for more rows: a client that sends row by row and waits for
/// each answer waits this long at most.
const LINGER: Duration = Duration::from_millis(5);

/// Rows that are answered together.
#[derive(Debug)]
pub(in super::super) struct Part {
    /// The place in the stream of its first row, from 0.
    pub(in super::super) first_row: u64,
    /// The rows that could be read.
    pub(in super::super) batch: Batch,
    /// The places in the part of those that couldn't, ascending, and why.
    pub(in super::super) refused: Vec<(usize, ApiError)>,
}

impl Part {
    /// Rows, readable or not.
    pub(super) fn rows(&self) -> usize {
        self.batch.rows() + self.refused.len()
    }
}

/// Gives one part after the other.
pub(in super::super) struct Source {
    chunks: Chunks,
    cutter: Cutter,
    schema: Arc<Schema>,
    limits: DecodeLimits,
    /// Rows given.
    rows: u64,
}

enum Cutter {
    Text(Text),
    Arrow(Box<Arrow>),
}

impl Source {
    /// Parts of lines of JSON.
    pub(super) fn ndjson(chunks: Chunks, schemas: Schemas<'_>) -> Self {
        Self::new(chunks, schemas, Cutter::Text(Text::new(Ends::Line)))
    }

    /// Parts of CSV.
    pub(super) fn csv(chunks: Chunks, schemas: Schemas<'_>) -> Self {
        Self::new(chunks, schemas, Cutter::Text(Text::new(Ends::CsvRow)))
    }

    /// Parts of an Arrow stream.
    pub(super) fn arrow(chunks: Chunks, schemas: Schemas<'_>) -> Self {
        let arrow = Arrow {
            reader: Some(StreamReader::new(schemas.input, &DecodeLimits::default())),
            table: None,
        };
        Self::new(chunks, schemas, Cutter::Arrow(Box::new(arrow)))
    }

    /// Read off what is left of a body that is refused, so that its sender sees why.
    pub(in super::super) async fn discard(self, headers: &HeaderMap) {
        if let Chunks::Body(rest) = self.chunks {
            body::discard(headers, rest).await;
        }
    }

    fn new(chunks: Chunks, schemas: Schemas<'_>, cutter: Cutter) -> Self {
        Self {
            chunks,
            cutter,
            schema: Arc::clone(schemas.input),
            limits: DecodeLimits {
                rows_max: schemas.part_rows(),
                ..DecodeLimits::default()
            },
            rows: 0,
        }
    }

    /// The next part, of one row at least; `None` at the end.
    ///
    /// # Errors
    ///
    /// What is wrong with the stream as a whole. There is no next part then.
    pub(in super::super) async fn next(&mut self) -> Result<Option<Part>, ApiError> {
        let sifted = match &mut self.cutter {
            Cutter::Text(text) => text.next(&mut self.chunks, &self.schema, &self.limits).await?,
            Cutter::Arrow(arrow) => arrow.next(&mut self.chunks, &self.limits).await?,
        };
        let Some(Sifted { batch, refused }) = sifted else {
            return Ok(None);
        };
        let part = Part {
            first_row: self.rows,
            batch,
            refused: refused
                .into_iter()
                .map(|(at, error)| (at, ApiError::from(error).in_row(self.rows + at as u64)))
                .collect(),
        };
        self.rows += part.rows() as u64;
        Ok(Some(part))
    }
}

/// What comes and what goes.
#[derive(Clone, Copy)]
pub(super) struct Schemas<'a> {
    pub(super) input: &'a Arc<Schema>,
    pub(super) output: &'a Arc<Schema>,
}

impl Schemas<'_> {
    fn part_rows(self) -> usize {
        let widest = self.input.row_bytes().max(self.output.row_bytes());
        (PART_BATCH_BYTES / widest.max(1)).clamp(1, PART_ROWS_MAX)
    }
}

/// Lines or CSV.
struct Text {
    splitter: Splitter,
    ends: Ends,
    /// Of CSV, once its header has come.
    table: Option<csv::Table>,
    ended: bool,
    /// Why nothing follows the records that are there.
    failed: Option<ApiError>,
}

impl Text {
    fn new(ends: Ends) -> Self {
        Self {
            splitter: Splitter::new(ends, RECORD_BYTES_MAX),
            ends,
            table: None,
            ended: false,
            failed: None,
        }
    }

    async fn next(
        &mut self,
        chunks: &mut Chunks,
        schema: &Arc<Schema>,
        limits: &DecodeLimits,
    ) -> Result<Option<Sifted>, ApiError> {
        loop {
            self.fill(chunks, limits.rows_max).await;
            if self.splitter.is_empty() && self.ended {
                return match self.failed.take() {
                    Some(error) => Err(error),
                    // Only to say that the header is missing.
                    None if self.ends == Ends::CsvRow && self.table.is_none() => {
                        Err(csv::Table::new(schema, b"").err().map_or_else(
                            || ApiError::internal("a table without a header has one"),
                            ApiError::from,
                        ))
                    }
                    None => Ok(None),
                };
            }
            if self.ends == Ends::CsvRow && self.table.is_none() {
                let header = self.splitter.take(1, usize::MAX);
                if let Some(header) = header.filled().next() {
                    self.table = Some(csv::Table::new(schema, header)?);
                }
                continue;
            }
            let records = self.splitter.take(limits.rows_max, PART_TEXT_BYTES);
            let sifted = self.read(&records, schema, limits)?;
            if sifted.batch.rows() + sifted.refused.len() > 0 {
                return Ok(Some(sifted));
            }
        }
    }

    fn read(
        &self,
        records: &Records,
        schema: &Arc<Schema>,
        limits: &DecodeLimits,
    ) -> Result<Sifted, DecodeError> {
        match &self.table {
            None => ndjson::decode(schema, records.filled(), limits),
            Some(table) if table.takes_empty_lines() => table.decode(records.iter(), limits),
            Some(table) => table.decode(records.filled(), limits),
        }
    }

    /// Take chunks until there is a part, or no more of one for now.
    async fn fill(&mut self, chunks: &mut Chunks, rows: usize) {
        let mut until = None;
        while !self.ended && self.splitter.len() < rows && self.splitter.bytes() < PART_TEXT_BYTES {
            let chunk = if self.splitter.is_empty() {
                chunks.next().await
            } else {
                let until = *until.get_or_insert_with(|| Instant::now() + LINGER);
                match tokio::time::timeout_at(until, chunks.next()).await {
                    Ok(chunk) => chunk,
                    Err(_) => return,
                }
            };
            let taken = match chunk {
                Ok(Some(chunk)) => self.splitter.push(&chunk).map_err(ApiError::from),
                Ok(None) => {
                    self.ended = true;
                    self.splitter.end().map_err(ApiError::from)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                // The records before are answered first.
                self.ended = true;
                self.failed = Some(error);
            }
        }
    }
}

/// An Arrow stream.
struct Arrow {
    /// Gone once the stream has ended.
    reader: Option<StreamReader>,
    /// The record batch that is being taken apart, and where it goes on.
    table: Option<(StreamTable, usize)>,
}

impl Arrow {
    async fn next(&mut self, chunks: &mut Chunks, limits: &DecodeLimits) -> Result<Option<Sifted>, ApiError> {
        loop {
            if let Some((table, start)) = &mut self.table
                && *start < table.rows()
            {
                let rows = *start..(*start + limits.rows_max).min(table.rows());
                *start = rows.end;
                return Ok(Some(sift(table, rows, limits)?));
            }
            self.table = None;
            let Some(reader) = &mut self.reader else {
                return Ok(None);
            };
            if let Some(table) = reader.next_table()? {
                self.table = Some((table, 0));
                continue;
            }
            match chunks.next().await? {
                Some(chunk) => reader.feed(chunk),
                None => {
                    if let Some(reader) = self.reader.take() {
                        reader.finish()?;
                    }
                }
            }
        }
    }
}

/// Read rows of a record batch, those with a null where none may be put aside.
fn sift(table: &StreamTable, rows: Range<usize>, limits: &DecodeLimits) -> Result<Sifted, DecodeError> {
    let first = rows.start;
    let mut batches = Vec::new();
    let mut refused = Vec::new();
    let mut left = vec![rows];
    while let Some(rows) = left.pop() {
        match table.batch(rows.clone(), limits) {
            Ok(batch) => batches.push(batch),
            Err(mut error) => match error.row.take() {
                Some(row) if rows.contains(&row) => {
                    // Another column may have a null before it, so the rows before it are read again.
                    if row + 1 < rows.end {
                        left.push(row + 1..rows.end);
                    }
                    refused.push((row - first, error));
                    left.push(rows.start..row);
                }
                _ => return Err(error),
            },
        }
    }
    refused.sort_unstable_by_key(|(at, _)| *at);
    Ok(Sifted {
        batch: Batch::concat(&batches)?,
        refused,
    })
}
