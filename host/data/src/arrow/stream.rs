//! A stream as it comes.
//!
//! What is held is bounded: one message (a schema, or the record batch that is being received) and the
//! record batch that was given last, each of at most [`DecodeLimits::bytes_max`] bytes. A record batch
//! can say that it has rows without having bytes for them, so their number has a limit of its own.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::ArrowError;

use super::decode::{find_columns, read_tables};
use crate::batch::Batch;
use crate::codec::{DecodeError, DecodeLimits, code, cut, refuse};
use crate::schema::Schema;

/// Rows of one record batch. pyarrow, polars and DuckDB write 1 Mi at most unless told otherwise.
pub const RECORD_BATCH_ROWS_MAX: usize = 1 << 20;

/// By field, the position of its column in the stream.
type Sources = Arc<[Option<usize>]>;

/// Reads record batches of a schema from a stream that comes in chunks.
#[derive(Debug)]
pub struct StreamReader {
    schema: Arc<Schema>,
    message_bytes_max: usize,
    decoder: StreamDecoder,
    /// What has come and wasn't read.
    chunk: Buffer,
    /// Bytes read since the last record batch.
    message_bytes: usize,
    sources: Option<Sources>,
}

/// A record batch whose columns are those of a schema.
#[derive(Debug, Clone)]
pub struct StreamTable {
    schema: Arc<Schema>,
    record_batch: RecordBatch,
    sources: Sources,
}

impl StreamReader {
    /// A reader of rows of this schema. Of the limits, that on bytes counts here: for one message.
    pub fn new(schema: &Arc<Schema>, limits: &DecodeLimits) -> Self {
        Self {
            schema: Arc::clone(schema),
            message_bytes_max: limits.bytes_max,
            decoder: StreamDecoder::new(),
            chunk: Buffer::from(&[]),
            message_bytes: 0,
            sources: None,
        }
    }

    /// Take a chunk. The one before must have been read: [`Self::next_table`] gave `None`.
    pub fn feed(&mut self, chunk: Vec<u8>) {
        self.chunk = Buffer::from_vec(chunk);
    }

    /// The next record batch of what has come; `None` where more has to come first.
    ///
    /// # Errors
    ///
    /// No Arrow stream; a column that is absent, unknown, named twice or of another type; a message or
    /// record batch that is too large. The reader is of no use then.
    pub fn next_table(&mut self) -> Result<Option<StreamTable>, DecodeError> {
        while !self.chunk.is_empty() {
            let left = self.message_bytes_max.saturating_sub(self.message_bytes);
            if left == 0 {
                return refuse(
                    code::TOO_LARGE,
                    format!(
                        "a record batch has more than {} bytes: write smaller ones \
                         (pyarrow: `write_table(table, max_chunksize=65536)`)",
                        self.message_bytes_max
                    ),
                );
            }
            let before = self.chunk.len().min(left);
            let mut part = self.chunk.slice_with_length(0, before);
            let read = self.decode(&mut part)?;
            let used = before - part.len();
            self.chunk.advance(used);
            self.message_bytes += used;
            if let (None, Some(schema)) = (&self.sources, self.decoder.schema()) {
                self.sources = Some(find_columns(&self.schema, &schema)?.into());
            }
            let (Some(record_batch), Some(sources)) = (read, &self.sources) else {
                continue;
            };
            self.message_bytes = 0;
            if record_batch.num_rows() > RECORD_BATCH_ROWS_MAX {
                return refuse(
                    code::TOO_MANY_ROWS,
                    format!("a record batch has more than {RECORD_BATCH_ROWS_MAX} rows: write smaller ones"),
                );
            }
            return Ok(Some(StreamTable {
                schema: Arc::clone(&self.schema),
                record_batch,
                sources: Arc::clone(sources),
            }));
        }
        Ok(None)
    }

    /// The stream has ended. Without its end-of-stream marker it is as good as cut off.
    ///
    /// # Errors
    ///
    /// A stream that was cut off, or that has no schema.
    pub fn finish(mut self) -> Result<(), DecodeError> {
        self.decoder.finish().map_err(|e| bad(&e))?;
        // The decoder's `finish` doesn't ask for the marker. Past it, and only there, the decoder takes
        // nothing more.
        if self.decode(&mut Buffer::from(&[0u8])).is_ok() {
            return refuse(code::BAD_ARROW, "the stream lacks its end-of-stream marker");
        }
        if self.sources.is_none() {
            return refuse(code::BAD_ARROW, "the stream has no schema");
        }
        Ok(())
    }

    fn decode(&mut self, part: &mut Buffer) -> Result<Option<RecordBatch>, DecodeError> {
        // The decoder checks what it reads, yet unwraps a few members that a flatbuffer may lack. After
        // a panic it isn't used again.
        match catch_unwind(AssertUnwindSafe(|| self.decoder.decode(part))) {
            Ok(read) => read.map_err(|e| bad(&e)),
            Err(_) => refuse(code::BAD_ARROW, "the stream is malformed"),
        }
    }
}

impl StreamTable {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.record_batch.num_rows()
    }

    /// The column of a field, where the stream has it.
    pub(super) fn column(&self, field: usize) -> Option<&ArrayRef> {
        self.record_batch.columns().get((*self.sources.get(field)?)?)
    }

    /// Some of its rows.
    ///
    /// # Errors
    ///
    /// A null where none may be, with its row from the record batch's start; what passes a limit.
    pub fn batch(&self, rows: Range<usize>, limits: &DecodeLimits) -> Result<Batch, DecodeError> {
        let rows = rows.start.min(self.rows())..rows.end.min(self.rows());
        limits.check_rows(rows.len(), self.schema.row_bytes())?;
        let part = Self {
            schema: Arc::clone(&self.schema),
            record_batch: self.record_batch.slice(rows.start, rows.len()),
            sources: Arc::clone(&self.sources),
        };
        read_tables(&self.schema, rows.len(), &[part]).map_err(|mut e| {
            e.row = e.row.map(|row| row + rows.start);
            e
        })
    }
}

fn bad(error: &ArrowError) -> DecodeError {
    DecodeError::new(code::BAD_ARROW, cut(&error.to_string()))
}
